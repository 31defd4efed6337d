"""Which notebooks a run has still to execute, and when it may not start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.errors import PlanError
from kokoro_lab.store import Store
from kokoro_lab.store.places import Results
from kokoro_lab.sweeps.plan import Plan
from kokoro_lab.sweeps.runs import prepare


def plan(**changed: Any) -> Plan:
    notebooks = [{"notebook": "providers", "groups": [{"text": "short"}]}]
    return Plan.model_validate({"name": "trial", "budget_s": 60, "model": "tiny", "notebooks": notebooks, **changed})


@pytest.fixture
def ended(places: Path) -> Callable[[str, str], None]:
    def ended(run_id: str, status: str) -> None:
        Store(places / "tables").append_notebook(
            run_id=run_id, notebook="providers", plan="trial", status=status, error="", executed="",
            started_at="2026-11-20T10:00:00+00:00", wall_s=1.0,
        )  # fmt: skip

    return ended


def test_a_new_run_gets_a_name_from_its_plan_and_all_its_notebooks(places: Path) -> None:
    run = prepare(plan(), Results(places))
    assert run.run_id.startswith("trial-") and [job.notebook for job in run.jobs] == ["providers"]
    assert {job.run_id for job in run.jobs} == {run.run_id}


def test_a_run_that_exists_is_continued_only_when_asked(places: Path) -> None:
    prepare(plan(), Results(places), run_id="r1")
    with pytest.raises(PlanError, match="a run 'r1' already: add --resume"):
        prepare(plan(), Results(places), run_id="r1")
    assert len(prepare(plan(), Results(places), run_id="r1", resume=True).jobs) == 1


def test_notebooks_that_ended_well_are_not_executed_again(places: Path, ended: Callable[[str, str], None]) -> None:
    prepare(plan(), Results(places), run_id="r1")
    for status, left in (("interrupted", 1), ("error", 1), ("ok", 0)):
        ended("r1", status)
        assert len(prepare(plan(), Results(places), run_id="r1", resume=True).jobs) == left
    ended("another", "error")
    assert prepare(plan(), Results(places), run_id="r1", resume=True).jobs == ()


def test_without_a_name_the_latest_run_of_the_plan_is_resumed(places: Path) -> None:
    for age, run_id in ((30, "z"), (20, "a"), (10, "m")):
        prepare(plan(name="other" if run_id == "m" else "trial"), Results(places), run_id=run_id)
        moment = (places / "runs" / run_id / "plan.json").stat().st_mtime - age
        os.utime(places / "runs" / run_id / "plan.json", (moment, moment))
    assert prepare(plan(), Results(places), resume=True).run_id == "a"


def test_a_changed_plan_and_a_missing_run_are_refused(places: Path) -> None:
    prepare(plan(), Results(places), run_id="r1")
    with pytest.raises(PlanError, match="not the one"):
        prepare(plan(seed=5), Results(places), run_id="r1", resume=True)
    with pytest.raises(PlanError, match="no run 'r2' to resume"):
        prepare(plan(), Results(places), run_id="r2", resume=True)
    with pytest.raises(PlanError, match="no run of plan other to resume"):
        prepare(plan(name="other"), Results(places), resume=True)
    with pytest.raises(PlanError, match="letters, digits"):
        prepare(plan(), Results(places), run_id="../up")
