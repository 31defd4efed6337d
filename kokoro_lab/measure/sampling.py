"""Which block is measured next, until the plan is done, the caller has seen enough, or the budget is spent."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.measure import pagecache
from kokoro_lab.measure.cell import RETRY_STRIDE, Block, Cell, GateReading
from kokoro_lab.measure.gate import AudioShelf, judge, reference_of
from kokoro_lab.measure.launch import WORKER_COMMAND, Launched, launch
from kokoro_lab.measure.lock import measuring_alone
from kokoro_lab.measure.quiet import reading, settle, snapshot
from kokoro_lab.measure.rounds import Slot, rounds

__all__ = ["Event", "EventKind", "owed", "sample"]

EventKind = Literal["start", "finished", "retry", "budget", "enough"]


@dataclass(frozen=True)
class Event:
    """Progress, for whoever shows it."""

    kind: EventKind
    message: str
    cell: Cell | None = None
    block: int = -1
    done: int = 0
    """Blocks of the plan that are behind us, resumed ones too."""
    total: int = 0
    """Blocks of the whole plan."""


def _unheard(event: Event) -> None:
    """Default listener."""


def owed(
    done: Collection[tuple[str, int]], contaminated: Collection[tuple[str, int]], retries: int
) -> set[tuple[str, int]]:
    """The blocks that an earlier call owes: retries of those of its `done` blocks that were `contaminated`."""
    known = set(done)
    again = {(cell, block + RETRY_STRIDE) for cell, block in contaminated if block // RETRY_STRIDE < retries}
    return {key for key in again if key not in known}


def sample(
    cells: Sequence[Cell],
    *,
    blocks: int | Mapping[str, int],
    seed: int,
    run_dir: Path,
    done: Collection[tuple[str, int]] = (),
    contaminated: Collection[tuple[str, int]] = (),
    budget_s: float | None = None,
    on_event: Callable[[Event], None] = _unheard,
    enough: Callable[[int], str | None] | None = None,
    retries: int = 1,
    timeout_s: float = 900.0,
    worker_command: Sequence[str] = WORKER_COMMAND,
    lock: Path | None = None,
) -> Iterator[Block]:
    """Measure every cell `blocks` times (cell id -> blocks where they differ), interleaved; yield each finished block.

    `done`: (cell id, block) pairs that a resumed run has already; `contaminated`: those of them that something else
    disturbed. `budget_s`: seconds after which no new block starts, except that each cell gets one; nor does one start
    that, judging by its cell's slowest, would end later than that. `enough`: asked after each mirrored pair of rounds
    (with the number of rounds behind us) whether the comparisons are decided; a sentence ends the sampling. `retries`:
    how often a contaminated block is measured again, at once or, in a resumed run, at its place in the plan, within the
    budget, as a block of its own that names the one it replaces.

    This process sleeps while a worker runs. It holds the machine's lock from the first block to the last: BusyError if
    another run does. PlanError when the cells have no unambiguous references or the same cell is there twice.
    """
    if len({cell.id for cell in cells}) != len(cells):
        raise PlanError("The same cell is in the plan twice; give A/A pairs different replica numbers.")
    plan = list(rounds(cells, blocks, seed))
    return _Sampling(
        references=reference_of(cells),
        run_dir=run_dir,
        command=tuple(worker_command),
        timeout_s=timeout_s,
        retries=retries,
        budget_s=float("inf") if budget_s is None else budget_s,
        on_event=on_event,
        enough=enough,
        total=len(plan),
        done=set(done),
        owed=owed(done, contaminated, retries),
    ).run(plan, lock)


class _Sampling:
    """The state of one run: what is done, how long blocks take, when it began."""

    def __init__(
        self,
        *,
        references: dict[str, Cell],
        run_dir: Path,
        command: tuple[str, ...],
        timeout_s: float,
        retries: int,
        budget_s: float,
        on_event: Callable[[Event], None],
        enough: Callable[[int], str | None] | None,
        total: int,
        done: set[tuple[str, int]],
        owed: set[tuple[str, int]],
    ) -> None:
        self._references = references
        self._run_dir = run_dir
        self._shelf = AudioShelf(run_dir / "audio")
        self._command = command
        self._timeout_s = timeout_s
        self._retries = retries
        self._budget_s = budget_s
        self._on_event = on_event
        self._enough = enough
        self._total = total
        self._done = done
        self._owed = owed
        self._behind = 0
        self._slowest: dict[str, float] = {}
        self._began = time.monotonic()

    def run(self, slots: Sequence[Slot], lock: Path | None) -> Iterator[Block]:
        with measuring_alone(f"run {self._run_dir.name}", path=lock):
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._began = time.monotonic()
            measured = {cell_id for cell_id, _ in self._done}
            for position, slot in enumerate(slots):
                if (slot.cell.id, slot.round) in self._done:
                    self._behind += 1
                    for attempt in range(1, self._retries + 1):
                        if self._key(slot, attempt) in self._owed and self._affordable(slot.cell):
                            yield from self._slot(slot, attempt)
                elif slot.cell.id in measured and not self._affordable(slot.cell):
                    self._say("budget", f"The budget of {self._budget_s:g} s is spent after {self._behind} blocks.")
                    # Cells that have no block yet still get theirs; those are all in the rounds of a resumed run.
                    yield from self._first_blocks(slots[position:], measured)
                    return
                else:
                    measured.add(slot.cell.id)
                    yield from self._slot(slot)
                ends_pair = slot.round % 2 == 1 and (
                    position + 1 == len(slots) or slots[position + 1].round != slot.round
                )
                if ends_pair and self._enough is not None and (reason := self._enough(slot.round + 1)):
                    self._say("enough", reason)
                    return

    def _first_blocks(self, slots: Sequence[Slot], measured: set[str]) -> Iterator[Block]:
        for slot in slots:
            if slot.cell.id not in measured:
                measured.add(slot.cell.id)
                yield from self._slot(slot)

    @staticmethod
    def _key(slot: Slot, attempt: int) -> tuple[str, int]:
        return slot.cell.id, attempt * RETRY_STRIDE + slot.round

    def _slot(self, slot: Slot, first: int = 0) -> Iterator[Block]:
        """The block of a slot, from its attempt `first` on, and, while it is contaminated, its retries."""
        for attempt in range(first, self._retries + 1):
            _, number = self._key(slot, attempt)
            block = self._measure(slot, attempt, number)
            self._slowest[slot.cell.id] = max(self._slowest.get(slot.cell.id, 0.0), block.wall_s)
            self._behind += attempt == 0
            self._say("finished", block.result.error or block.result.status, slot.cell, number)
            yield block
            if not block.quiet.contaminated or attempt == self._retries or not self._affordable(slot.cell):
                return
            self._say("retry", f"Contaminated, measured again: {block.quiet.reason}.", slot.cell, number)

    def _measure(self, slot: Slot, attempt: int, number: int) -> Block:
        self._say("start", "measuring", slot.cell, number)
        # In the run's folder, so that the audio can be moved onto its shelf without copying it to another file system.
        with tempfile.TemporaryDirectory(prefix="block-", dir=self._run_dir) as work:
            extra = {"file_cache": _cold_file(slot.cell)} if slot.cell.state == "cold" else {}
            started_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
            settle()
            before = snapshot()
            launched = launch(slot.cell, Path(work), command=self._command, extra=extra, timeout_s=self._timeout_s)
            after = snapshot()
            gate, audio_path = self._judge(slot.cell, launched)
        return Block(
            cell=slot.cell,
            block=number,
            order=slot.order,
            round=slot.round,
            result=launched.result,
            quiet=reading(before, after),
            gate=gate,
            attempt=attempt,
            replaces=number - RETRY_STRIDE if attempt else None,
            started_at=started_at,
            wall_s=launched.wall_s,
            audio_path=audio_path,
        )

    def _judge(self, cell: Cell, launched: Launched) -> tuple[GateReading | None, str]:
        """The block's gate, None without audio or without a reference yet; and where the cell's audio is kept."""
        kept = self._shelf.path(cell)
        if launched.audio is None or not launched.result.repeats:
            return None, str(kept) if kept.exists() else ""
        audio = np.load(launched.audio)
        kept = self._shelf.keep(cell, launched.audio, launched.result.durations)
        reference = self._references[cell.id]
        expected = self._shelf.load(reference)
        if expected is None:
            return None, str(kept)
        return judge(reference, expected[0], audio, expected[1], launched.result.durations), str(kept)

    def _affordable(self, cell: Cell) -> bool:
        left = self._budget_s - (time.monotonic() - self._began)
        return left > self._slowest.get(cell.id, 0.0)

    def _say(self, kind: EventKind, message: str, cell: Cell | None = None, block: int = -1) -> None:
        self._on_event(Event(kind, message, cell, block, self._behind, self._total))


def _cold_file(cell: Cell) -> str:
    """Drop the files that the cell opens from the page cache, just before the worker starts; what came of it."""
    from kokoro_lab.measure.peers import model_path
    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.runtime.preoptimized import WEIGHTS_SUFFIX, find

    try:
        paths = [model_path(cell)]
        if dict(cell.engine_settings).get("preoptimized") and (quick := find(resolve(cell.model)).path):
            paths += [path for path in (quick, quick.with_suffix(WEIGHTS_SUFFIX)) if path.is_file()]
        notes = [pagecache.drop(path).note for path in paths]
    except KokoroLabError as error:
        return f"not dropped: {error}"
    return next((note for note in notes if note.startswith("not")), notes[-1])
