"""How long a job should take, from past blocks on this machine: what is said before a sweep starts.

The seconds of a block come from the nearest past that there is: the same cell, else cells alike in all that takes
time, else a line through all blocks of the model over the characters they spoke, else such a line of all variants of
the whole architecture. With no past run of any the budget is all that is known, and that is said.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kokoro_lab.measure.cell import Cell
from kokoro_lab.store import Store
from kokoro_lab.sweeps.job import Job

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estimate", "Past", "clock"]

AROUND_S = 12.0
"""Seconds that a notebook takes beside its blocks (kernel, imports, charts), where no past one tells: 9 to 14 s on the
two cores that this was written on."""

TINY = "tiny"
"""The architecture, and the model, whose times say nothing of others; variants of the whole one are taken as alike."""

RUN_ONCE = ("cold", "cold-process", "cold-session", "cold-shape")


@dataclass(frozen=True)
class Estimate:
    """What one notebook should take; "at most" cannot be said, since every cell gets a block whatever the budget."""

    notebook: str
    cells: int
    blocks: int
    """Blocks still to be measured; the budget may end the notebook before the last of them."""
    seconds: float
    """Of the whole notebook."""
    same: int = 0
    """Cells that were measured on this machine before."""
    similar: int = 0
    """Cells of which only similar ones were."""
    cut: bool = False
    """The budget ends the notebook before its last block."""
    guessed: bool = False
    """No past run of this model on this machine."""

    @property
    def sentence(self) -> str:
        """`Notebook providers: 12 cells in 34 blocks, about 3 min 0 s (from past runs of all cells)`."""
        size = f"Notebook {self.notebook}: {_count(self.cells, 'cell')} in {_count(self.blocks, 'block')}"
        if self.guessed:
            return f"{size}, no past run on this machine: guess from its budget {clock(self.seconds)}"
        known = [f"past runs of {self.same} of the cells" if self.similar else "past runs of these cells"]
        known = (known if self.same else []) + ([f"similar cells for {self.similar}"] if self.similar else [])
        limit = " when its budget ends" if self.cut else ""
        return f"{size}, about {clock(self.seconds)}{limit} (from {' and '.join(known) or 'nothing to measure'})"


class Past:
    """The blocks that this machine has measured before, by what makes them take as long as they do."""

    def __init__(self, cells: pd.DataFrame, notebooks: pd.DataFrame, machine_id: str) -> None:
        """Of the frames of a store, the rows of one machine."""
        here = cells[cells["machine_id"] == machine_id]
        rows: list[Any] = here.to_dict("records")
        told = [(Cell.from_dict(row["configuration"]), float(row["wall_s"])) for row in rows]
        self._same = _medians(told, lambda cell: cell.id)
        self._similar = _medians(told, _alike)
        self._lines = {
            model: _line([(_work(cell), seconds) for cell, seconds in told if cell.model == model])
            for model in {cell.model for cell, _ in told}
        }
        whole = [(_work(cell), seconds) for (cell, seconds), row in zip(told, rows, strict=True) if _is_whole(row)]
        self._whole = _line(whole) if whole else None
        self._around = _around(here, notebooks)
        self._done = {(row["run_id"], row["cell_id"], int(row["block"])): float(row["wall_s"]) for row in rows}

    @classmethod
    def of(cls, store: Store, machine_id: str) -> Past:
        """The past that a store keeps of this machine."""
        return cls(store.cells(), store.notebooks(), machine_id)

    def block_s(self, cell: Cell) -> tuple[float, bool] | None:
        """Seconds that a block of this cell should take, and whether this very cell was measured; None: no past."""
        if cell.id in self._same:
            return self._same[cell.id], True
        if _alike(cell) in self._similar:
            return self._similar[_alike(cell)], False
        line = self._lines.get(cell.model) or (self._whole if cell.model != TINY else None)
        if line is None:
            return None
        start, each = line
        return max(start + each * _work(cell), cell.load_s), False

    def estimate(self, job: Job) -> Estimate:
        """What is missing of a job: the first block of each cell in any case, further ones while the budget lasts."""
        around = self._around.get(job.notebook, AROUND_S)
        first, further, blocks, same, similar = 0.0, 0.0, 0, 0, 0
        spent, guessed = 0.0, False
        planned = job.planned()
        for item in planned:
            kept = [self._done.get((job.run_id, item.cell.id, number)) for number in range(item.blocks)]
            spent += sum(seconds for seconds in kept if seconds is not None)
            missing = kept.count(None)
            blocks += missing
            found = self.block_s(item.cell)
            guessed |= found is None
            if not missing or found is None:
                continue
            seconds, known = found
            same, similar = same + known, similar + (not known)
            began = any(one is not None for one in kept)
            first += 0.0 if began else seconds
            further += seconds * (missing - (not began))
        left = max(0.0, job.budget_s - spent - first)
        seconds = max(0.0, job.budget_s - spent) if guessed else first + min(further, left)
        seconds += around if blocks else 0.0
        return Estimate(job.notebook, len(planned), blocks, seconds, same, similar, further > left, guessed)


def clock(seconds: float) -> str:
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
    """What two cells share that should take about as long: threads and settings of the engine may differ."""
    shape = (cell.delivery, cell.state, cell.arrivals, cell.rate_hz, cell.load_s, cell.clients)
    return (cell.model, cell.text, cell.speed, cell.provider, cell.environment, *shape, _calls(cell))


def _calls(cell: Cell) -> int:
    return 1 if cell.state in RUN_ONCE else cell.repeats + cell.warmup_cap


def _work(cell: Cell) -> float:
    """Characters that a block speaks, of an open loop at most those of its arrivals."""
    calls = cell.rate_hz * cell.load_s if cell.load_s else _calls(cell)
    return len(cell.text) * calls / cell.speed


def _medians(told: list[tuple[Cell, float]], key: Callable[[Cell], Hashable]) -> Mapping[Hashable, float]:
    groups: dict[Hashable, list[float]] = {}
    for cell, seconds in told:
        groups.setdefault(key(cell), []).append(seconds)
    return {name: statistics.median(values) for name, values in groups.items()}


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """(seconds of an empty block, seconds a character), neither below zero; one kind of block gives a constant."""
    work, seconds = np.array(points).T
    if np.ptp(work) == 0:
        return float(np.median(seconds)), 0.0
    each, start = np.polyfit(work, seconds, 1)
    if each < 0:
        return float(np.median(seconds)), 0.0
    return max(0.0, float(start)), float(each)


def _around(cells: pd.DataFrame, notebooks: pd.DataFrame) -> dict[str, float]:
    """Notebook -> the median of what its executions took beside their blocks; only of those executed once."""
    blocks = cells.groupby(["run_id", "notebook"])["wall_s"].sum().to_dict()
    found: dict[str, list[float]] = {}
    rows: list[Any] = notebooks.to_dict("records")
    attempts = {(row["run_id"], row["notebook"]): int(row["attempt"]) for row in rows}
    for row in rows:
        key = (row["run_id"], row["notebook"])
        if row["status"] == "ok" and attempts[key] == 0 and key in blocks:
            found.setdefault(row["notebook"], []).append(max(0.0, float(row["wall_s"]) - float(blocks[key])))
    return {name: statistics.median(values) for name, values in found.items()}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
