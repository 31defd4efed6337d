"""`kokoro-lab sweep`: execute a plan's notebooks, one after the other, with progress on standard error."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.errors import KokoroLabError, NothingMeasuredError
from kokoro_lab.measure import fingerprint
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store import Store
from kokoro_lab.store.places import results
from kokoro_lab.sweeps.ceiling import keep_ceiling
from kokoro_lab.sweeps.estimate import Past, clock
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebooks import Execution, execute
from kokoro_lab.sweeps.plan import Plan, load_plan, new_run_id
from kokoro_lab.sweeps.progress import Progress, varied
from kokoro_lab.sweeps.runs import prepare

__all__ = ["sweep"]


def sweep(
    plan_path: str, *, run_id: str | None, resume: bool, model: str | None, as_json: bool, dry_run: bool = False
) -> None:
    """Run a plan, or what is missing of a run of it; of a dry run, only say what that is and how long it should take.

    Raises:
        NothingMeasuredError: no call was completed.
        KokoroLabError: a notebook failed.
    """
    plan = load_plan(plan_path)
    if model is not None:
        plan = plan.model_copy(update={"model": model})
    if dry_run:
        _announce(plan, "", plan.jobs(run_id or new_run_id(plan), results().root))
        return
    run = prepare(plan, results(), run_id=run_id, resume=resume)
    _announce(plan, run.run_id, run.jobs)
    _build_models(run.jobs)
    ended = []
    for job in run.jobs:
        with _Bar() as bar:
            ended.append(execute(job, bar))
        notice(f"{job.notebook}: {ended[-1].status} in {ended[-1].seconds:.0f} s, kept as {ended[-1].executed}")
    _measure_ceiling(run.run_id)
    _conclude(run.run_id, ended, as_json=as_json)


def _announce(plan: Plan, run_id: str, jobs: Sequence[Job]) -> None:
    """Say what will run, with which levels of which factors, and how long that should take."""
    name = f"Run {run_id} of plan {plan.name}" if run_id else f"Plan {plan.name}"
    if not jobs:
        notice(f"{name}: nothing is missing")
        return
    past = Past.of(Store(results().tables), fingerprint.machine().sha)
    found = [past.estimate(job) for job in jobs]
    notice(f"{name}: {len(jobs)} {'notebook' if len(jobs) == 1 else 'notebooks'}, model {jobs[0].model}")
    for job, estimate in zip(jobs, found, strict=True):
        factors = "; ".join(f"{name} {levels}" for name, levels in varied(job.planned()).items())
        notice(f"{estimate.sentence}. {factors}")
    whole = sum(estimate.seconds for estimate in found)
    limit = "a guess:" if any(one.guessed for one in found) else "about"
    ends = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=whole)
    notice(f"In all {limit} {clock(whole)}" + (f", until {ends:%H:%M}" if run_id else ""))


def _build_models(jobs: Sequence[Job]) -> None:
    """Have every model ready, so that building one is in nobody's budget. Cells of one that is missing will say so."""
    missing: list[KokoroLabError] = []
    names = sorted({item.cell.model for job in jobs for item in job.planned()})
    for name in names:
        try:
            resolve(name, notice=notice)
        except KokoroLabError as error:
            missing.append(error)
    if missing and len(missing) == len(names):
        raise missing[0]
    for one in missing:
        notice(one.message)


def _measure_ceiling(run_id: str) -> None:
    """Peaks and work, once a run; without them the report has no bounds, and all else."""
    try:
        if keep_ceiling(Store(results().tables), run_id):
            notice(f"Run {run_id}: measured what this machine can multiply at most")
    except KokoroLabError as error:
        notice(error.message)


def _conclude(run_id: str, ended: Sequence[Execution], *, as_json: bool) -> None:
    """Say what is kept of the run, then raise what its exit code has to say."""
    store = Store(results().tables)
    summary = next((run for run in store.runs() if run["run_id"] == run_id), None)
    if as_json:
        notebooks = [
            {
                "notebook": execution.notebook,
                "status": execution.status,
                "error": execution.error,
                "executed": str(execution.executed),
                "seconds": execution.seconds,
            }
            for execution in ended
        ]
        print_json({"run_id": run_id, "run": summary, "notebooks": notebooks})
    failed = [execution for execution in ended if execution.status != "ok"]
    if summary is None or not summary["samples"]:
        reasons = sorted({execution.error for execution in failed} | set(store.cells(run_id)["error"]) - {""})
        raise NothingMeasuredError(f"Run {run_id} measured nothing: {' '.join(reasons) or 'no block was started'}")
    parts = [f"{summary[status]} {status}" for status in ("ok", "partial", "unavailable", "error") if summary[status]]
    notice(f"Run {run_id}: {summary['samples']} samples in {summary['blocks']} blocks ({', '.join(parts)})")
    if failed:
        words = "; ".join(f"{execution.notebook}: {execution.error}" for execution in failed)
        raise KokoroLabError(f"A notebook failed, its half-executed copy is kept: {words}")
    notice(f"Next: kokoro-lab report --run {run_id}")


class _Bar:
    """A bar on a terminal; elsewhere a line a finished block. It is redrawn only when something happened."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._lines = not sys.stderr.isatty()
        self._progress = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting the notebook", total=None)

    def __call__(self, event: Progress) -> None:
        failed = event.status in ("error", "unavailable", "partial")
        if (self._lines or failed) and event.kind != "start":
            status = f" {event.status}" if event.status else ""
            self._say(f"[{event.done}/{event.total}]{status} {event.message or 'planned'}")
        if not self._lines:
            self._progress.update(
                self._task, description=event.message[:60], completed=event.done, total=event.total, refresh=True
            )

    def _say(self, line: str) -> None:
        if self._lines:
            print(line, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(line, markup=False, highlight=False)

    def __enter__(self) -> Self:
        if not self._lines:
            self._progress.start()
            self._progress.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lines:
            self._progress.stop()
