"""Measure a job: sample its cells into the store, one commit per block, and conclude with the verdicts.

This runs in the notebook's process, which only waits; the timing is done in the worker processes that sampling starts.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import cast

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.files.writing import make_folder
from kokoro_lab.measure.machine import fingerprint
from kokoro_lab.measure.records.cell import Block, Cell, ModelReading
from kokoro_lab.measure.records.identity import PARTS
from kokoro_lab.measure.sampling.expected_bytes import expected_parts
from kokoro_lab.measure.sampling.launch import WORKER_COMMAND
from kokoro_lab.measure.sampling.sampler import Event, Resume, SamplingPolicy, sample
from kokoro_lab.measure.sampling.stopping_rule import StoppingRule
from kokoro_lab.measure.statistics.same_bytes import SameBytes, scopes
from kokoro_lab.models.catalog import resolve
from kokoro_lab.process.signals import interruptible
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.layout import Results
from kokoro_lab.store.run_facts.completeness import Ending, NotebookEnding
from kokoro_lab.store.run_facts.run_endings import end_notebook, plan_blocks
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.job import Job, PlannedCell
from kokoro_lab.sweeps.looks import Looks
from kokoro_lab.sweeps.progress import Listener, Progress, ProgressFile, cell_label

__all__ = ["RunSummary", "measure", "progress_path", "refuse_other_bytes"]


@dataclass(frozen=True)
class RunSummary:
    """The result of a call of `measure`."""

    run_id: str
    planned: int
    """Blocks of the job's plan."""
    stored: int
    """Planned blocks that are now in the store, without retries."""
    measured: int
    """Blocks that this call measured, including retries."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Status -> number of blocks that this call measured."""
    stopped: str = ""
    """Why the plan was not measured completely (budget spent, or comparisons decided); empty when it was."""
    ended: Ending = "complete"
    verdicts: int = 0
    """Rows that this call wrote to the table of verdicts; 0 when nothing is new."""
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """A summary in one sentence."""
        blocks = "block" if self.measured == 1 else "blocks"
        words = f"Measured {self.measured} {blocks} in {self.seconds:.0f} s; {self.stored} of {self.planned} are stored"
        failed = [f"{count} {status}" for status, count in sorted(self.statuses.items()) if status != "ok"]
        return words + (f" ({', '.join(failed)})" if failed else "") + (f"; {self.stopped}." if self.stopped else ".")


def progress_path(job: Job) -> Path:
    """The file where `measure` writes the job's progress and the command line reads it."""
    return Results(job.results).run(job.run_id) / f"{job.notebook}.progress.jsonl"


