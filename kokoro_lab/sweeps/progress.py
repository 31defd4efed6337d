"""Progress of a run, from the measuring notebook to the waiting terminal: one JSON line per event in a file.

It is a file so that the notebook's process does not depend on readers, and a later reader sees earlier events.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kokoro_lab.errors import StoreError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import ADVICE, remedy
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.sweeps.job import FACTORS, PlannedCell

__all__ = ["Listener", "Progress", "ProgressFile", "cell_label", "varied"]


@dataclass(frozen=True)
class Progress:
    """One event of a run."""

    kind: str
    """start, finished, retry, budget, enough: those of `measure.sampling.sampler`; plan before the first of them,
    needed with the blocks that an adaptive run still needs, and spent after its last block when it is not decided."""
    done: int
    """Blocks that are stored."""
    total: int
    """Blocks that are planned."""
    message: str = ""
    status: str = ""
    """Of the finished block: ok, partial, unavailable or error."""


LABELLED = (
    *("graph_level", "environment", "delivery", "arrivals", "rate_hz", "load_s", "clients"),
    *("voice", "speed", "lang", "seed", "replica"),
)
"""Fields of a cell that its label names when they differ from their default."""

Listener = Callable[[Progress], None]


class ProgressFile:
    """Writes events to a file, and reads new events from it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0

    def write(self, event: Progress) -> None:
        """Append one event; a reader sees it at once."""
        line = json.dumps(asdict(event), ensure_ascii=False) + "\n"
        length = None
        try:
            with self.path.open("ab") as file:
                length = file.tell()
                file.write(line.encode("utf-8"))
        except OSError as error:
            if length is not None:  # no half line, to which the next event would be added
                os.truncate(self.path, length)
            raise StoreError(f"cannot write {self.path}: {reason(error)}; {remedy(error, ADVICE)}") from error

    def skip(self) -> None:
        """Skip the existing events, which are from an earlier attempt."""
        if self.path.exists():
            self._read_to = self.path.stat().st_size

    def new(self) -> Iterator[Progress]:
        """Events since the last call; incomplete lines are left for the next."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read_to += len(line)
                with contextlib.suppress(TypeError, ValueError, RecursionError):  # a damaged line tells nothing
                    yield Progress(**json.loads(line))


def cell_label(cell: Cell) -> str:
    """A short description of a cell, without fields at their default: "short, cpu, 2 threads, cold"."""
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
    """The factors in which cells differ, with their levels in order: `{"text": "short, long"}`; always including
    text."""
    factors = {}
    for name in ("text_preset", *[factor for factor in FACTORS if factor not in ("text", "replica")]):
        levels = list(dict.fromkeys(_level(getattr(item.cell, name)) for item in planned))
        if len(levels) > 1 or name == "text_preset":
            factors[name.removesuffix("_preset").replace("_", " ")] = ", ".join(levels)
    return factors


def _level(value: object) -> str:
    if isinstance(value, tuple):
        return " and ".join(f"{key}={setting}" for key, setting in value) or "none"
    return str(value) or "none"
