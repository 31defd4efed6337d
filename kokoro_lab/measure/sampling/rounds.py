"""The order of blocks: rounds over all cells, each in a random order of its own (measurement rule 3)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kokoro_lab.measure.records.cell import Cell

__all__ = ["Slot", "rounds"]


@dataclass(frozen=True)
class Slot:
    """A place in the plan; block b of a cell is measured in round b."""

    order: int
    round: int
    cell: Cell


def rounds(cells: Sequence[Cell], blocks: int | Mapping[str, int], seed: int) -> Iterator[Slot]:
    """Plan `blocks` rounds of all cells: a pure function of the set of cells and the seed, so that it can be resumed.

    `blocks` may differ by cell (cell id -> blocks): a cell that has all its blocks is left out of the later rounds.

    The order of every round is drawn independently of all others. Which of two cells comes first in a round is thus
    decided by a fair coin, whatever the machine does at that time; the tests in `statistics.sign_test` rely on that. If
    one round determined another (as its mirror image, or with the reference cells first), a disturbance that comes back
    every few blocks could have the same sign in several pairs.
    """
    identified = sorted(cells, key=lambda cell: cell.id)
    wanted = {cell.id: blocks if isinstance(blocks, int) else blocks[cell.id] for cell in identified}
    order = 0
    for number in range(max(wanted.values(), default=0)):
        turn = list(identified)
        random.Random(f"{seed}:{number}").shuffle(turn)
        for cell in turn:
            if number < wanted[cell.id]:
                yield Slot(order, number, cell)
                order += 1
