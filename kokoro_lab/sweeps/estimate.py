"""Estimated duration of a job, from earlier blocks on this machine, shown before a sweep starts.

The seconds of a block come from the most similar earlier blocks: of the same cell; otherwise of cells that are equal in
everything that takes time; otherwise from a line through all blocks of the model over their number of characters;
otherwise from such a line for all variants of the full architecture. Without any earlier run, the budget is the guess.
Blocks that shared a process are estimated from such blocks alone: only the first of each process pays for its start.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.store import StoreReader
from kokoro_lab.sweeps.job import Job

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DurationHistory", "Estimate", "in_minutes"]

AROUND_S = 12.0
"""Seconds that a notebook takes besides its blocks (kernel, imports, charts), without an earlier run: 9 to 14 s were
measured on two cores."""

TINY = "tiny"
"""The architecture and model whose times are not comparable; all variants of the full architecture count as similar."""

_Line = tuple[float, float]
"""Seconds of an empty block, and seconds a character."""

RUN_ONCE = ("cold", "cold-process", "cold-session", "cold-shape")


@dataclass(frozen=True)
class Estimate:
    """The estimated duration of a notebook. It is not a maximum, since every cell gets a block whatever the budget."""

    notebook: str
    cells: int
    blocks: int
    """Blocks to be measured; the budget may end the notebook before the last of them."""
    seconds: float
    """Estimate for the whole notebook."""
    same: int = 0
    """Cells with earlier blocks on this machine."""
    similar: int = 0
    """Cells of which only similar cells have earlier blocks."""
    cut: bool = False
    """Whether the budget ends the notebook before its last block."""
    guessed: bool = False
    """Whether there is no earlier run of this model on this machine."""
    look: int = 0
    """Rounds after which decided comparisons leave, so that it may take less; 0: they do not."""

    @property
    def sentence(self) -> str:
        """`Notebook providers: 12 cells in 34 blocks, about 3 min 0 s (from earlier runs of these cells)`."""
        size = f"Notebook {self.notebook}: {_count(self.cells, 'cell')} in {_count(self.blocks, 'block')}"
        size += f", fewer if comparisons are decided after {self.look} rounds" if self.look else ""
        if self.guessed:
            return f"{size}, {in_minutes(self.seconds)} by its budget (no earlier run on this machine)"
        known = [f"earlier runs of {self.same} of the cells" if self.similar else "earlier runs of these cells"]
        known = (known if self.same else []) + ([f"similar cells for {self.similar}"] if self.similar else [])
        limit = " when its budget ends" if self.cut else ""
        return f"{size}, about {in_minutes(self.seconds)}{limit} (from {' and '.join(known) or 'nothing to measure'})"


class DurationHistory:
    """Durations of the blocks that this machine has measured, by everything that determines them."""

    def __init__(self, cells: pd.DataFrame, notebooks: pd.DataFrame, machine_id: str) -> None:
        """From the frames of a store: the rows of one machine."""
        here = cells[cells["machine_id"] == machine_id]
        rows: list[Any] = here.to_dict("records")
        durations = [(Cell.from_dict(row["configuration"]), float(row["wall_s"])) for row in rows]
        self._same = _medians(durations, lambda cell: cell.id)
        self._similar = _medians(durations, _alike)
        self._lines = _lines_of(durations, lambda cell: (cell.model, cell.process))
        whole = [duration for duration, row in zip(durations, rows, strict=True) if _is_whole(row)]
        self._whole = _lines_of(whole, lambda cell: cell.process)
        self._around = _around(here, notebooks)
        self._done = {(row["run_id"], row["cell_id"], int(row["block"])): float(row["wall_s"]) for row in rows}

    @classmethod
    def of(cls, store: StoreReader, machine_id: str) -> DurationHistory:
        """The durations in a store for this machine."""
        return cls(store.cells(), store.notebooks(), machine_id)

    def block_s(self, cell: Cell) -> tuple[float, bool] | None:
        """Estimated seconds of a block of this cell, and whether they come from this very cell; None: no earlier
        blocks."""
        if cell.id in self._same:
            return self._same[cell.id], True
        if _alike(cell) in self._similar:
            return self._similar[_alike(cell)], False
        line = self._lines.get((cell.model, cell.process))
        line = line or (self._whole.get(cell.process) if cell.model != TINY else None)
        if line is None:
            return None
        start, each = line
        return max(start + each * _work(cell), cell.load_s), False

    def estimate(self, job: Job) -> Estimate:
        """Estimate the missing blocks of a job: the first block of each cell in any case, more as the budget allows."""
        around = self._around.get(job.notebook, AROUND_S)
        first, further, blocks, same, similar = 0.0, 0.0, 0, 0, 0
        spent, guessed = 0.0, False
        planned = job.planned()
        for item in planned:
            stored = [self._done.get((job.run_id, item.cell.id, number)) for number in range(item.blocks)]
            spent += sum(seconds for seconds in stored if seconds is not None)
            missing = stored.count(None)
            blocks += missing
            estimate = self.block_s(item.cell)
            guessed |= estimate is None
            if not missing or estimate is None:
                continue
            seconds, known = estimate
            same, similar = same + known, similar + (not known)
            began = any(block_s is not None for block_s in stored)
            first += 0.0 if began else seconds
            further += seconds * (missing - (not began))
        left = max(0.0, job.budget_s - spent - first)
        seconds = max(0.0, job.budget_s - spent) if guessed else first + min(further, left)
        seconds += around if blocks else 0.0
        look = job.looks[0] if job.looks else 0
        return Estimate(job.notebook, len(planned), blocks, seconds, same, similar, further > left, guessed, look)


def in_minutes(seconds: float) -> str:
    """`45 s`, `3 min 5 s`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _is_whole(row: Mapping[str, Any]) -> bool:
    return str(row["architecture"]) != TINY


