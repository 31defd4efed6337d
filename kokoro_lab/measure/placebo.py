"""Settings that change nothing: two levels of a factor with the same effective digest (rule 7)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from kokoro_lab.measure.cell import Block, Cell, Scalar

__all__ = ["Placebo", "placebos"]


@dataclass(frozen=True)
class Placebo:
    """One factor of which two levels came to the same thing."""

    factor: str
    """Field of the cell; "engine_settings.arena" for an engine setting, "provider_options.x" for an option."""
    levels: tuple[Scalar | None, Scalar | None]
    """What was asked for; None where a cell did not name the setting."""
    cells: tuple[str, str]
    """Ids of two cells that differ in nothing else."""
    digest: str


def placebos(blocks: Iterable[Block]) -> tuple[Placebo, ...]:
    """Every factor whose level made no difference to what the session took up, by the digests the workers read back.

    Only what shapes a session is judged; a factor such as the text or the delivery never reaches one. A cell whose
    blocks disagree about their digest is left out.
    """
    digests: dict[Cell, set[str]] = {}
    for block in blocks:
        if block.result.settings_digest:
            digests.setdefault(block.cell, set()).add(block.result.settings_digest)
    known = [(cell, next(iter(found))) for cell, found in digests.items() if len(found) == 1]
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
    """What two cells must share to differ in one factor alone; how often they are called does not matter."""
    return (cell.model, *cell.gate_key, cell.state, cell.delivery)
