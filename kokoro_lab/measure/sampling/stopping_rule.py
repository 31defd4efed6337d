"""The stopping rule that `sample` asks after every second round: whether the comparisons are decided."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.comparison import MARGIN, narrow_enough, pair_up
from kokoro_lab.measure.statistics.noise import blocks_needed, pooled_sd
from kokoro_lab.measure.statistics.same_bytes import values_by_cell
from kokoro_lab.measure.statistics.verdicts import counterparts

__all__ = ["StoppingRule"]


class StoppingRule:
    """Whether a run may end: whether its blocks so far, resumed ones included, decide every comparison.

    Pass every stored block to `add`, and `enough` to `sample`. A run then ends when every comparison's interval is
    narrow, or when its blocks or its budget are used up; the events of `sample` say which.
    """

    def __init__(
        self, blocks: Iterable[Block] = (), *, figure: str = "total_ms", half_width: float = MARGIN / 2
    ) -> None:
        self._blocks = list(blocks)
        self._figure = figure
        self._half_width = half_width

    def add(self, block: Block) -> None:
        """Add a block."""
        self._blocks.append(block)

    def enough(self, rounds: int) -> str | None:
        """Why sampling may stop after this many rounds; None to continue. Comparisons that cannot be judged are
        ignored."""
        values = values_by_cell(self._blocks, self._figure)
        pairings = {
            cell.id: pair_up(values[base], values[cell])
            for cell, base in counterparts(values).items()
            if values[base] and values[cell]
        }
        return narrow_enough(pairings, self._half_width)

    @property
    def rounds(self) -> int:
        """Rounds of which there is a block."""
        return max((block.round for block in self._blocks), default=-1) + 1

    def blocks_needed(self, effect: float = 0.05, cells: Collection[str] | None = None) -> dict[str, int | None]:
        """Text -> blocks per cell to detect such an effect with 80 % power at the noise so far; None: never.

        cells: ids of the cells whose texts are asked for; None for all.
        """
        texts: dict[str, dict[str, list[float]]] = {}
        wanted = {_text(block.cell) for block in self._blocks if cells is None or block.cell.id in cells}
        for cell, measured in values_by_cell(self._blocks, self._figure).items():
            values = [value.value for value in measured if not value.refused]
            if len(values) > 1 and _text(cell) in wanted:
                texts.setdefault(_text(cell), {})[cell.id] = values
        return {text: blocks_needed(pooled_sd(found)[0], effect) for text, found in texts.items()}

    def outlook(self, rounds: int, effect: float = 0.05, cells: Collection[str] | None = None) -> str:
        """How many more blocks such an effect needs after this many rounds and how long they take, as a message; empty
        for none. `cells`: ids of undecided cells, whose texts alone are then named."""
        needed = self.blocks_needed(effect, cells)
        missing = {text: count - rounds for text, count in needed.items() if count is not None and count > rounds}
        if not missing:
            return ""
        words = ", ".join(f"{more} ({text}, about {self._minutes(text, more)} min)" for text, more in missing.items())
        return f"detecting an effect of {effect:.0%} takes more blocks per cell: {words}"

    def _minutes(self, text: str, blocks: int) -> int:
        """Whole minutes of so many blocks of every cell with this text, by the mean time of their blocks so far."""
        walls: dict[str, list[float]] = {}
        for block in self._blocks:
            if _text(block.cell) == text:
                walls.setdefault(block.cell.id, []).append(block.wall_s)
        round_s = sum(sum(seconds) / len(seconds) for seconds in walls.values())
        return math.ceil(blocks * round_s / 60.0) or 1


def _text(cell: Cell) -> str:
    return cell.text_preset or cell.text
