"""A run is complete when every notebook ended by itself; the newest complete run is the default, and says so."""

from __future__ import annotations

import datetime
import json
import logging
from pathlib import Path

import pytest
from store_blocks import block, cell, keep

from kokoro_lab.measure.machine.lock import machine_held
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.run_facts import completeness
from kokoro_lab.store.run_facts.completeness import NotebookEnding, complete, continuing
from kokoro_lab.store.run_facts.run_endings import end_notebook, plan_blocks

ENDED = {"planned": 4, "ended": "complete"}
OPEN = {"planned": 4, "ended": ""}


def executed(*statuses: str) -> list[dict[str, str]]:
    return [{"notebook": "providers", "status": status} for status in statuses]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(completeness, "_TOLD", set())
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    return Store(tmp_path / "tables")


def planned(store: Store, run_id: str) -> None:
    path = store.root.parent / "runs" / run_id / "plan.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"notebooks": [{"notebook": "providers"}, {"notebook": "warmup"}]}))


@pytest.mark.parametrize("ended", ["complete", "budget", "decided"])
def test_a_run_is_complete_when_each_of_its_notebooks_ended(ended: str) -> None:
    assert complete({"providers": {**ENDED, "ended": ended}}, (), None)
    assert not complete({"providers": ENDED, "warmup": OPEN}, executed("ok"), None)


def test_a_run_from_before_the_endings_is_judged_by_its_notebooks_and_its_plan(store: Store) -> None:
    assert complete({}, (), None), "a benchmark has neither"
    assert complete({}, executed("interrupted", "ok"), None)
    assert not complete({}, executed("ok", "interrupted"), None)
    planned(store, "r1")
    plan = store.root.parent / "runs" / "r1" / "plan.json"
    assert not complete({}, executed("ok"), plan), "the notebook warmup was never executed"
    assert complete({}, [*executed("ok"), {"notebook": "warmup", "status": "ok"}], plan)
    plan.write_text("{")
    assert complete({}, executed("ok"), plan), "a damaged plan says nothing"


def test_the_newest_complete_run_is_the_default_and_a_newer_one_is_named(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    keep(store, "r1", block(1))
    keep(store, "r2", block(5, of=cell(2)))
    plan_blocks(store, "r2", {"providers": 4, "warmup": 2})
    end_notebook(store, "r2", "providers", NotebookEnding(4, "complete"))
    planned(store, "r2")
    assert [run["complete"] for run in store.runs()] == [True, False]
    with caplog.at_level(logging.WARNING):
        assert store.latest_run() == store.latest_run() == "r1"
    (record,) = caplog.records
    words = "run r1 is used, because the newer run r2 is incomplete; continue r2 with "
    assert record.getMessage() == f"{words}`kokoro-lab sweep --run-id r2 --resume`"
    end_notebook(store, "r2", "warmup", NotebookEnding(2, "budget"))
    assert store.latest_run() == "r2"


def test_without_a_complete_run_the_newest_is_used_and_said_to_be_incomplete(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    keep(store, "r1", block(1))
    plan_blocks(store, "r1", {"providers": 4})
    assert store.latest_run() == "r1"
    assert (
        "run r1 is used although it is incomplete, because no run is complete" in caplog.text
        and "--run-id r1" in caplog.text
    )


def test_a_run_that_is_being_measured_is_not_offered_for_continuing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    keep(store, "r1", block(1))
    keep(store, "r2", block(5, of=cell(2)))
    plan_blocks(store, "r2", {"providers": 4})
    with machine_held("run r2"):
        assert store.latest_run() == "r1"
    assert (
        "run r1 is used, because the newer run r2 is still being measured" in caplog.text
        and "--resume" not in caplog.text
    )


def test_an_earlier_version_of_the_tables_has_its_own_endings(store: Store) -> None:
    keep(store, "r1", block(1))
    plan_blocks(store, "r1", {"providers": 4})
    before = store.versions()
    end_notebook(store, "r1", "providers", NotebookEnding(4, "decided"))
    assert [run["complete"] for run in store.at(before).runs()] == [False]
    assert [run["complete"] for run in store.runs()] == [True]


def test_a_run_without_a_plan_is_continued_by_its_own_command(tmp_path: Path) -> None:
    assert continuing("bench-1", tmp_path / "plan.json").endswith("with --run-id bench-1")


def test_an_old_store_has_rows_of_notebooks_only(store: Store) -> None:
    keep(store, "r1", block(1))
    moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    store.append_notebook(NotebookRun("r1", "providers", "trial", "interrupted", "", "", moment, 1.0))
    assert [run["complete"] for run in store.runs()] == [False]
    store.append_notebook(NotebookRun("r1", "providers", "trial", "ok", "", "", moment, 1.0))
    assert [run["complete"] for run in store.runs()] == [True]
