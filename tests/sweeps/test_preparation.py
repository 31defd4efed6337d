"""Which notebooks a run has still to execute, and when it may not start."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from store_blocks import block, failed, keep

from kokoro_lab.errors import PlanError
from kokoro_lab.measure.records.cell import RETRY_STRIDE
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.measure.sampling.expected_bytes import expected_parts
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.plan import Plan
from kokoro_lab.sweeps.preparation import prepare


def plan(**changed: Any) -> Plan:
    notebooks = [{"notebook": "providers", "groups": [{"text": "short"}]}]
    return Plan.model_validate({"name": "trial", "budget_s": 60, "model": "tiny", "notebooks": notebooks, **changed})


@pytest.fixture
def ended(places: Path) -> Callable[[str, str], None]:
    def ended(run_id: str, status: str) -> None:
        moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
        Store(places / "tables").append_notebook(NotebookRun(run_id, "providers", "trial", status, "", "", moment, 1.0))

    return ended


def test_a_new_run_gets_a_name_from_its_plan_and_all_its_notebooks(places: Path) -> None:
    run = prepare(plan(), Results(places))
    assert run.run_id.startswith("trial-") and [job.notebook for job in run.jobs] == ["providers"]
    assert {job.run_id for job in run.jobs} == {run.run_id}


def test_a_run_that_exists_is_continued_only_when_asked(places: Path) -> None:
    prepare(plan(), Results(places), run_id="r1")
    with pytest.raises(PlanError, match="run 'r1' already exists; add --resume"):
        prepare(plan(), Results(places), run_id="r1")
    assert len(prepare(plan(), Results(places), run_id="r1", resume=True).jobs) == 1


def test_notebooks_that_ended_well_are_not_executed_again(places: Path, ended: Callable[[str, str], None]) -> None:
    prepare(plan(), Results(places), run_id="r1")
    for status, left in (("interrupted", 1), ("error", 1), ("ok", 0)):
        ended("r1", status)
        assert len(prepare(plan(), Results(places), run_id="r1", resume=True).jobs) == left
    ended("another", "error")
    assert prepare(plan(), Results(places), run_id="r1", resume=True).jobs == ()


def test_a_notebook_whose_last_attempt_at_a_block_failed_is_executed_again(
    places: Path, ended: Callable[[str, str], None]
) -> None:
    (job,) = prepare(plan(), Results(places), run_id="r1").jobs
    ended("r1", "ok")
    cell = job.planned()[0].cell
    store = Store(places / "tables")
    keep(store, "r1", failed(0, of=cell))
    assert len(prepare(plan(), Results(places), run_id="r1", resume=True).jobs) == 1
    again = replace(block(0, of=cell), block=RETRY_STRIDE, attempt=1, replaces=0)
    identity = BlockIdentity(**expected_parts(cell))
    keep(store, "r1", replace(again, result=replace(again.result, identity=identity)))
    assert prepare(plan(), Results(places), run_id="r1", resume=True).jobs == ()


def test_a_run_of_other_bytes_is_refused_before_a_notebook_starts(places: Path) -> None:
    (job,) = prepare(plan(), Results(places), run_id="r1").jobs
    cell = job.planned()[0].cell
    parts = {**expected_parts(cell), "packages": "00"}
    first = block(0, of=cell)
    keep(Store(places / "tables"), "r1", replace(first, result=replace(first.result, identity=BlockIdentity(**parts))))
    with pytest.raises(PlanError, match="other bytes than would be measured now: packages; give another run id"):
        prepare(plan(), Results(places), run_id="r1", resume=True)


def test_without_a_name_the_latest_run_of_the_plan_is_resumed(places: Path) -> None:
    for age, run_id in ((30, "z"), (20, "a"), (10, "m")):
        prepare(plan(name="other" if run_id == "m" else "trial"), Results(places), run_id=run_id)
        moment = (places / "runs" / run_id / "plan.json").stat().st_mtime - age
        os.utime(places / "runs" / run_id / "plan.json", (moment, moment))
    assert prepare(plan(), Results(places), resume=True).run_id == "a"


def test_a_changed_plan_and_a_missing_run_are_refused(places: Path) -> None:
    prepare(plan(), Results(places), run_id="r1")
    with pytest.raises(PlanError, match="has changed since run"):
        prepare(plan(seed=5), Results(places), run_id="r1", resume=True)
    with pytest.raises(PlanError, match="no run 'r2' under"):
        prepare(plan(), Results(places), run_id="r2", resume=True)
    with pytest.raises(PlanError, match="no run of plan other under"):
        prepare(plan(name="other"), Results(places), resume=True)
    with pytest.raises(PlanError, match="letters, digits"):
        prepare(plan(), Results(places), run_id="../up")


def test_a_clock_that_was_set_back_changes_neither_which_run_is_the_latest_nor_names_two_alike(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kokoro_lab.sweeps.preparation.new_run_id", lambda plan: "trial-20261121-120000")
    names = []
    for ahead_s in (7200.0, 3600.0, 0.0):
        names.append(prepare(plan(), Results(places)).run_id)
        stored = places / "runs" / names[-1] / "plan.json"
        os.utime(stored, (stored.stat().st_mtime + ahead_s,) * 2)
        assert prepare(plan(), Results(places), resume=True).run_id == names[-1]
    assert names == ["trial-20261121-120000", "trial-20261121-120000-2", "trial-20261121-120000-3"]
