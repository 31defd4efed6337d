"""What a sweep should take is told from past blocks on this machine, and from a guess only where there are none."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, QuietReading
from kokoro_lab.store import NotebookRun, RunRecord, Store
from kokoro_lab.sweeps.estimate import AROUND_S, DurationHistory, in_minutes
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import varied

HERE, ELSEWHERE = "machine-a", "machine-b"


def job(places: Path, *, budget_s: float = 1000, blocks: int = 2, **group: Any) -> Job:
    groups = [{"text": ["ultra-short", "short"], **group}]
    return Job(run_id="r1", notebook="providers", groups=groups, blocks=blocks, budget_s=budget_s, results=places)


def kept(places: Path, cell: Cell, seconds: float, *, machine: str = HERE, run: str = "old", number: int = 0) -> None:
    block = Block(
        cell, number, number, number, BlockResult("ok"), QuietReading(False), started_at="2026-11-20T10:00:00+00:00"
    )
    record = RunRecord(run_id=run, notebook="providers", machine_id=machine, run_dir=str(places / "runs" / run))
    Store(places / "tables").append_block(record, dataclasses.replace(block, wall_s=seconds))


def past(places: Path, machine: str = HERE) -> DurationHistory:
    return DurationHistory.of(Store(places / "tables"), machine)


def test_with_no_past_run_the_budget_is_the_guess_and_that_is_said(places: Path) -> None:
    found = past(places).estimate(job(places, budget_s=48))
    assert found.guessed and found.seconds == 48 + AROUND_S and found.blocks == 4
    assert "1 min 0 s by its budget (no earlier run on this machine)" in found.sentence


def test_the_same_cells_are_taken_at_their_medians(places: Path) -> None:
    work = job(places)
    first, second = (item.cell for item in work.planned())
    for number, seconds in enumerate((3.0, 5.0, 100.0)):
        kept(places, first, seconds, number=number)
    kept(places, second, 7.0)
    found = past(places).estimate(work)
    assert found.seconds == pytest.approx(2 * 5.0 + 2 * 7.0 + AROUND_S)
    assert (found.same, found.similar) == (2, 0) and "from earlier runs of these cells" in found.sentence


def test_a_cell_that_differs_in_threads_counts_as_similar(places: Path) -> None:
    for item in job(places).planned():
        kept(places, item.cell, 4.0)
    found = past(places).estimate(job(places, intra_op_threads=2))
    assert found.seconds == pytest.approx(4 * 4.0 + AROUND_S) and (found.same, found.similar) == (0, 2)


def test_of_other_texts_a_line_over_characters_tells(places: Path) -> None:
    work = job(places, text=["short", "medium", "long"], blocks=1)
    cells = {item.cell.text_preset: item.cell for item in work.planned()}
    for name in ("short", "long"):
        kept(places, cells[name], 2.0 + 0.01 * len(cells[name].text) * (cells[name].repeats + cells[name].warmup_cap))
    seconds, known = past(places).block_s(cells["medium"]) or (0.0, True)
    expected = 2.0 + 0.01 * len(cells["medium"].text) * (cells["medium"].repeats + cells["medium"].warmup_cap)
    assert seconds == pytest.approx(expected) and not known


def test_other_machines_tell_nothing(places: Path) -> None:
    for item in job(places).planned():
        kept(places, item.cell, 4.0, machine=ELSEWHERE)
    assert past(places).estimate(job(places)).guessed
    assert not past(places, ELSEWHERE).estimate(job(places)).guessed


def test_a_variant_that_was_never_measured_is_taken_for_another(places: Path) -> None:
    for item in job(places).planned():
        kept(places, item.cell, 4.0)
    found = past(places).estimate(job(places, model=["default", "a-variant"]))
    assert (found.same, found.similar) == (2, 2) and found.seconds == pytest.approx(8 * 4.0 + AROUND_S)
    assert past(places).estimate(job(places, model="tiny")).guessed


def test_the_budget_ends_what_is_beyond_the_first_blocks(places: Path) -> None:
    work = job(places, blocks=10, budget_s=30)
    for item in work.planned():
        kept(places, item.cell, 10.0)
    found = past(places).estimate(work)
    assert found.seconds == pytest.approx(30 + AROUND_S) and "when its budget ends" in found.sentence
    assert past(places).estimate(job(places, blocks=10, budget_s=5)).seconds == pytest.approx(20 + AROUND_S)


def test_of_a_resumed_run_what_is_missing_counts(places: Path) -> None:
    work = job(places)
    first, second = (item.cell for item in work.planned())
    kept(places, first, 4.0, run="r1")
    kept(places, second, 6.0, run="r1")
    found = past(places).estimate(work)
    assert found.blocks == 2 and found.seconds == pytest.approx(10.0 + AROUND_S)
    for number, cell in ((1, first), (1, second)):
        kept(places, cell, 5.0, run="r1", number=number)
    assert past(places).estimate(work).seconds == 0


def test_what_a_notebook_takes_beside_its_blocks_is_learned(places: Path) -> None:
    work = job(places)
    for item in work.planned():
        kept(places, item.cell, 4.0)
    moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    Store(places / "tables").append_notebook(NotebookRun("old", "providers", "", "ok", "", "", moment, 8.0 + 25.0))
    assert past(places).estimate(work).seconds == pytest.approx(16.0 + 25.0)


def test_only_factors_that_vary_are_named(places: Path) -> None:
    told = varied(job(places, intra_op_threads=[1, 2]).planned())
    assert told == {"text": "ultra-short, short", "intra op threads": "1, 2"}


@pytest.mark.parametrize(("seconds", "words"), [(4.6, "5 s"), (185, "3 min 5 s"), (4800, "1 h 20 min")])
def test_a_duration_is_said_as_people_do(seconds: float, words: str) -> None:
    assert in_minutes(seconds) == words


def test_blocks_of_a_shared_process_are_estimated_from_such_blocks_at_their_mean(places: Path) -> None:
    own, shared = job(places), job(places, processes="shared")
    for item in own.planned():
        kept(places, item.cell, 100.0)
    assert past(places).estimate(shared).guessed, "blocks with a process of their own say nothing of them"
    for item in shared.planned():
        for number, seconds in enumerate((1.0, 1.0, 4.0)):  # the first of a process pays for its start
            kept(places, item.cell, seconds, number=number)
    assert past(places).estimate(shared).seconds == pytest.approx(4 * 2.0 + AROUND_S)


def test_a_job_with_looks_may_take_less_and_says_so(places: Path) -> None:
    looking = job(places, blocks=9).model_copy(update={"looks": (6,)})
    found = past(places).estimate(looking)
    assert "18 blocks, fewer if comparisons are decided after 6 rounds" in found.sentence