def measure(
    job: Job,
    progress: Listener | None = None,
    *,
    worker_command: Sequence[str] = WORKER_COMMAND,
    lock: Path | None = None,
) -> RunSummary:
    """Measure the missing blocks of a job, and store every block as soon as it is finished.

    A failed block is stored with its error and the run continues; another call measures it once more. A contaminated
    block is measured again, even when the run was interrupted before that. The budget covers all blocks of the job in
    the run, so that a resumed run does not get it twice; every cell gets one block, whatever the budget.

    Raises:
        PlanError: the job's cells cannot be planned, the run was imported, or it has measured other bytes than would
            be measured now.
        BusyError: another run is measuring on this machine.
        StoreError: a block could not be stored.
    """
    began = time.monotonic()
    plan = _plan(job)
    if plan.outstanding:
        plan = plan.continued()
    execution = _Execution(plan, _progress_writer(job, progress))
    execution.tell("plan")
    plan_blocks(plan.store, job.run_id, {job.notebook: len(plan.keys)})
    if plan.outstanding:
        with interruptible():  # else SIGTERM would end this process without ending the worker
            execution.run(worker_command, lock)
    end_notebook(plan.store, job.run_id, job.notebook, NotebookEnding(len(plan.keys), execution.ended))
    return RunSummary(
        run_id=job.run_id,
        planned=len(plan.keys),
        stored=execution.stored,
        measured=len(execution.measured),
        statuses=dict(Counter(block.result.status for block in execution.measured)),
        stopped=execution.stopped,
        ended=execution.ended,
        verdicts=conclude(plan.store, job.run_id, plan.cell_ids, len(job.looks) + 1),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Plan:
    """The blocks of a job, and which of them the store has."""

    job: Job
    store: Store
    record: RunRecord
    cells: tuple[PlannedCell, ...]
    resume: Resume

    @cached_property
    def cell_ids(self) -> frozenset[str]:
        return frozenset(item.cell.id for item in self.cells)

    @cached_property
    def keys(self) -> frozenset[tuple[str, int]]:
        """(cell id, block) of every planned block."""
        return frozenset((item.cell.id, number) for item in self.cells for number in range(item.blocks))

    def label(self, cell: Cell) -> str:
        """The cell in a few words, with its model where the plan has several."""
        several = len({item.cell.model for item in self.cells}) > 1
        return f"{cell.model}, {cell_label(cell)}" if several else cell_label(cell)

    @property
    def outstanding(self) -> bool:
        """Whether blocks of the plan, or further attempts at contaminated or failed ones, are still to be measured."""
        return bool(self.keys.difference(self.resume.done) or self.resume.owed(self.job.retries))

    def continued(self) -> _Plan:
        """The plan with the run's blocks, of any notebook, which define what it measures.

        Raises PlanError if they have measured other bytes than the cells of the plan would measure now.
        """
        earlier = [block for block in stored_blocks(self.store, self.job.run_id) if block.result.repeats]
        refuse_other_bytes(self.job, earlier, PARTS)
        return replace(self, resume=replace(self.resume, measured=earlier))

    def policy(self, worker_command: Sequence[str], lock: Path | None) -> SamplingPolicy:
        """The sampler's policy; the budget is reduced by the time of earlier calls."""
        return SamplingPolicy(
            blocks={item.cell.id: item.blocks for item in self.cells},
            seed=self.job.order_seed,
            budget_s=max(0.0, self.job.budget_s - _spent_s(self.store, self.job.run_id, self.cell_ids)),
            retries=self.job.retries,
            worker_command=worker_command,
            lock=lock,
        )


def _plan(job: Job) -> _Plan:
    """The job's cells, the run's folder and machine, and the stored blocks of the run."""
    cells = tuple(job.planned())
    places = Results(job.results)
    folder = places.inside(places.run(job.run_id))
    store = Store(places.tables)
    if store.origin(job.run_id) is not None:
        raise PlanError(f"run {job.run_id!r} was imported and cannot be measured further; give another run id")
    make_folder(folder)
    ids = {item.cell.id for item in cells}
    return _Plan(
        job=job,
        store=store,
        record=_record(job, store, cells, folder),
        cells=cells,
        resume=Resume(
            done=frozenset(key for key in store.done(job.run_id) if key[0] in ids),
            contaminated=frozenset(key for key in store.contaminated(job.run_id) if key[0] in ids),
            failed=frozenset(key for key in store.failed(job.run_id) if key[0] in ids),
        ),
    )


def refuse_other_bytes(job: Job, earlier: Sequence[Block], parts: Collection[str]) -> None:
    """Raise PlanError if these blocks of the job's run have measured other bytes, in these parts of the identity, than
    its cells would measure now, or if they do not say what they measured."""
    if not earlier:
        return
    if any(block.result.identity is None for block in earlier):
        raise PlanError(
            f"run {job.run_id!r} has blocks of an earlier version, which did not record what they measured "
            "(unverified); give another run id"
        )
    known, wrong = SameBytes(earlier), dict[str, None]()
    for cell in {scopes(item.cell): item.cell for item in job.planned()}.values():
        names = {"model": f"model {cell.model!r}", "voice": f"voice {cell.voice!r}"}
        found = known.differing(cell, expected_parts(cell))
        wrong |= dict.fromkeys(names.get(part, part) for part in found if part in parts)
    if wrong:
        raise PlanError(
            f"run {job.run_id!r} has measured other bytes than would be measured now: {', '.join(wrong)}; "
            "give another run id, or put the former files back"
        )


class _Execution:
    """A plan during measurement: every block is stored and reported to the listener."""

    def __init__(self, plan: _Plan, listener: Listener) -> None:
        self.measured: list[Block] = []
        self.ended: Ending = "complete"
        self.stopped = ""
        self._plan = plan
        self._listener = listener
        self._done = set(plan.resume.done)
        self._rule: StoppingRule | None = None
        self._looks: Looks | None = None
        if plan.job.adaptive or plan.job.looks:
            earlier = stored_blocks(plan.store, plan.job.run_id, plan.cell_ids)
            self._rule = StoppingRule(earlier)
            if plan.job.looks:
                self._looks = Looks(plan.store, plan.job.run_id, plan.job.looks, earlier)

    @property
    def stored(self) -> int:
        """Blocks of the plan that are in the store."""
        return len(self._plan.keys & self._done)

    def tell(self, kind: str, message: str = "", status: str = "") -> None:
        """Report progress."""
        self._listener(Progress(kind, self.stored, len(self._plan.keys), message, status))

    def run(self, worker_command: Sequence[str], lock: Path | None) -> None:
        """Measure and store what is outstanding."""
        plan = self._plan
        source = sample(
            [item.cell for item in plan.cells],
            plan.policy(worker_command, lock),
            run_dir=Path(plan.record.run_dir),
            resume=plan.resume,
            on_event=self._on_event,
            enough=self._enough if self._rule and not self._looks else None,
            leaving=self._leaving,
        )
        # Closed at once when anything goes wrong: it holds the machine's lock for as long as it lives.
        with contextlib.closing(cast("Generator[Block]", source)):
            for block in map(_sound, source):
                self._keep(block)
        plan.store.compact(plan.job.run_id)
        if self._looks and self._rule and self.ended != "decided":
            self._tell_what_is_undecided(self._looks, self._rule)
        elif self._rule and self.ended == "complete":
            self.stopped = "all blocks of the plan are measured, but not all comparisons are decided"
            self.tell("spent", self.stopped)

    def _keep(self, block: Block) -> None:
        self._plan.store.append_block(self._plan.record, block)
        self._done.add(block.key)
        self.measured.append(block)
        for listening in (self._rule, self._looks):
            if listening:
                listening.add(block)
        words = self._plan.label(block.cell) + (f": {block.result.error}" if block.result.error else "")
        self.tell("finished", words, block.result.status)

    def _on_event(self, event: Event) -> None:
        words = f"{self._plan.label(event.cell)}: {event.message}" if event.cell else event.message
        if event.kind == "budget":
            self.ended = "budget"
            words += "; not all comparisons are decided" if self._rule and not self._looks else ""
        elif event.kind == "enough":
            self.ended = "decided"
            words = f"decided within the budget: {words}"
        if self.ended != "complete":
            self.stopped = self.stopped or words
        if event.kind != "finished":
            self.tell(event.kind, words)

    def _tell_what_is_undecided(self, looks: Looks, rule: StoppingRule) -> None:
        """Which comparisons are undecided at the end, and how much more would decide them."""
        open_cells = looks.undecided()
        if not open_cells:
            return
        names = sorted(self._plan.label(item.cell) for item in self._plan.cells if item.cell.id in open_cells)
        parts = [self.stopped, f"undecided: {'; '.join(names)}", rule.outlook(rule.rounds, cells=open_cells)]
        self.stopped = "; ".join(filter(None, parts))
        self.tell("spent", self.stopped)

    def _leaving(self, rounds: int) -> frozenset[str]:
        return self._looks.leaving(rounds) if self._looks else frozenset()

    def _enough(self, rounds: int) -> str | None:
        if self._rule is None:
            return None
        reason = self._rule.enough(rounds)
        if reason is None and (words := self._rule.outlook(rounds)):
            self.tell("needed", words)
        return reason


def _sound(block: Block) -> Block:
    """The block unchanged, or as a failed block when one of its figures is not a number."""
    for repeat in block.result.repeats:
        for name, value in repeat.as_dict().items():
            if isinstance(value, float) and not math.isfinite(value):
                error = f"the worker returned {value} as {name} of repeat {repeat.repeat}, which is not a finite number"
                return replace(block, result=replace(block.result, status="error", error=error, repeats=()))
    return block


def _progress_writer(job: Job, progress: Listener | None) -> Listener:
    file = ProgressFile(progress_path(job))

    def report(event: Progress) -> None:
        file.write(event)
        if progress is not None:
            progress(event)

    return report


def _record(job: Job, store: Store, planned: Sequence[PlannedCell], folder: Path) -> RunRecord:
    machine, software, code = fingerprint.machine(), fingerprint.software(), fingerprint.code()
    store.append_machine(machine, software)
    return RunRecord(
        run_id=job.run_id,
        plan=job.plan,
        notebook=job.notebook,
        machine_id=machine.sha,
        software_id=software.sha,
        git_commit=code.facts["commit"],
        git_dirty=code.facts["dirty"],
        run_dir=str(folder),
        models={name: reading for name in {item.cell.model for item in planned} if (reading := _model(name))},
    )


def _model(name: str) -> ModelReading | None:
    """The model of a name, built or tried now if necessary, so that no block includes that time; None for an unknown
    name."""
    try:
        file = resolve(name)
        ensure_harmless(file)
    except KokoroLabError:
        return None  # each of its blocks fails with that error and is stored
    return ModelReading(
        name=file.name,
        sha256=file.sha256,
        weights=file.weights,
        architecture=file.architecture,
        precision=file.precision,
    )


def _spent_s(store: Store, run_id: str, cells: Collection[str]) -> float:
    """Seconds that the run's stored blocks of these cells took."""
    rows = store.cells(run_id)
    return float(rows.loc[rows["cell_id"].isin(list(cells)), "wall_s"].sum())
