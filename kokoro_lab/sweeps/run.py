"""Measure one job: its cells through sampling into the store, one commit a block; at its end, the verdicts.

Called in the notebook's process, which only asks and waits; the timing is done in the worker processes that
sampling starts.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure import fingerprint
from kokoro_lab.measure.adaptive import Evidence
from kokoro_lab.measure.cell import Block, ModelReading
from kokoro_lab.measure.launch import WORKER_COMMAND
from kokoro_lab.measure.sampling import Event, owed, sample
from kokoro_lab.models.catalog import resolve
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.places import Results
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.job import Job, PlannedCell
from kokoro_lab.sweeps.progress import Listener, Progress, ProgressFile, cell_label

__all__ = ["Ended", "RunSummary", "measure", "progress_path"]

Ended = Literal["complete", "budget", "decided"]
"""How the measuring ended: with the last block of the plan, with its seconds, or since every comparison is decided."""


@dataclass(frozen=True)
class RunSummary:
    """What came of one call of `measure`."""

    run_id: str
    planned: int
    """Blocks that the job plans."""
    kept: int
    """Blocks of the job that are in the store now; retries do not count."""
    measured: int
    """Blocks that this call measured, retries too."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Status -> blocks, of those that this call measured."""
    stopped: str = ""
    """Why the plan was not measured to its end (the budget, or enough evidence); empty when it was."""
    ended: Ended = "complete"
    verdicts: int = 0
    """Rows that this call wrote to the table of verdicts; none when nothing new is to be said."""
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        blocks = "block" if self.measured == 1 else "blocks"
        words = f"Measured {self.measured} {blocks} in {self.seconds:.0f} s; {self.kept} of {self.planned} are kept"
        failed = [f"{count} {status}" for status, count in sorted(self.statuses.items()) if status != "ok"]
        return words + (f" ({', '.join(failed)})" if failed else "") + (f". {self.stopped}" if self.stopped else ".")


def progress_path(job: Job) -> Path:
    """Where `measure` writes the job's progress, and the command line reads it."""
    return Results(job.results).run(job.run_id) / f"{job.notebook}.progress.jsonl"


def measure(
    job: Job,
    progress: Listener | None = None,
    *,
    worker_command: Sequence[str] = WORKER_COMMAND,
    lock: Path | None = None,
) -> RunSummary:
    """Measure what is missing of a job, and keep every block the moment it is finished.

    A block that fails is kept with its error and the run goes on; one that was contaminated is measured again, also
    when the run was interrupted before that could be done. The budget counts all blocks of the job that the run
    has, so that a resumed run does not get it twice; every cell gets one block, whatever the budget says.

    Raises:
        PlanError: the job's cells cannot be planned.
        BusyError: another run is measuring on this machine.
        StoreError: a block could not be kept.
    """
    began = time.monotonic()
    planned = job.planned()
    folder = Results(job.results).run(job.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(Results(job.results).tables)
    tell = _teller(job, progress)
    record = _record(job, store, planned, folder)
    keys = {(item.cell.id, number) for item in planned for number in range(item.blocks)}
    mine = {item.cell.id for item in planned}
    done = {key for key in store.done(job.run_id) if key[0] in mine}
    contaminated = {key for key in store.contaminated(job.run_id) if key[0] in mine}
    tell(Progress("plan", len(keys & done), len(keys)))

    measured: list[Block] = []
    evidence = Evidence(stored_blocks(store, job.run_id, mine)) if job.adaptive else None
    ended: Ended = "complete"
    stopped = ""

    def on_event(event: Event) -> None:
        nonlocal ended, stopped
        words = f"{cell_label(event.cell)}: {event.message}" if event.cell else event.message
        if event.kind == "budget":
            ended = "budget"
            words += " The comparisons are not all decided." if evidence else ""
        elif event.kind == "enough":
            ended = "decided"
            words = f"Decided within the budget: {words}"
        if ended != "complete":
            stopped = stopped or words
        if event.kind != "finished":
            tell(Progress(event.kind, len(keys & done), len(keys), words))

    def enough(rounds: int) -> str | None:
        reason = evidence.enough(rounds) if evidence else None
        if evidence and reason is None and (words := evidence.outlook(rounds)):
            tell(Progress("needed", len(keys & done), len(keys), words))
        return reason

    if not keys <= done or owed(done, contaminated, job.retries):
        source = sample(
            [item.cell for item in planned],
            blocks={item.cell.id: item.blocks for item in planned},
            seed=job.order_seed,
            run_dir=folder,
            done=done,
            contaminated=contaminated,
            budget_s=max(0.0, job.budget_s - _spent_s(store, job.run_id, mine)),
            on_event=on_event,
            enough=enough if evidence else None,
            retries=job.retries,
            worker_command=worker_command,
            lock=lock,
        )
        # Closed at once when anything goes wrong: it holds the machine's lock for as long as it lives.
        with contextlib.closing(cast("Generator[Block]", source)):
            for block in map(_sound, source):
                store.append_block(record, block)
                done.add(block.key)
                measured.append(block)
                if evidence:
                    evidence.add(block)
                words = cell_label(block.cell) + (f": {block.result.error}" if block.result.error else "")
                tell(Progress("finished", len(keys & done), len(keys), words, block.result.status))
        store.compact(job.run_id)
        if evidence and ended == "complete":
            stopped = "Every block of the plan is measured; the comparisons are not all decided."
            tell(Progress("spent", len(keys & done), len(keys), stopped))
    return RunSummary(
        run_id=job.run_id,
        planned=len(keys),
        kept=len(keys & done),
        measured=len(measured),
        statuses=dict(Counter(block.result.status for block in measured)),
        stopped=stopped,
        ended=ended,
        verdicts=conclude(store, job.run_id, mine),
        seconds=time.monotonic() - began,
    )


def _sound(block: Block) -> Block:
    """The block as it is, or as a failed one when a figure in it is not a number: such a row is no measurement."""
    for repeat in block.result.repeats:
        for name, value in repeat.as_dict().items():
            if isinstance(value, float) and not math.isfinite(value):
                error = f"The worker gave {value} as {name} of repeat {repeat.repeat}, which is not a number."
                return replace(block, result=replace(block.result, status="error", error=error, repeats=()))
    return block


def _teller(job: Job, progress: Listener | None) -> Callable[[Progress], None]:
    file = ProgressFile(progress_path(job))

    def tell(event: Progress) -> None:
        file.write(event)
        if progress is not None:
            progress(event)

    return tell


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
    """What a model name stands for, built now if need be, so that no block pays for it; None when there is none."""
    try:
        file = resolve(name)
    except KokoroLabError:
        return None  # each block of it fails with that error, and is kept
    return ModelReading(
        name=file.name,
        sha256=file.sha256,
        weights=file.weights,
        architecture=file.architecture,
        precision=file.precision,
    )


def _spent_s(store: Store, run_id: str, cells: Collection[str]) -> float:
    """Seconds that the run's kept blocks of these cells took."""
    rows = store.cells(run_id)
    return float(rows.loc[rows["cell_id"].isin(list(cells)), "wall_s"].sum())
