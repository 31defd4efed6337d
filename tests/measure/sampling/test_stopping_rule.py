from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, QuietReading, Repeat
from kokoro_lab.measure.sampling.sampler import Event, SamplingPolicy, sample
from kokoro_lab.measure.sampling.stopping_rule import StoppingRule

SCRIPT = (sys.executable, str(Path(__file__).parents[2] / "support" / "scripted_worker.py"))
CELLS = [Cell("tiny", "go", reference=True), Cell("tiny", "go", provider="b")]


def block(cell: Cell, number: int, total: float) -> Block:
    repeat = Repeat(0, total, total, 1, 1, 0.1, 0, 0, 0, total, 0, 0, 50, True)
    return Block(cell, number, number, number, BlockResult("ok", repeats=(repeat,)), QuietReading(False))


def evidence(spread: float, rounds: int) -> StoppingRule:
    found = StoppingRule()
    for number in range(rounds):
        found.add(block(CELLS[0], number, 100.0))
        found.add(block(CELLS[1], number, 90.0 * (1.0 + spread * (-1) ** number * (1 + number / 10))))
    return found


def test_narrow_intervals_are_enough_and_wide_ones_or_few_pairs_are_not() -> None:
    assert evidence(0.002, 8).enough(8)
    assert evidence(0.1, 8).enough(8) is None
    assert evidence(0.002, 5).enough(5) is None
    assert StoppingRule().enough(0) is None


def test_a_cell_that_cannot_be_measured_is_not_waited_for() -> None:
    found = evidence(0.002, 8)
    broken = Cell("tiny", "go", provider="cuda")
    for number in range(8):
        found.add(Block(broken, number, number, number, BlockResult("unavailable", "no cuda"), QuietReading(False)))
    assert found.enough(8)


def test_the_blocks_still_needed_are_said_in_advance() -> None:
    quiet, noisy = (evidence(spread, 6).blocks_needed()["go"] for spread in (0.002, 0.03))
    assert quiet is not None
    assert noisy is not None
    assert 6 <= quiet < noisy
    assert f"{noisy - 6} (go, about 1 min)" in evidence(0.03, 6).outlook(6)
    assert evidence(0.03, 6).outlook(noisy) == "" == evidence(0.0, 1).outlook(1)


def test_a_run_ends_when_the_evidence_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_LOG", str(tmp_path / "log"))
    found, events = StoppingRule(), list[Event]()
    for measured in sample(
        CELLS,
        SamplingPolicy(30, seed=1, retries=0, worker_command=SCRIPT, lock=tmp_path / "lock"),
        run_dir=tmp_path,
        on_event=events.append,
        enough=found.enough,
    ):
        # The machine may be busy; this is about the ending, not about quiet.
        found.add(Block.from_dict({**measured.as_dict(), "quiet": QuietReading(False).as_dict()}))
    assert [event.kind for event in events].count("finished") == 12
    assert events[-1].kind == "enough"
