"""Choose the next process to start, until the plan is complete, the comparisons are decided or the budget is spent."""

from __future__ import annotations

import contextlib
import datetime
import functools
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from kokoro_lab.errors import KokoroLabError, PlanError, StoreError
from kokoro_lab.files.scratch import remove_abandoned
from kokoro_lab.files.writing import make_folder, remove_litter, scratch_folder
from kokoro_lab.measure.block.renderings import audio_paths
from kokoro_lab.measure.machine import pagecache
from kokoro_lab.measure.machine.interference import reading, settle, snapshot, with_waiting
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.measure.machine.wall_clock import SteadyClock
from kokoro_lab.measure.records.cell import RETRY_STRIDE, Block, BlockResult, Cell, GateReading, QuietReading
from kokoro_lab.measure.sampling.audio_gate import RunAudio, judge_renderings, reference_of, vouched_reading
from kokoro_lab.measure.sampling.expected_bytes import cell_files
from kokoro_lab.measure.sampling.launch import WORKER_COMMAND, VisitPart, WorkerOutcome, launch_visit
from kokoro_lab.measure.sampling.rounds import Slot, rounds, visits
from kokoro_lab.measure.statistics.same_bytes import SameBytes, parts_of_block

__all__ = ["Event", "EventKind", "Resume", "SamplingPolicy", "sample"]

LOOK_EVERY = 2
"""Rounds after which `enough` is asked again: as in the simulated runs that check adaptive sampling."""

BLOCK = "block-"  # a block's temporary folder, in its run's

ROOM = 2 << 20
"""Bytes; more than a worker's result and audio take, so that a failure with less free is put down to the disk."""

EventKind = Literal["start", "finished", "retry", "budget", "enough"]


@dataclass(frozen=True)
class Event:
    """A progress event."""

    kind: EventKind
    message: str
    cell: Cell | None = None
    block: int = -1
    done: int = 0
    """Blocks of the plan that are finished, including those of earlier calls."""
    total: int = 0
    """Blocks of the whole plan."""


Leaving = Callable[[int], Collection[str]]
"""Number of finished rounds -> ids of the cells that are in no later round."""


def _ignore(event: Event) -> None:
    """Default listener: does nothing."""


def _nobody(rounds: int) -> Collection[str]:
    """By default every cell stays to the end."""
    return ()


@dataclass(frozen=True)
class SamplingPolicy:
    """How much is measured, in which order, and with what."""

    blocks: int | Mapping[str, int]
    """Blocks of every cell; cell id -> blocks where they differ."""
    seed: int
    """Of the random order of each round."""
    budget_s: float | None = None
    """Seconds after which no new process starts, except for each cell's first block; nor does one start that would end
    later, judging by the slowest process with these cells. None: no limit."""
    retries: int = 1
    """How often a contaminated block is measured again."""
    timeout_s: float = 900.0
    """Seconds for each of its cells after which a worker is killed and its blocks become errors."""
    worker_command: Sequence[str] = WORKER_COMMAND
    lock: Path | None = None
    """The lock file that prevents two runs from measuring at once; None: the machine's."""


