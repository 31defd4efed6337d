"""A job of given cells: it is measured like a sweep's, its budget is that of the call, other bytes are refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.errors import PlanError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.store import Store
from kokoro_lab.sweeps.cell_job import CellJob, measure_cells, noticed
from kokoro_lab.sweeps.job import PlannedCell
from kokoro_lab.sweeps.progress import Progress

WORKER = (sys.executable, str(Path(__file__).parents[1] / "support" / "sweep_worker.py"))
CELLS = (Cell("tiny", "Hi", repeats=2, reference=True), Cell("tiny", "Hi", repeats=2, intra_op_threads=1))


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("SWEEP_LOG", str(path))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: dict.fromkeys(PARTS, "same"))
    return path


def job(results: Path, blocks: int, *, budget_s: float = 3600.0, cells: Sequence[Cell] = CELLS) -> CellJob:
    return CellJob(
        run_id="r",
        notebook="trial",
        plan="trial",
        cells=tuple(PlannedCell(cell, blocks) for cell in cells),
        budget_s=budget_s,
        retries=0,
        results=results,
    )


def test_the_cells_are_planned_as_they_were_given(places: Path) -> None:
    planned = job(places, 2).planned()
    assert [(item.cell, item.blocks) for item in planned] == [(cell, 2) for cell in CELLS]


def test_blocks_are_in_the_tables_and_an_earlier_calls_time_is_no_part_of_the_budget(places: Path, log: Path) -> None:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        append = Store.append_block
        patch.setattr(Store, "append_block", lambda *given: append(*given[:2], replace(given[2], wall_s=7200.0)))
        first = measure_cells(job(places, 1), noticed(said.append), worker_command=WORKER)
    assert [block.cell.id for block in first] == log.read_text().split()
    assert [line.split(";")[0] for line in said] == ["1 of 2 blocks", "2 of 2 blocks"]
    both = measure_cells(job(places, 2, budget_s=3600.0), worker_command=WORKER)
    assert [block.wall_s for block in both].count(7200.0) == 2
    assert len(both) == len(log.read_text().split()) == 4
    assert Store(places / "tables").done("r") == {block.key for block in both}
    assert measure_cells(job(places, 2), worker_command=WORKER) == both
    assert len(log.read_text().split()) == 4


def test_progress_names_the_model_where_there_are_several(places: Path) -> None:
    said: list[str] = []
    cells = (CELLS[0], Cell("other", "Hi", repeats=2))
    measure_cells(job(places, 1, cells=cells), noticed(said.append), worker_command=WORKER)
    assert sorted(line.split("; ")[1].split(",")[0] for line in said) == ["other", "tiny"]


def test_a_run_is_not_continued_with_another_file_of_its_model(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure_cells(job(places, 1), worker_command=WORKER)
    parts = dict.fromkeys(PARTS, "same")
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: {**parts, "code": "0" * 64})
    assert len(measure_cells(job(places, 1), worker_command=WORKER)) == 2, "a complete run of other code can be read"
    monkeypatch.setattr("kokoro_lab.sweeps.run.expected_parts", lambda cell: {**parts, "model": "0" * 64})
    with pytest.raises(PlanError, match="other bytes than would be measured now: model 'tiny'; give another run id"):
        measure_cells(job(places, 1), worker_command=WORKER)


def test_a_listener_hears_what_was_finished_and_nobody_listens_to_nothing() -> None:
    said: list[str] = []
    listener = noticed(said.append)
    assert listener is not None
    for kind in ("plan", "start", "finished", "retry", "budget", "enough"):
        listener(Progress(kind, 1, 2, kind))
    assert said == [f"1 of 2 blocks; {kind}" for kind in ("finished", "retry", "budget")]
    assert noticed(None) is None
