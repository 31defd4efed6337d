"""Settings that change nothing: two levels of a factor with the same effective digest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from kokoro_lab.measure.records.cell import Block, Cell, Scalar

__all__ = ["Placebo", "placebos"]


@dataclass(frozen=True)
class Placebo:
    """A factor, two levels of which took the same effect."""

    factor: str
    """Field of the cell; "engine_settings.arena" for an engine setting, "provider_options.x" for an option."""
    levels: tuple[Scalar | None, Scalar | None]
    """The requested levels; None where a cell does not name the setting."""
    cells: tuple[str, str]
    """Ids of two cells that differ only in this factor."""
    digest: str


def placebos(blocks: Iterable[Block]) -> tuple[Placebo, ...]:
    """Every factor whose level made no difference to the session, judging by the digests that the workers read back.

    Only factors that shape a session are judged; others, such as the text or the delivery, never reach it. A cell whose
    blocks have different digests is left out.
    """
    digests: dict[Cell, set[str]] = {}
    for block in blocks:
        if block.result.settings_digest:
            digests.setdefault(block.cell, set()).add(block.result.settings_digest)
    known = [(cell, next(iter(seen))) for cell, seen in digests.items() if len(seen) == 1]
    result = []
    for (first, digest), (second, other) in itertools.combinations(known, 2):
        if digest != other or _rest(first) != _rest(second):
            continue
        here, there = _levels(first), _levels(second)
        changed = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        if len(changed) == 1:
            levels = (here.get(changed[0]), there.get(changed[0]))
            result.append(Placebo(changed[0], levels, (first.id, second.id), digest))
    return tuple(result)


def _levels(cell: Cell) -> dict[str, Scalar]:
    """Name of each session-shaping factor -> level."""
    levels: dict[str, Scalar] = {
        "provider": cell.provider,
        "intra_op_threads": cell.intra_op_threads,
        "graph_level": cell.graph_level,
    }
    levels |= {f"provider_options.{name}": value for name, value in cell.provider_options}
    return levels | {f"engine_settings.{name}": value for name, value in cell.engine_settings}


def _rest(cell: Cell) -> tuple[object, ...]:
    """The fields that two cells must share to differ in one factor only; the number of calls does not matter."""
    return (cell.model, *cell.gate_key, cell.state, cell.delivery, cell.process)
