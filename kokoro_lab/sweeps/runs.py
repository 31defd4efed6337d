"""Start a run of a plan, or take up one that was interrupted: which notebooks are still to be executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import PlanError
from kokoro_lab.store import Store
from kokoro_lab.store.places import Results
from kokoro_lab.sweeps.job import RUN_ID, Job
from kokoro_lab.sweeps.plan import Plan, new_run_id

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prepared", "prepare"]

KEPT_PLAN = "plan.json"


@dataclass(frozen=True)
class Prepared:
    """A run that can start."""

    run_id: str
    jobs: tuple[Job, ...]
    """Notebooks to execute, in order; none when a resumed run lacks nothing."""


def prepare(plan: Plan, results: Results, *, run_id: str | None = None, resume: bool = False) -> Prepared:
    """Check that the run can start, and keep the plan in its folder.

    Without `run_id`, a new run gets one from the plan's name and the time; a resumed one is the latest of this plan.

    Raises:
        PlanError: the run exists already, there is none to resume, or the plan changed since it started.
    """
    if run_id is not None and not re.fullmatch(RUN_ID, run_id):
        raise PlanError(f"A run id has letters, digits, dots, dashes and underscores, 80 at most; got {run_id!r}.")
    run_id = run_id or (_latest(plan, results) if resume else new_run_id(plan))
    kept = results.run(run_id) / KEPT_PLAN
    jobs = plan.jobs(run_id, results.root)
    if not resume:
        if kept.exists():
            raise PlanError(f"There is a run {run_id!r} already: add --resume to continue it, or give another run id.")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return Prepared(run_id, tuple(jobs))
    if not kept.exists():
        raise PlanError(f"There is no run {run_id!r} to resume under {results.runs}.")
    if Plan.model_validate_json(kept.read_bytes()) != plan:
        raise PlanError(f"The plan {plan.name} is not the one that run {run_id!r} started with: start a new run.")
    rows = Store(results.tables).notebooks(run_id)
    ended_well = {name for name, group in rows.groupby("notebook") if _last_status(group) == "ok"}
    return Prepared(run_id, tuple(job for job in jobs if job.notebook not in ended_well))


def _last_status(attempts: pd.DataFrame) -> str:
    return str(attempts.sort_values("attempt")["status"].iloc[-1])


def _latest(plan: Plan, results: Results) -> str:
    found: list[tuple[float, str]] = []
    for kept in results.runs.glob(f"*/{KEPT_PLAN}"):
        if Plan.model_validate_json(kept.read_bytes()).name == plan.name:
            found.append((_started(kept), kept.parent.name))
    if not found:
        raise PlanError(f"There is no run of plan {plan.name} to resume under {results.runs}.")
    return max(found)[1]


def _started(kept: Path) -> float:
    return kept.stat().st_mtime
