"""Start a run of a plan, or resume an interrupted run: which notebooks are still to be executed."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from kokoro_lab.errors import PlanError
from kokoro_lab.files.documents import mistakes, read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.measure.sampling.sampler import Resume
from kokoro_lab.store import StoreReader
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.layout import Results, check_run_id, is_run_id
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.plan import Plan, new_run_id
from kokoro_lab.sweeps.run import refuse_other_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PreparedRun", "prepare", "stored_plan"]

STORED_PLAN = "*/plan.json"  # `Results.plan` of every run
START_NEW = "start a new run"


@dataclass(frozen=True)
class PreparedRun:
    """A run that can start."""

    run_id: str
    jobs: tuple[Job, ...]
    """Notebooks to execute, in order; none when a resumed run is complete and none of its blocks failed."""


def prepare(
    plan: Plan, results: Results, *, run_id: str | None = None, resume: bool = False, dry_run: bool = False
) -> PreparedRun:
    """Check that the run can start, and store the plan in its folder, which a dry run does not.

    Without `run_id`, a new run is named by its plan and the time, and the latest run of this plan is resumed.

    Raises:
        PlanError: the run exists already, there is no run to resume, or the plan or the bytes that it measures changed
            since it started.
    """
    if run_id is not None:
        check_run_id(run_id, error=PlanError)
    run_id = run_id or (_latest(plan, results) if resume else _unused(new_run_id(plan), results))
    results.inside(results.run(run_id))
    stored = results.plan(run_id)
    if StoreReader(results.tables).origin(run_id) is not None:
        raise PlanError(f"run {run_id!r} was imported and cannot be measured further; give another run id")
    jobs = plan.jobs(run_id, results.root)
    if not resume:
        if stored.exists():
            raise PlanError(f"run {run_id!r} already exists; add --resume to continue it, or give another run id")
        if dry_run:
            return PreparedRun(run_id, tuple(jobs))
        earlier = [_started(other) for other in results.runs.glob(STORED_PLAN)]
        write_text(stored, plan.model_dump_json(indent=2) + "\n")
        if earlier and _started(stored) <= max(earlier):  # the clock was set back: it is the latest run nevertheless
            os.utime(stored, (max(earlier) + 1, max(earlier) + 1))
        return PreparedRun(run_id, tuple(jobs))
    if not stored.exists():
        raise PlanError(f"no run {run_id!r} under {results.runs}; start it without --resume")
    if stored_plan(stored) != plan:
        raise PlanError(f"plan {plan.name} has changed since run {run_id!r} started; start a new run")
    rows = StoreReader(results.tables).notebooks(run_id)
    finished = {name for name, group in rows.groupby("notebook") if _last_status(group) == "ok"}
    left = tuple(job for job in jobs if job.notebook not in finished or _has_failed(job, results))
    if left:
        measured = [block for block in stored_blocks(StoreReader(results.tables), run_id) if block.result.repeats]
        for job in left:
            refuse_other_bytes(job, measured, PARTS)
    return PreparedRun(run_id, left)


def _has_failed(job: Job, results: Results) -> bool:
    """Whether the last attempt at a block of the job ended with an error."""
    store = StoreReader(results.tables)
    ids = {item.cell.id for item in job.planned()}
    failed = Resume(store.done(job.run_id), failed=store.failed(job.run_id)).owed(0)
    return any(cell_id in ids for cell_id, _ in failed)


def _unused(run_id: str, results: Results) -> str:
    """The name itself or, where a clock that was set back has given it before, with a number."""
    names = itertools.chain([run_id], (f"{run_id}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not results.plan(name).exists())


def stored_plan(path: Path) -> Plan:
    """The plan that a run was started with; PlanError where its file is damaged."""
    document = read_json(path, what="plan of a run", error=PlanError, advice=START_NEW)
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        raise PlanError(f"the plan of a run, {path}, is damaged ({mistakes(error)[0]}); {START_NEW}") from error


def _last_status(attempts: pd.DataFrame) -> str:
    return str(attempts.sort_values("attempt")["status"].iloc[-1])


def _latest(plan: Plan, results: Results) -> str:
    runs: list[tuple[float, str]] = []
    for stored in results.runs.glob(STORED_PLAN):
        with contextlib.suppress(PlanError):  # a damaged plan is told by `results check`
            if stored_plan(stored).name == plan.name and is_run_id(stored.parent.name):
                runs.append((_started(stored), stored.parent.name))
    if not runs:
        raise PlanError(f"no run of plan {plan.name} under {results.runs}; start one without --resume")
    return max(runs)[1]


def _started(stored: Path) -> float:
    return stored.stat().st_mtime
