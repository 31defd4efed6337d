from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.measure.aatrials import judge_trials, main
from kokoro_lab.measure.cell import Block, BlockResult, Cell, QuietReading, Repeat


def blocks(sd: float, rounds: int, ratio: float = 1.0, seed: int = 1) -> list[Block]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(rounds):
        for replica in (0, 1):
            total = float(np.exp(rng.normal(0.0, sd))) * (ratio if replica else 1.0)
            repeat = Repeat(0, total, total, 1, 1, 0.1, 0, 0, 0, total, 0, 0, 50, True)
            cell = Cell("tiny", "Hi", replica=replica)
            result = BlockResult("ok", repeats=(repeat,))
            made.append(Block(cell, number, number, number, result, QuietReading(False), wall_s=2.0))
    return made


def test_noise_is_pooled_within_trials_and_few_are_fooled_by_it() -> None:
    trials = judge_trials(blocks(0.02, 600))
    assert len(trials.comparisons) == 100
    assert trials.block_sd == pytest.approx(0.02, rel=0.1)
    assert (trials.degrees, trials.block_s, trials.left_out) == (1000, 2.0, 0)
    assert trials.wrong <= 10


def test_a_real_difference_would_be_seen() -> None:
    assert judge_trials(blocks(0.02, 60, ratio=1.2)).wrong == 10


def test_anything_but_two_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="two cells; got 1"):
        judge_trials([block for block in blocks(0.02, 2) if block.cell.replica == 0])


def test_a_real_run_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    code = main(["--model", "empty", "--trials", "1", "--out", str(tmp_path / "noise.json")])
    assert code in (0, 1, 3)  # a busy machine leaves no clean pair, and that is said
    if code != 3:
        assert json.loads((tmp_path / "noise.json").read_text())["degrees"] > 0
