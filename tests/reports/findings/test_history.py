"""A store's runs over time: ratios to the reference of the same run, and changes only where several runs tell them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from report_blocks import MACHINE, SOFTWARE, block, cell, repeated, rows_of

from kokoro_lab.cli import run
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.reports.findings.change_history import FIGURES, HistoryChange
from kokoro_lab.reports.findings.history import History
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.sweeps.job import Job

BASE, OTHER = cell(reference=True), cell(threads=1)


class Past:
    """A store to which runs are added, one a day."""

    def __init__(self, results: Path) -> None:
        self.job = Job(
            run_id="r0",
            notebook="history",
            groups=[{"text": "short"}],
            budget_s=9,
            results=results,
            model="stand-in",
        )
        self._store = Store(results / "tables")
        self._tables: list[dict[str, pa.Table]] = []

    def run(
        self,
        ratio: float,
        commit: str = "a" * 40,
        *,
        base_ms: float = 100.0,
        machine: str = MACHINE,
        software: str = SOFTWARE,
        dirty: bool = False,
        notebook: str = "providers",
        blocks: list[Block] | None = None,
    ) -> None:
        day = len(self._tables)
        random = np.random.default_rng(day)
        record = RunRecord(
            run_id=f"r{day}",
            notebook=notebook,
            machine_id=machine,
            software_id=software,
            git_commit=commit,
            git_dirty=dirty,
        )
        if blocks is None:
            blocks = []
            for of, ms in ((BASE, base_ms), (OTHER, base_ms * ratio)):
                blocks += repeated(of, ms * (1 + 0.002 * random.standard_normal(3)))
        started = [dataclasses.replace(made, started_at=f"2026-11-{day + 1:02d}T10:00:00+00:00") for made in blocks]
        self._tables.append(rows_of(record, started))

    def join(self) -> None:
        """Make the last two runs one."""
        last, before = self._tables.pop(), self._tables.pop()
        at = {name: rows.column_names.index("run_id") for name, rows in last.items()}
        joined = {
            name: rows.set_column(
                at[name],
                rows.schema.field(at[name]),
                pa.array([before[name]["run_id"][0].as_py()] * rows.num_rows, pa.string()),
            )
            for name, rows in last.items()
        }
        self._tables.append({name: pa.concat_tables([before[name], joined[name]]) for name in joined})

    def load(self) -> History:
        names = ("cells", "samples")
        self._store.merge({name: pa.concat_tables([each[name] for each in self._tables]) for name in names})
        return History.load(self.job)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "results")


def changes(found: History, figure: str = "rtf") -> list[HistoryChange]:
    return [change for change in found.found.changes if change.figure == figure]


def test_runs_are_numbered_by_time_and_say_where_they_come_from(past: Past) -> None:
    past.run(2.0)
    past.run(2.0, "b" * 40, dirty=True)
    runs = past.load().runs.to_dict("records")
    assert [(run["number"], run["run_id"]) for run in runs] == [(1, "r0"), (2, "r1")]
    assert [run["commit"] for run in runs] == ["a" * 7, "b" * 7 + "+"]
    assert runs[1]["when"].startswith("2026-11-02") and runs[0]["onnxruntime"] == "1.31.1"


def test_every_cell_is_a_ratio_to_the_reference_of_its_own_run(past: Past) -> None:
    past.run(2.0, base_ms=100.0)
    past.run(3.0, base_ms=700.0)
    found = past.load()
    for metric in FIGURES:
        ratios = found.ratios[found.ratios["metric"] == metric]
        assert [ratio.center for ratio in ratios["ratio"]] == pytest.approx([2.0, 3.0], rel=0.01), metric
    levels = found.references[found.references["metric"] == "total_ms"]["value"]
    assert list(levels) == pytest.approx([100.0, 700.0], rel=0.01)


def test_a_changed_ratio_is_a_change_point_and_a_slower_machine_alone_is_none(past: Past) -> None:
    for base_ms in (100.0, 130.0, 90.0):
        past.run(2.0, base_ms=base_ms)
    for base_ms in (300.0, 210.0, 250.0):
        past.run(2.0, "b" * 40, base_ms=base_ms)
    for base_ms in (100.0, 95.0, 105.0):
        past.run(3.0, "c" * 40, base_ms=base_ms)
    found = past.load()
    (change,) = changes(found)
    assert (change.before, change.after, change.verdict, change.runs) == ("b" * 7, "c" * 7, "slower", (6, 3))
    assert change.ratio.center == pytest.approx(1.5, rel=0.02) and change.ratio.known
    assert change.ratio.low is not None and change.ratio.low > 1
    assert {each.figure for each in found.found.changes} == set(FIGURES)
    assert change.run_after.partition("/")[0] == "r6"


def test_one_run_a_side_is_no_change_point_and_the_noise_is_said_to_be_unknown(past: Past) -> None:
    past.run(2.0)
    past.run(3.0, "b" * 40)
    found = past.load().found
    assert found.changes == () and found.undecided == found.series == len(FIGURES)
    assert "repeat a run" in found.summary


def test_reruns_of_one_commit_have_nothing_to_change(past: Past) -> None:
    for ratio in (2.0, 2.0, 2.0, 2.6, 2.6, 2.6):
        past.run(ratio)
    found = past.load().found
    assert found.changes == () and found.series == 0 and "nothing to compare" in found.summary


def test_a_rerun_of_an_older_commit_is_a_run_of_that_commit(past: Past) -> None:
    for commit in ("a", "a", "b", "b", "a", "a"):
        past.run(2.0, commit * 40)
    found = past.load().found
    assert found.changes == () and found.series == len(FIGURES) and found.undecided == 0


def test_other_software_of_one_commit_is_named_beside_it(past: Past) -> None:
    for ratio, software in ((2.0, "1" * 16), (3.0, "2" * 16)):
        for _ in range(4):
            past.run(ratio, software=software)
    (change,) = changes(past.load())
    assert "aaaaaaa" in change.before and "111111" in change.before and "222222" in change.after


def test_the_command_compares_cells_with_the_reference_of_their_own_notebook(
    past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slower, twice = cell(threads=3, reference=True), cell(threads=4)
    for commit in ("a", "a", "a", "b", "b", "b"):
        past.run(2.0, commit * 40)
        past.run(
            2.0,
            commit * 40,
            notebook="threads",
            blocks=[*repeated(slower, (300.0,) * 3), *repeated(twice, (600.0,) * 3)],
        )
        past.join()
    found = past.load().found
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(past.job.results))
    assert run(["results", "history", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"] == found.series == 2 * len(FIGURES)


def test_machines_are_never_compared_with_each_other(past: Past) -> None:
    past.run(2.0, machine="1" * 16)
    past.run(3.0, "b" * 40, machine="2" * 16)
    found = past.load()
    assert found.found.changes == () and found.found.series == 0
    names = set(found.ratios["name"])
    assert len(names) == 2 and any("111111" in name for name in names)


def test_a_store_without_a_warm_reference_has_no_history(past: Past) -> None:
    past.run(1.0, blocks=[block(OTHER), block(cell(state="cold", reference=True), 1)])
    with pytest.raises(NothingMeasuredError):
        past.load()
