"""How a user names cells: by id, by factor=value, or as the reference that others are compared with."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kokoro_lab.errors import InputError
from kokoro_lab.field_checks import FORMER_NAMES
from kokoro_lab.measure.records.cell import Cell

__all__ = ["SCHEDULE", "Selector", "cell_words", "level", "parse_selector"]

NESTED = ("provider_options", "engine_settings")
FACTORS = tuple(item.name for item in dataclasses.fields(Cell))
SCHEDULE = ("repeats", "warmup_cap", "reference")
"""Fields for the numbers of calls and the role of a cell; no two cells differ only in these."""

CELL_ID = re.compile(r"[0-9a-f]{6,12}")
"""A cell's id, or at least its first 6 digits."""


@dataclass(frozen=True)
class Selector:
    """The cells that one side of a comparison selects: those with this id, or all with these factor levels."""

    text: str
    """As it was written."""
    cell_id: str = ""
    levels: tuple[tuple[str, str], ...] = ()
    reference: bool = False
    """Selects the reference cells with which the other side's cells are compared in their run."""

    @property
    def factors(self) -> frozenset[str]:
        """Names of the factors that it fixes."""
        return frozenset(name for name, _ in self.levels)

    def matches(self, cell: Cell) -> bool:
        """Whether the cell is selected; an A/A twin only when its replica or its id is named."""
        if self.cell_id:
            return cell.id.startswith(self.cell_id)
        if "replica" not in self.factors and cell.replica:
            return False
        return all(_same(level(cell, name), wanted) for name, wanted in self.levels)


def parse_selector(text: str) -> Selector:
    """`0a1b2c3d4e5f`, `intra_op_threads=2,text=short`, `engine_settings.chunk_ms=50` or `reference`.

    Raises:
        InputError: it has none of these forms, or names a factor that cells do not have.
    """
    stripped = text.strip()
    if stripped == "reference":
        return Selector(text, reference=True)
    if CELL_ID.fullmatch(stripped):
        return Selector(text, cell_id=stripped)
    levels = []
    for part in stripped.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise InputError(
                f"{text!r} matches no measured cell; give a cell's id, factor=value pairs, run:ID, version:N, "
                "commit:SHA or a folder of exported tables"
            )
        if name != "text" and name.partition(".")[0] not in FACTORS:
            raise InputError(f"cells have no factor {name!r}; use {', '.join(FACTORS)}")
        levels.append((name, value))
    return Selector(text, levels=tuple(levels))


def level(cell: Cell, name: str) -> Any:
    """A cell's level of a factor; None for an option or setting that it does not name."""
    outer, _, inner = name.partition(".")
    if outer in NESTED:
        pairs = dict(getattr(cell, outer))
        return pairs.get(FORMER_NAMES.get(inner, inner)) if inner else pairs
    return cell.text_preset or cell.text if name == "text" else getattr(cell, name)


def cell_words(cell: Cell, names: Iterable[str] = ()) -> str:
    """A short description of a cell: fields that differ from their default, and the factors in `names`."""
    usual = Cell(model=cell.model, text="")
    words = []
    for name in FACTORS:
        if name in (*SCHEDULE, "text", "text_preset", "model") and name not in names:
            continue
        if name in NESTED:
            words += [f"{inner}={value}" for inner, value in getattr(cell, name)]
        elif name in names or getattr(cell, name) != getattr(usual, name) or name == "provider":
            words.append(f"{name}={getattr(cell, name)}" if name != "provider" else cell.provider)
    return ", ".join(words)


def _same(value: Any, wanted: str) -> bool:
    """Whether a level equals the written text; numbers are compared by value, so that 1 equals 1.0."""
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    if isinstance(value, int | float):
        try:
            return float(wanted) == float(value)
        except ValueError:
            return False
    return str(value) == wanted
