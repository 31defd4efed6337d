from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.benchmarks.aa_trials import judge_trials, measure_trials, write_noise
from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, QuietReading, Repeat
from kokoro_lab.store import Store


def blocks(sd: float, rounds: int, ratio: float = 1.0, seed: int = 1, replicas: int = 2) -> list[Block]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(rounds):
        for replica in range(replicas):
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


def test_in_a_ring_each_replica_is_compared_with_the_next_one() -> None:
    trials = judge_trials(blocks(0.02, 12, replicas=5))
    assert len(trials.comparisons) == 10
    assert trials.degrees == 5 * 2 * 5
    assert judge_trials(blocks(0.001, 6, ratio=1.2, replicas=3)).wrong == 2  # replica 0 differs from both of the others


def test_one_cell_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="the number of cells is 1; A/A trials need at least two"):
        judge_trials([block for block in blocks(0.02, 2) if block.cell.replica == 0])


def test_real_trials_are_kept_and_not_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.reading", lambda before, after: QuietReading(False))
    trials = measure_trials(tmp_path, model="empty", trials=1, replicas=2)
    assert (len(trials.comparisons), trials.blocks, trials.left_out) == (1, 12, 0)
    assert measure_trials(tmp_path, model="empty", trials=1, replicas=2) == trials
    (run,) = Store(tmp_path / "tables").runs()
    assert (run["run_id"], run["plan"], run["blocks"]) == ("aa", "self-test", 12)
    write_noise(tmp_path / "noise.json", trials, "empty")
    noise = json.loads((tmp_path / "noise.json").read_text())
    assert (noise["degrees"], noise["model"]) == (10, "empty")
    assert noise["block_sd"] == pytest.approx(trials.block_sd, abs=1e-5)


@pytest.mark.slow
def test_what_was_contaminated_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def disturbed(before: object, after: object) -> QuietReading:
        measured.append(len(measured))
        return QuietReading(len(measured) <= 4, "a neighbor")  # both attempts of the first two blocks

    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.reading", disturbed)
    trials = measure_trials(tmp_path, model="empty", trials=1, replicas=2)
    assert len(trials.comparisons) == 1
    assert trials.left_out == 1
    assert trials.blocks == 2 + 24


def test_shared_replicas_are_in_two_processes_of_different_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    quiet = QuietReading(False)
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.with_waiting", lambda own, whole: quiet)
    trials = measure_trials(tmp_path, trials=5, shared=True)
    assert (len(trials.comparisons), trials.blocks) == (5, 30)
    cells = Store(tmp_path / "tables").cells("aa-shared")
    assert set(cells["process"]) == {"shared"} and set(cells["status"]) == {"ok"}
    assert sorted(cells[cells["round"] == 0]["place"]) == [0, 0, 1, 1, 2], "three replicas in one, two in the other"
    assert len(set(cells["model_sha256"])) == 1