@dataclass(frozen=True)
class Resume:
    """The blocks that earlier calls have measured, as (cell id, block)."""

    done: Collection[tuple[str, int]] = ()
    """Blocks that are not measured again."""
    contaminated: Collection[tuple[str, int]] = ()
    """Those of them that other processes on the machine disturbed."""
    failed: Collection[tuple[str, int]] = ()
    """Those of them that ended with an error."""
    measured: Sequence[Block] = ()
    """The blocks of the run, of any cell, that define which bytes it measures."""

    @classmethod
    def after(cls, blocks: Iterable[Block]) -> Resume:
        """Continue after these blocks."""
        known = list(blocks)
        return cls(
            frozenset(block.key for block in known),
            frozenset(block.key for block in known if block.quiet.contaminated),
            frozenset(block.key for block in known if block.result.status == "error"),
            known,
        )

    def owed(self, retries: int) -> frozenset[tuple[str, int]]:
        """The further attempts that are still to be measured: of contaminated blocks at most `retries`, of a block that
        ended with an error one in each call."""
        again = {(cell, block + RETRY_STRIDE) for cell, block in self.contaminated if block // RETRY_STRIDE < retries}
        again |= {(cell, block + RETRY_STRIDE) for cell, block in self.failed}
        return frozenset(again) - frozenset(self.done)

    @property
    def answered(self) -> frozenset[str]:
        """The cells with a block that did not end with an error."""
        return frozenset(cell for cell, _ in frozenset(self.done) - frozenset(self.failed))


FROM_THE_START = Resume()


def sample(
    cells: Sequence[Cell],
    policy: SamplingPolicy,
    *,
    run_dir: Path,
    resume: Resume = FROM_THE_START,
    on_event: Callable[[Event], None] = _ignore,
    enough: Callable[[int], str | None] | None = None,
    leaving: Leaving = _nobody,
) -> Iterator[Block]:
    """Measure every cell as often as the policy says, interleaved; yield each finished block.

    A contaminated block is measured again at once or, in a resumed run, at its place in the plan, within the budget, as
    a block of its own that names the one it replaces; so is, in a resumed run, a block that ended with an error. A
    block that measured other bytes than the run's earlier blocks is an error. `enough`: asked after every second round
    (with the number of finished rounds) whether the comparisons are decided; a reason ends the sampling. `leaving`:
    asked after every round which cells are not needed in later ones; without any left, the sampling ends.

    Cells that share a process in a round (`rounds`) are measured by it in turn. The contaminated ones among them are
    measured again in a further process, and after a crash the cells that were not answered are errors.

    In round 0 a cell may come before its reference, whose audio its gate needs. Such a block is yielded as soon as the
    reference has been measured, within that round; if the process is killed before, the block is measured again.

    This process sleeps while a worker runs. It holds the machine's lock from the first block to the last: BusyError if
    another run does. PlanError when the references are not unambiguous or a cell is listed twice.
    """
    if len({cell.id for cell in cells}) != len(cells):
        raise PlanError("the same cell is in the plan twice; give A/A pairs different replica numbers")
    plan = list(rounds(cells, policy.blocks, policy.seed))
    references = reference_of(cells)
    return _Sampling(references, policy, run_dir, resume, on_event=on_event, total=len(plan)).run(plan, enough, leaving)


@dataclass(frozen=True)
class _MeasuredBlock:
    """A block before its audio was judged."""

    block: Block
    launched: WorkerOutcome
    files: contextlib.ExitStack
    """Deletes the files of the worker when it is closed."""


class _Sampling:
    """The state of a run: finished blocks, blocks that wait for their reference, block durations, start time."""

    def __init__(
        self,
        references: dict[str, Cell],
        policy: SamplingPolicy,
        run_dir: Path,
        resume: Resume,
        *,
        on_event: Callable[[Event], None],
        total: int,
    ) -> None:
        self._references = references
        self._policy = policy
        self._budget_s = float("inf") if policy.budget_s is None else policy.budget_s
        self._run_dir = run_dir
        self._audio = RunAudio(run_dir / "audio")
        self._done = frozenset(resume.done)
        self._owed = resume.owed(policy.retries)
        self._answered = resume.answered
        self._bytes = SameBytes(resume.measured)
        self._on_event = on_event
        self._total = total
        self._finished = 0
        self._ahead: set[str] = set()
        self._waiting: list[_MeasuredBlock] = []
        self._slowest: dict[frozenset[str], float] = {}
        self._left: frozenset[str] = frozenset()
        self._began = time.monotonic()
        self._clock = SteadyClock()

    def run(
        self, slots: Sequence[Slot], enough: Callable[[int], str | None] | None, leaving: Leaving
    ) -> Iterator[Block]:
        with exclusive_measurement(f"run {self._run_dir.name}", path=self._policy.lock):
            make_folder(self._run_dir)
            remove_litter(self._run_dir)
            for run in self._run_dir.parent.iterdir():
                remove_abandoned(run, BLOCK)
            self._began = time.monotonic()
            try:
                yield from self._gated(self._measured(slots, enough, leaving))
            finally:
                for item in self._waiting:
                    item.files.close()

    def _measured(
        self, slots: Sequence[Slot], enough: Callable[[int], str | None] | None, leaving: Leaving
    ) -> Iterator[_MeasuredBlock]:
        self._ahead = {
            slot.cell.id
            for slot in slots
            if slot.cell.reference and slot.round == 0 and (slot.cell.id, slot.round) not in self._done
        }
        measured = set(self._answered)
        plan = visits(slots)
        for position, visit in enumerate(plan):
            staying = [slot for slot in visit if slot.cell.id not in self._left]
            new = [slot for slot in staying if (slot.cell.id, slot.round) not in self._done]
            for slot in staying:
                if slot not in new:
                    self._finished += 1
                    yield from self._owed_retries(slot, measured)
            if new and all(slot.cell.id in measured for slot in new) and not self._affordable(new):
                self._say("budget", f"the budget of {self._budget_s:g} s is spent after {self._finished} blocks")
                # Cells without a block still get one; this happens in resumed runs only.
                yield from self._first_blocks(plan[position:], measured)
                return
            measured.update(slot.cell.id for slot in new)
            yield from self._visit(dict.fromkeys(new, 0))
            number = visit[0].round
            ends_round = position + 1 == len(plan) or plan[position + 1][0].round != number
            if ends_round and (reason := self._after_round(number + 1, slots, enough, leaving)):
                self._say("enough", reason)
                return

    def _after_round(
        self,
        number: int,
        slots: Sequence[Slot],
        enough: Callable[[int], str | None] | None,
        leaving: Leaving,
    ) -> str | None:
        """Why the sampling ends after this many rounds; None where it goes on, with the cells that are still needed."""
        if number % LOOK_EVERY == 0 and enough is not None and (reason := enough(number)):
            return reason
        self._left |= frozenset(leaving(number))
        later = [slot for slot in slots if slot.round >= number]
        if later and self._left.issuperset(slot.cell.id for slot in later):
            return f"every comparison is decided after {number} rounds"
        return None

    def _gated(self, measured: Iterable[_MeasuredBlock]) -> Iterator[Block]:
        """The blocks with their gates, in the order in which they were measured, except that a block whose reference
        cell is still to come waits for it."""
        for item in measured:
            self._ahead.discard(item.block.cell.id)
            if self._must_wait(item):
                self._waiting.append(item)
                continue
            block = self._judged(item)
            yield from self._released()
            yield block
        self._ahead.clear()
        yield from self._released()

    def _must_wait(self, item: _MeasuredBlock) -> bool:
        return item.launched.audio is not None and self._references[item.block.cell.id].id in self._ahead

    def _released(self) -> Iterator[Block]:
        for item in [item for item in self._waiting if not self._must_wait(item)]:
            self._waiting.remove(item)
            yield self._judged(item)

    def _judged(self, item: _MeasuredBlock) -> Block:
        with item.files:
            gate, audio_path = self._judge(item.block.cell, item.launched)
        return replace(item.block, gate=gate, audio_path=audio_path)

    def _owed_retries(self, slot: Slot, measured: set[str]) -> Iterator[_MeasuredBlock]:
        for attempt in self._attempts(slot):
            if slot.cell.id not in measured or self._affordable([slot]):
                measured.add(slot.cell.id)
                yield from self._visit({slot: attempt})

    def _attempts(self, slot: Slot) -> list[int]:
        """The attempts that are owed to a slot."""
        return sorted(
            number // RETRY_STRIDE
            for cell_id, number in self._owed
            if cell_id == slot.cell.id and number % RETRY_STRIDE == slot.round
        )

    def _first_blocks(self, plan: Iterable[Sequence[Slot]], measured: set[str]) -> Iterator[_MeasuredBlock]:
        for visit in plan:
            first = [slot for slot in visit if slot.cell.id not in measured]
            measured.update(slot.cell.id for slot in first)
            owed = {slot: self._attempts(slot) for slot in first if (slot.cell.id, slot.round) in self._done}
            yield from self._visit({slot: next(iter(owed.get(slot, ())), 0) for slot in first})

    def _visit(self, attempts: Mapping[Slot, int]) -> Iterator[_MeasuredBlock]:
        """The blocks of a process, starting with these attempts, and in further processes the retries of those that are
        contaminated."""
        last = {slot: max(first, self._policy.retries) for slot, first in attempts.items()}
        while attempts:
            items = self._measure(attempts)
            cells = frozenset(slot.cell.id for slot in attempts)
            wall_s = sum(item.block.wall_s for item in items)
            self._slowest[cells] = max(self._slowest.get(cells, 0.0), wall_s)
            again = {}
            for (slot, attempt), item in zip(attempts.items(), items, strict=True):
                block = item.block
                self._finished += attempt == 0
                self._say("finished", block.result.error or block.result.status, slot.cell, block.block)
                yield item
                if block.quiet.contaminated and attempt < last[slot]:
                    again[slot] = item
            if not self._affordable(list(again)):
                return
            for slot, item in again.items():
                reason = item.block.quiet.reason
                self._say("retry", f"contaminated, measuring again: {reason}", slot.cell, item.block.block)
            attempts = {slot: attempts[slot] + 1 for slot in again}

    def _measure(self, attempts: Mapping[Slot, int]) -> list[_MeasuredBlock]:
        """Measure the cells of these slots in one process."""
        with contextlib.ExitStack() as stack:
            parts, files = [], []
            for slot, attempt in attempts.items():
                self._say("start", "measuring", slot.cell, attempt * RETRY_STRIDE + slot.round)
                own = stack.enter_context(contextlib.ExitStack())
                # In the run's folder, so that the audio can be moved without copying it to another file system.
                work = own.enter_context(scratch_folder(self._run_dir, prefix=BLOCK))
                made_cold = functools.partial(_made_cold, slot.cell) if slot.cell.state == "cold" else None
                parts.append(VisitPart(slot.cell, work, made_cold))
                files.append(own)
            started_at = self._clock.now()
            settle()
            before = snapshot()
            outcomes = launch_visit(parts, command=self._policy.worker_command, timeout_s=self._policy.timeout_s)
            quiet = reading(before, snapshot())
            items = []
            for place, (slot, attempt) in enumerate(attempts.items()):
                launched = self._of_the_same_bytes(slot.cell, outcomes[place])
                shared = slot.cell.process == "shared"
                block = _block(slot, attempt, launched, quiet)
                moment = started_at.isoformat(timespec="milliseconds")
                block = replace(block, started_at=moment, place=place if shared else None)
                started_at += datetime.timedelta(seconds=launched.wall_s)
                items.append(_MeasuredBlock(block, launched, files[place].pop_all()))
            return items

    def _of_the_same_bytes(self, cell: Cell, launched: WorkerOutcome) -> WorkerOutcome:
        """The outcome unchanged, or an error in its place if it measured other bytes than the blocks before it."""
        result = launched.result
        if not result.repeats or not (wrong := self._bytes.take(cell, parts_of_block(result))):
            return launched
        error = f"measured other bytes than the run's earlier blocks: {', '.join(wrong)}; put the former ones back"
        refused = replace(
            BlockResult("error", error, model=result.model, identity=result.identity, versions=result.versions),
            cold=result.cold,
            visit=result.visit,
        )
        return replace(launched, result=refused, audio=None)

    def _judge(self, cell: Cell, launched: WorkerOutcome) -> tuple[GateReading | None, str]:
        """The block's gate, None without audio or without a reference yet; and the path of the cell's audio."""
        if launched.result.status == "error":
            _refuse_full_disk(self._run_dir)
        stored = self._audio.path(cell)
        if launched.audio is None or not launched.result.repeats:
            return None, str(stored) if stored.exists() else ""
        paths = audio_paths(launched.audio)[: max(1, len(launched.result.renderings))]
        renderings = [np.load(path) for path in paths]
        stored = self._audio.store(cell, launched.audio, launched.result.durations)
        reference = self._references[cell.id]
        expected = self._audio.load(reference)
        if expected is None:
            return None, str(stored)
        gate = judge_renderings(reference, expected, renderings, launched.result)
        return vouched_reading(cell, gate, launched.result.model), str(stored)

    def _affordable(self, slots: Collection[Slot]) -> bool:
        """Whether a process for these slots would end within the budget, judging by the processes that had at least
        their cells."""
        cells = {slot.cell.id for slot in slots}
        longest = min((seconds for group, seconds in self._slowest.items() if cells <= group), default=0.0)
        return self._budget_s - (time.monotonic() - self._began) > longest

    def _say(self, kind: EventKind, message: str, cell: Cell | None = None, block: int = -1) -> None:
        self._on_event(Event(kind, message, cell, block, self._finished, self._total))


def _block(slot: Slot, attempt: int, launched: WorkerOutcome, quiet: QuietReading) -> Block:
    """The block of a slot; `quiet`: of its whole process, which a shared one has read for each cell."""
    number = attempt * RETRY_STRIDE + slot.round
    visit = launched.result.visit
    return Block(
        cell=slot.cell,
        block=number,
        order=slot.order,
        round=slot.round,
        result=launched.result,
        quiet=with_waiting(visit.quiet, quiet) if visit else quiet,
        attempt=attempt,
        replaces=number - RETRY_STRIDE if attempt else None,
        wall_s=launched.wall_s,
    )


def _refuse_full_disk(folder: Path) -> None:
    """A worker that could not write its result says nothing about its cell: the run ends, and is resumed with room.

    Raises:
        StoreError: the disk of the run is full.
    """
    if shutil.disk_usage(folder).free < ROOM:
        raise StoreError(f"the disk of {folder} is full, and a worker failed; free some space, then resume the run")


def _made_cold(cell: Cell) -> dict[str, str]:
    """Drop the files that the cell's process reads from the page cache, just before it starts."""
    try:
        files = cell_files(cell)
    except KokoroLabError as error:
        return pagecache.not_cold(error.message)
    return pagecache.made_cold(files.model, (*files.kernels, *files.runtime))
