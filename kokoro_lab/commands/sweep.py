"""`kokoro-lab sweep`: execute the notebooks of a plan in turn, with progress on standard error."""

from __future__ import annotations

import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.errors import KokoroLabError, NothingMeasuredError, PlanError
from kokoro_lab.measure.machine import fingerprint
from kokoro_lab.models.catalog import STAND_INS, resolve
from kokoro_lab.paths import home
from kokoro_lab.process.signals import Interruption, interruption_of
from kokoro_lab.process.streams import tell
from kokoro_lab.store import Store, StoreReader
from kokoro_lab.store.layout import check_run_id, results
from kokoro_lab.sweeps.estimate import DurationHistory, in_minutes
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.machine_ceiling import store_ceiling
from kokoro_lab.sweeps.notebooks import NotebookExecution, execute
from kokoro_lab.sweeps.plan import Plan, load_plan
from kokoro_lab.sweeps.preparation import prepare
from kokoro_lab.sweeps.progress import Progress, varied

__all__ = ["sweep"]


def sweep(
    plan_path: str, *, run_id: str | None, resume: bool, model: str | None, as_json: bool, dry_run: bool = False
) -> None:
    """Run a plan, or the missing blocks of an earlier run; for a dry run, only print them and the estimated time.

    Raises:
        PlanError: the plan, or the id of the run, cannot be used.
        NothingMeasuredError: no call was completed.
        KokoroLabError: a notebook failed.
    """
    if run_id is not None:
        check_run_id(run_id, error=PlanError)
    plan = load_plan(plan_path)
    if model is not None:
        plan = plan.model_copy(update={"model": model})
    run = prepare(plan, results(), run_id=run_id, resume=resume, dry_run=dry_run)
    if dry_run:
        _check_models(run.jobs, build=False)
        _announce(plan, "", run.jobs)
        return
    try:
        _announce(plan, run.run_id, run.jobs)
        _tell_about_places(run.run_id)
        _check_models(run.jobs)
        executions = []
        for job in run.jobs:
            with _Bar() as bar:
                execution = execute(job, bar)
            executions.append(execution)
            words = f"{execution.status} after {execution.seconds:.0f} s, stored as {execution.executed}"
            notice(f"{job.notebook}: {words}")
        _measure_ceiling(run.run_id)
        _conclude(run.run_id, executions, as_json=as_json)
    except KeyboardInterrupt as error:
        interruption = interruption_of(error) or Interruption()
        again = _resuming(plan_path, run.run_id, model=model, as_json=as_json)
        raise Interruption(interruption.number, f"{_stored(run.run_id)}, continue with {again}") from error


def _resuming(plan_path: str, run_id: str, *, model: str | None, as_json: bool) -> str:
    """The command that continues a run."""
    words = ["kokoro-lab", "sweep", plan_path, "--run-id", run_id, "--resume"]
    words += ["--model", model] if model is not None else []
    return shlex.join([*words, "--json"] if as_json else words)


def _stored(run_id: str) -> str:
    """How many blocks of a run are stored, in words."""
    try:
        count = len(StoreReader(results().tables).done(run_id))
    except KokoroLabError as error:
        return f"the stored blocks cannot be counted ({error.message})"
    return f"{count} {'block is' if count == 1 else 'blocks are'} stored"


def _announce(plan: Plan, run_id: str, jobs: Sequence[Job]) -> None:
    """Print the notebooks that will run, the factors that they vary, and the estimated time."""
    name = f"run {run_id} of plan {plan.name}" if run_id else f"plan {plan.name}"
    if not jobs:
        notice(f"{name}: every block is already stored")
        return
    past = DurationHistory.of(StoreReader(results().tables), fingerprint.machine().sha)
    estimates = [past.estimate(job) for job in jobs]
    notice(f"{name}: {len(jobs)} {'notebook' if len(jobs) == 1 else 'notebooks'}, model {jobs[0].model}")
    for job, estimate in zip(jobs, estimates, strict=True):
        factors = "; ".join(f"{name} {levels}" for name, levels in varied(job.planned()).items())
        notice(f"{estimate.sentence}. {factors}")
    whole = sum(estimate.seconds for estimate in estimates)
    limit = "roughly" if any(estimate.guessed for estimate in estimates) else "about"
    ends = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=whole)
    notice(f"in total {limit} {in_minutes(whole)}" + (f", until {ends:%H:%M}" if run_id else ""))


def _tell_about_places(run_id: str) -> None:
    """Tell when the home cannot be written, and when the clock is behind a stored run, which then stays the newest."""
    if home().is_dir() and not os.access(home(), os.W_OK):
        notice(f"{home()} cannot be written, so what it lacks is computed again for each block")
    now = datetime.datetime.now(datetime.UTC).isoformat()
    later = [run["run_id"] for run in StoreReader(results().tables).runs() if run["started_at"] > now]
    if set(later) - {run_id}:
        notice(
            f"the clock is behind the start of run {later[-1]}, which stays the newest run; name this run with "
            f"--run {run_id}, or set the clock"
        )


def _check_models(jobs: Sequence[Job], *, build: bool = True) -> None:
    """Build missing models first, outside any time limit. Cells of an unavailable model store its error.

    Raises the error of the first model when none is available.
    """
    missing: list[KokoroLabError] = []
    names = sorted({item.cell.model for job in jobs for item in job.planned()})
    for name in names:
        if name in STAND_INS and not build:
            continue
        try:
            resolve(name, notice=notice)
        except KokoroLabError as error:
            missing.append(error)
    if missing and len(missing) == len(names):
        raise missing[0]
    for unavailable in missing:
        notice(unavailable.message)


def _measure_ceiling(run_id: str) -> None:
    """Measure the machine's peak throughput and count operations, once per run; only the report's bounds need them."""
    try:
        if store_ceiling(Store(results().tables), run_id):
            notice(f"run {run_id}: measured this machine's peak multiplication throughput")
    except KokoroLabError as error:
        notice(error.message)


def _conclude(run_id: str, executions: Sequence[NotebookExecution], *, as_json: bool) -> None:
    """Print what the run stored, then raise the error for its exit code, if any."""
    store = StoreReader(results().tables)
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
            for execution in executions
        ]
        print_json({"run_id": run_id, "run": summary, "notebooks": notebooks})
    failed = [execution for execution in executions if execution.status != "ok"]
    if summary is None or not summary["samples"]:
        reasons = sorted({execution.error for execution in failed} | set(store.cells(run_id)["error"]) - {""})
        causes = ", ".join(reason.rstrip(".") for reason in reasons) or "no block was started"
        raise NothingMeasuredError(f"run {run_id} measured nothing ({causes}); correct that and start a new run")
    parts = [f"{summary[status]} {status}" for status in ("ok", "partial", "unavailable", "error") if summary[status]]
    notice(f"run {run_id}: {summary['samples']} samples in {summary['blocks']} blocks ({', '.join(parts)})")
    if failed:
        words = ", ".join(f"{execution.notebook}: {execution.error.rstrip('.')}" for execution in failed)
        raise KokoroLabError(
            f"{len(failed)} of {len(executions)} notebooks failed ({words}); open {failed[0].executed} to see where"
        )
    notice(f"next, run kokoro-lab report --run {run_id}")


class _Bar:
    """A progress bar on a terminal, elsewhere a line per finished block. It is redrawn only at an event."""

    def __init__(self) -> None:
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
            tell(line)
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
