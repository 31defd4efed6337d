"""How far a run is, from the notebook that measures to the terminal that waits: one JSON line an event in a file.

A file, since the notebook's process must not depend on who listens, and a reader that comes later sees what went
before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kokoro_lab.measure.cell import Cell
from kokoro_lab.sweeps.job import FACTORS, PlannedCell

__all__ = ["Listener", "Progress", "ProgressFile", "cell_label", "varied"]


@dataclass(frozen=True)
class Progress:
    """One event of a run."""

    kind: str
    """start, finished, retry, budget, enough: as `measure.sampling` has them; plan before the first of them, needed
    with the blocks that an adaptive run still takes, and spent after its last block when it is not decided."""
    done: int
    """Blocks that are kept."""
    total: int
    """Blocks that are planned."""
    message: str = ""
    status: str = ""
    """Of the finished block: ok, partial, unavailable or error."""


LABELLED = (
    *("graph_level", "environment", "delivery", "arrivals", "rate_hz", "load_s", "clients"),
    *("voice", "speed", "lang", "seed", "replica"),
)
"""Fields of a cell that its label names when they are not at their default."""

Listener = Callable[[Progress], None]


class ProgressFile:
    """Writes events to a file, and reads those that are new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0

    def write(self, event: Progress) -> None:
        """Append one event; a reader sees it at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event), ensure_ascii=False) + "\n")

    def skip(self) -> None:
        """Leave out what is there already, of an earlier attempt."""
        if self.path.exists():
            self._read_to = self.path.stat().st_size

    def new(self) -> Iterator[Progress]:
        """Events since the last call; half-written lines wait for the next."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_to += len(line)
                yield Progress(**json.loads(line))


def cell_label(cell: Cell) -> str:
    """A cell in a few words, without what is at its default: "short, cpu, 2 threads, cold"."""
    defaults = Cell(model=cell.model, text="")
    words = [cell.text_preset or f"{len(cell.text)} characters", cell.provider]
    words += [f"{key}={value}" for key, value in cell.provider_options]
    if cell.intra_op_threads:
        words.append("1 thread" if cell.intra_op_threads == 1 else f"{cell.intra_op_threads} threads")
    words.append(cell.state)
    words += [f"{key}={value}" for key, value in cell.engine_settings]
    for name in LABELLED:
        if getattr(cell, name) != getattr(defaults, name):
            words.append(f"{name.replace('_', ' ')} {getattr(cell, name)}")
    return ", ".join(words)


def varied(planned: Sequence[PlannedCell]) -> dict[str, str]:
    """The factors in which cells differ, with their levels in order: `{"text": "short, long"}`; text in any case."""
    found = {}
    for name in ("text_preset", *[factor for factor in FACTORS if factor not in ("text", "replica")]):
        levels = list(dict.fromkeys(_level(getattr(item.cell, name)) for item in planned))
        if len(levels) > 1 or name == "text_preset":
            found[name.removesuffix("_preset").replace("_", " ")] = ", ".join(levels)
    return found


def _level(value: object) -> str:
    if isinstance(value, tuple):
        return " and ".join(f"{key}={one}" for key, one in value) or "none"
    return str(value) or "none"
