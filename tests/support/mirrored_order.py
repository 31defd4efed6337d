"""An order of rounds that a periodic disturbance can fool: one coin for two rounds, and the reference cells first."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.rounds import Slot


def mirrored_rounds(cells: Sequence[Cell], blocks: int, seed: int) -> Iterator[Slot]:
    """Rounds 2k and 2k + 1 are a random order and its mirror image; round 0 begins with the references."""
    turn = sorted(cells, key=lambda cell: cell.id)
    for number in range(blocks):
        if number % 2:
            turn.reverse()
        else:
            turn.sort(key=lambda cell: cell.id)
            random.Random(f"{seed}:{number // 2}").shuffle(turn)
            if number == 0:
                turn.sort(key=lambda cell: not cell.reference)
        for place, cell in enumerate(turn):
            order = number * len(turn) + place
            yield Slot(order, number, cell, visit=order)
