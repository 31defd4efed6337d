"""The order of blocks: rounds over all cells, each in a random order of its own (measurement rule 3)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kokoro_lab.measure.records.cell import Cell, VisitKey

__all__ = ["Slot", "rounds", "visits"]


@dataclass(frozen=True)
class Slot:
    """A place in the plan; block b of a cell is measured in round b."""

    order: int
    round: int
    cell: Cell
    visit: int
    """Number of the process in the plan: slots with one number share it."""


def rounds(cells: Sequence[Cell], blocks: int | Mapping[str, int], seed: int) -> Iterator[Slot]:
    """Plan `blocks` rounds of all cells: a pure function of the set of cells and the seed, so that it can be resumed.

    `blocks` may differ by cell (cell id -> blocks): a cell that has all its blocks is left out of the later rounds.

    A round consists of visits, which are processes: one for each cell with a process of its own, and one for all cells
    with the same `visit_key` that share theirs. The visits come in random order, and so do the cells of each.

    The order of every round is drawn independently of all others. Which of two cells comes first in a round is thus
    decided by a fair coin, whatever the machine does at that time; the tests in `statistics.sign_test` rely on that. If
    one round determined another (as its mirror image, or with the reference cells first), a disturbance that comes back
    every few blocks could have the same sign in several pairs.
    """
    groups = _sharing(cells)
    wanted = {cell.id: blocks if isinstance(blocks, int) else blocks[cell.id] for cell in cells}
    order = visit = 0
    for number in range(max(wanted.values(), default=0)):
        turn = list(groups)
        random.Random(f"{seed}:{number}").shuffle(turn)
        for group in turn:
            inside = list(group)
            random.Random(f"{seed}:{number}:{group[0].id}").shuffle(inside)
            left = [cell for cell in inside if number < wanted[cell.id]]
            for cell in left:
                yield Slot(order, number, cell, visit)
                order += 1
            visit += bool(left)


def visits(slots: Iterable[Slot]) -> list[list[Slot]]:
    """The slots of each process, in order."""
    return [list(group) for _, group in groupby(slots, key=lambda slot: slot.visit)]


def _sharing(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells that share their processes, in the order of their first ids."""
    groups: dict[str | VisitKey, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.id):
        groups.setdefault(cell.visit_key if cell.process == "shared" else cell.id, []).append(cell)
    return list(groups.values())
