"""A count of instructions against its baseline: what is compared, what fails, and what stays the baseline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.errors import InconclusiveError, InputError
from kokoro_lab.measure.machine.instruction_counter import CountedRun
from kokoro_lab.store.witness import instruction_gauge
from kokoro_lab.store.witness.instruction_gauge import (
    LIMIT,
    InstructionRow,
    count_instructions,
    judged,
    stored_rows,
    witnessed,
)

ROW = InstructionRow(1e8, 2, "valgrind", "A CPU, x86_64", "ab" * 32, "numpy 2", 9000, "cd" * 32, "a" * 40)
OTHER_KINDS = [
    {"counter": "perf events"},
    {"machine": "another CPU, x86_64"},
    {"model_sha256": "ef" * 32},
    {"packages": "numpy 3"},
]


def more(share: float) -> InstructionRow:
    return replace(ROW, instructions=ROW.instructions * (1 + share))


def test_the_first_count_is_the_baseline_and_later_ones_are_held_against_it(tmp_path: Path) -> None:
    first = witnessed(tmp_path, ROW)
    assert first.status == "no baseline" and first.row.baseline
    near, far = witnessed(tmp_path, more(LIMIT * 0.9)), witnessed(tmp_path, more(LIMIT * 1.1))
    assert (near.status, far.status) == ("passed", "failed")
    assert far.gauge.value == pytest.approx(1 + LIMIT * 1.1) and "aaaaaaa" in far.words
    assert [row.baseline for row in stored_rows(tmp_path)] == [True, False, False]


def test_small_changes_add_up_until_one_is_accepted(tmp_path: Path) -> None:
    witnessed(tmp_path, ROW)
    creeping = [witnessed(tmp_path, more(LIMIT * 0.6 * step)).status for step in (1, 2, 3)]
    assert creeping == ["passed", "failed", "failed"]
    assert witnessed(tmp_path, more(LIMIT * 1.8), accept=True).row.baseline
    assert witnessed(tmp_path, more(LIMIT * 1.8)).status == "passed"


@pytest.mark.parametrize("changed", OTHER_KINDS, ids=[next(iter(kind)) for kind in OTHER_KINDS])
def test_counts_of_different_kinds_are_never_compared(changed: dict[str, str]) -> None:
    assert judged(replace(ROW, **changed), [replace(ROW, baseline=True)]).status == "no baseline"


def test_speech_of_another_length_is_other_work() -> None:
    result = judged(replace(ROW, samples=1), [replace(ROW, baseline=True)])
    assert result.status == "other speech" and result.gauge.value is None and "same work" in result.gauge.reason


def test_a_count_that_is_not_sure_of_the_limit_decides_nothing() -> None:
    base = replace(ROW, baseline=True)
    for share, uncertainty, status in ((0.01, 0.02, "undecided"), (0.05, 0.02, "failed"), (0.05, 0.04, "undecided")):
        row = replace(more(share), uncertainty=uncertainty * ROW.instructions)
        assert judged(row, [base]).status == status


def test_a_start_that_varies_more_than_a_call_takes_gives_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As happened: a start under valgrind took 195 million instructions more than another, and a call 143 million."""
    starts = iter((0, 3_597_000_000, 3_400_000_000, 3_540_000_000, 3_545_000_000))
    monkeypatch.setattr(instruction_gauge, "counted", lambda used, command: CountedRun(next(starts), "{}"))
    with pytest.raises(InconclusiveError, match="quieter machine"):
        count_instructions("valgrind")


def test_fewer_instructions_pass() -> None:
    assert judged(more(-0.5), [replace(ROW, baseline=True)]).status == "passed"


@pytest.mark.parametrize("damage", ['{"rows": [{"instructions": "many"}]}', "{", '{"rows": [{}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    witnessed(tmp_path, ROW)
    (tmp_path / "witness" / "instructions.json").write_text(damage)
    with pytest.raises(InputError):
        stored_rows(tmp_path)


@pytest.mark.parametrize("counter", ["valgrind", "perf events"])
def test_the_start_of_the_process_cancels_out(counter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    about = {"model_sha256": "ab", "audio_sha256": "cd", "samples": 9000, "versions": {"python": "3", "numpy": "2"}}
    begun: list[tuple[object, tuple[str, ...]]] = []

    def count(used: object, command: tuple[str, ...]) -> CountedRun:
        begun.append((used, command))
        return CountedRun(5_000_000 + 300 * int(command[1]), json.dumps(about))

    monkeypatch.setattr(instruction_gauge, "counted", count)
    row = count_instructions(counter)  # type: ignore[arg-type]
    assert (row.instructions, row.packages, row.samples) == (300.0, "numpy 2, python 3", 9000)
    assert begun[0][0] is None, "the first process is not counted: it writes what the others find"
    assert all(("--count" in command) == (counter == "perf events") for _, command in begun[1:])
