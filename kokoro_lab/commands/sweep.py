"""`kokoro-lab sweep`: execute the notebooks of a plan in turn, with progress on standard error."""

from __future__ import annotations

import datetime
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from kokoro_lab.commands.console import notice, print_json
from kokoro_lab.commands.waiting import measuring
from kokoro_lab.errors import KokoroLabError, NothingMeasuredError, PlanError
from kokoro_lab.measure.machine import fingerprint
from kokoro_lab.measure.machine.lock import measured_now
from kokoro_lab.models.catalog import resolve
from kokoro_lab.paths import home
from kokoro_lab.process.signals import Interruption, interruption_of
from kokoro_lab.process.streams import tell
from kokoro_lab.store import Store, StoreReader
from kokoro_lab.store.layout import check_run_id, results
from kokoro_lab.store.run_facts.run_endings import plan_blocks
from kokoro_lab.store.run_facts.run_labels import Labels, check_labels, label_run, refuse_taken
from kokoro_lab.sweeps.dry_run import faults, unavailable_providers
from kokoro_lab.sweeps.estimate import DurationHistory, Estimate, in_minutes
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.machine_ceiling import store_ceiling
from kokoro_lab.sweeps.notebooks import NotebookExecution, execute
from kokoro_lab.sweeps.own_texts import given_texts
from kokoro_lab.sweeps.plan import Plan, load_plan
from kokoro_lab.sweeps.preparation import PreparedRun, prepare, stored_plan
from kokoro_lab.sweeps.progress import Progress, varied

__all__ = ["SweepOptions", "sweep"]


@dataclass(frozen=True)
class SweepOptions:
    """The options of the command; see its help."""

    plan: str | None
    run_id: str | None = None
    resume: bool = False
    model: str | None = None
    texts: tuple[str, ...] = ()
    text_files: tuple[Path, ...] = ()
    tags: tuple[str, ...] = ()
    note: str | None = None
    wait_s: float = 0.0
    dry_run: bool = False
    as_json: bool = False


def sweep(options: SweepOptions) -> None:
    """Run a plan, or the missing blocks of an earlier run; for a dry run, only check it and print the estimated time.

    Raises:
        PlanError: the plan, or the id of the run, cannot be used; after a dry run, whatever else is wrong.
        InputError: a tag or the note cannot be used.
        BusyError: another run has been measuring for longer than the command waits.
        NothingMeasuredError: no call was completed.
        KokoroLabError: a notebook failed.
    """
    if options.run_id is not None:
        check_run_id(options.run_id, error=PlanError)
    labels = check_labels(Labels(tags=options.tags, note=options.note or ""))
    plan, place = _plan(options), results()
    run = prepare(plan, place, run_id=options.run_id, resume=options.resume, dry_run=True)
    refuse_taken(StoreReader(place.tables), run.run_id, labels)
    estimates = _estimates(run.jobs)
    if options.dry_run:
        _announce(plan, "", run.jobs, estimates)
        _check(plan, run.jobs, estimates, options)
        return
    store, lasts_s = Store(place.tables), sum(estimate.seconds for estimate in estimates)
    with measuring(f"run {run.run_id}", options.wait_s, lasts_s=lasts_s):
        run = prepare(plan, place, run_id=run.run_id, resume=options.resume)
        label_run(store, run.run_id, add=options.tags, note=options.note)
        plan_blocks(store, run.run_id, {job.notebook: sum(each.blocks for each in job.planned()) for job in run.jobs})
        _execute(plan, run, estimates, as_json=options.as_json)


def _plan(options: SweepOptions) -> Plan:
    """The plan of the command line; to continue a run, the plan with which it was started."""
    if options.plan is None:
        if options.run_id is None or not options.resume:
            raise PlanError("no plan is named; name one, or the run to continue with --run-id and --resume")
        if options.model is not None or options.texts or options.text_files:
            raise PlanError("a run keeps its model and texts; leave out --model, --text and --text-file")
        path = results().plan(options.run_id)
        if not path.exists():
            raise PlanError(f"no run {options.run_id!r} under {results().runs}; start it without --resume")
        return stored_plan(path)
    plan = load_plan(options.plan)
    if options.model is not None:
        plan = plan.model_copy(update={"model": options.model})
    texts = given_texts(options.texts, options.text_files)
    return plan.with_texts(texts) if texts else plan


def _execute(plan: Plan, run: PreparedRun, estimates: Sequence[Estimate], *, as_json: bool) -> None:
    """Execute the notebooks in turn, and tell what came of it."""
    try:
        _announce(plan, run.run_id, run.jobs, estimates)
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
        again = ["kokoro-lab", "sweep", "--run-id", run.run_id, "--resume", *["--json"] * as_json]
        advice = f"{_stored(run.run_id)}, continue with {shlex.join(again)}"
        raise Interruption(interruption.number, advice) from error


def _check(plan: Plan, jobs: Sequence[Job], estimates: Sequence[Estimate], options: SweepOptions) -> None:
    """List everything that would keep the run from measuring; PlanError if there is anything."""
    found = faults(jobs, results(), wait_s=options.wait_s)
    lacking = unavailable_providers(jobs)
    if options.as_json:
        notebooks = [asdict(estimate) for estimate in estimates]
        print_json({"plan": plan.name, "notebooks": notebooks, "unavailable": lacking, "faults": found})
    if lacking:
        notice(f"not available here, and stored as such: {', '.join(lacking)}")
    if holders := measured_now():
        notice(f"{holders[0]} is being measured now")
    for each in found:
        notice(each)
    if found:
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        raise PlanError(f"plan {plan.name} has {count} here; correct what is listed above")
    notice("nothing was found that would keep this plan from running")


def _stored(run_id: str) -> str:
    """How many blocks of a run are stored, in words."""
    try:
        count = len(StoreReader(results().tables).done(run_id))
    except KokoroLabError as error:
        return f"the stored blocks cannot be counted ({error.message})"
    return f"{count} {'block is' if count == 1 else 'blocks are'} stored"


def _estimates(jobs: Sequence[Job]) -> list[Estimate]:
    past = DurationHistory.of(StoreReader(results().tables), fingerprint.machine().sha) if jobs else None
    return [past.estimate(job) for job in jobs] if past is not None else []


def _announce(plan: Plan, run_id: str, jobs: Sequence[Job], estimates: Sequence[Estimate]) -> None:
    """Print the notebooks that will run, the factors that they vary, and the estimated time."""
    name = f"run {run_id} of plan {plan.name}" if run_id else f"plan {plan.name}"
    if not jobs:
        notice(f"{name}: every block is already stored")
        return
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


def _check_models(jobs: Sequence[Job]) -> None:
    """Build missing models first, outside any time limit. Cells of an unavailable model store its error.

    Raises the error of the first model when none is available.
    """
    missing: list[KokoroLabError] = []
    names = sorted({item.cell.model for job in jobs for item in job.planned()})
    for name in names:
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
