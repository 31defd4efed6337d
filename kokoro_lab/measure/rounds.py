"""In which order blocks run: rounds over all cells, each random order followed by its mirror (rule 3)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kokoro_lab.measure.cell import Cell

__all__ = ["Slot", "rounds"]


@dataclass(frozen=True)
class Slot:
    """A place in the plan; block b of a cell is measured in round b."""

    order: int
    round: int
    cell: Cell


def rounds(cells: Sequence[Cell], blocks: int | Mapping[str, int], seed: int) -> Iterator[Slot]:
    """Plan `blocks` rounds of all cells: a pure function of the set of cells and the seed, so that it can be resumed.

    `blocks` may differ by cell (cell id -> blocks): a cell that has all of its own sits out the later rounds.

    Rounds 2k and 2k+1 are one random order and its mirror image, so that a drift that is linear over the two cancels in
    every comparison. Round 0 takes the reference cells first (in that random order), for the gate of all others.
    """
    identified = sorted(cells, key=lambda cell: cell.id)
    wanted = {cell.id: blocks if isinstance(blocks, int) else blocks[cell.id] for cell in identified}
    order = 0
    for number in range(max(wanted.values(), default=0)):
        if number % 2 == 0:
            turn = list(identified)
            random.Random(f"{seed}:{number // 2}").shuffle(turn)
            if number == 0:
                turn.sort(key=lambda cell: not cell.reference)
        else:
            turn.reverse()
        for cell in turn:
            if number < wanted[cell.id]:
                yield Slot(order, number, cell)
                order += 1