def _alike(cell: Cell) -> Hashable:
    """The fields that determine the duration of a cell's blocks: threads and engine settings may differ."""
    shape = (cell.delivery, cell.state, cell.arrivals, cell.rate_hz, cell.load_s, cell.clients)
    return (cell.model, cell.text, cell.speed, cell.provider, cell.environment, cell.process, *shape, _calls(cell))


def _calls(cell: Cell) -> int:
    return 1 if cell.state in RUN_ONCE else cell.repeats + cell.warmup_cap


def _work(cell: Cell) -> float:
    """Characters that a block synthesises; in an open loop, those of its expected arrivals."""
    calls = cell.rate_hz * cell.load_s if cell.load_s else _calls(cell)
    return len(cell.text) * calls / cell.speed


def _medians(durations: list[tuple[Cell, float]], key: Callable[[Cell], Hashable]) -> Mapping[Hashable, float]:
    groups: dict[Hashable, list[tuple[float, str]]] = {}
    for cell, seconds in durations:
        groups.setdefault(key(cell), []).append((seconds, cell.process))
    # Of a shared process only the first cell pays for the start: the mean has its part of it, the median would not.
    return {
        name: (statistics.fmean if values[0][1] == "shared" else statistics.median)([seconds for seconds, _ in values])
        for name, values in groups.items()
    }


def _lines_of(durations: list[tuple[Cell, float]], key: Callable[[Cell], Hashable]) -> dict[Hashable, _Line]:
    """Kind of cell -> the line through its blocks over their number of characters."""
    points: dict[Hashable, list[tuple[float, float]]] = {}
    for cell, seconds in durations:
        points.setdefault(key(cell), []).append((_work(cell), seconds))
    return {name: _line(values) for name, values in points.items()}


def _line(points: list[tuple[float, float]]) -> _Line:
    """(seconds of an empty block, seconds a character), neither below zero; blocks of one size give a constant."""
    work, seconds = np.array(points).T
    if np.ptp(work) == 0:
        return float(np.median(seconds)), 0.0
    each, start = np.polyfit(work, seconds, 1)
    if each < 0:
        return float(np.median(seconds)), 0.0
    return max(0.0, float(start)), float(each)


def _around(cells: pd.DataFrame, notebooks: pd.DataFrame) -> dict[str, float]:
    """Notebook -> median seconds of its executions besides their blocks; only of notebooks executed once in their
    run."""
    blocks = cells.groupby(["run_id", "notebook"])["wall_s"].sum().to_dict()
    overheads: dict[str, list[float]] = {}
    rows: list[Any] = notebooks.to_dict("records")
    attempts = {(row["run_id"], row["notebook"]): int(row["attempt"]) for row in rows}
    for row in rows:
        key = (row["run_id"], row["notebook"])
        if row["status"] == "ok" and attempts[key] == 0 and key in blocks:
            overheads.setdefault(row["notebook"], []).append(max(0.0, float(row["wall_s"]) - float(blocks[key])))
    return {name: statistics.median(values) for name, values in overheads.items()}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
