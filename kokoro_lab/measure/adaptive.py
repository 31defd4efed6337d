"""Go on until the comparisons are decided: what `sample` asks after each mirrored pair of rounds."""

from __future__ import annotations

from collections.abc import Iterable

from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.noise import blocks_needed, pooled_sd
from kokoro_lab.measure.statistics import MARGIN, block_value, narrow_enough, pair_up
from kokoro_lab.measure.verdicts import counterparts

__all__ = ["Evidence"]


class Evidence:
    """The blocks of a run so far, resumed ones included, and whether they are enough.

    Give `add` every block as it is stored and `enough` to `sample`. A run then ends when every comparison's interval is
    narrow, or its blocks or its budget are spent, and `sample` says by an event which of them it was.
    """

    def __init__(
        self, blocks: Iterable[Block] = (), *, figure: str = "total_ms", half_width: float = MARGIN / 2
    ) -> None:
        self._blocks = list(blocks)
        self._figure = figure
        self._half_width = half_width

    def add(self, block: Block) -> None:
        """One more block."""
        self._blocks.append(block)

    def enough(self, rounds: int) -> str | None:
        """Why sampling may stop after so many rounds; None to go on. Only what can be judged is waited for."""
        by_cell = self._by_cell()
        pairings = {}
        for cell, base in counterparts(block.cell for block in self._blocks).items():
            values = [
                [value for block in by_cell[side] if (value := block_value(block, self._figure))]
                for side in (base, cell)
            ]
            if all(values):
                pairings[cell.id] = pair_up(*values)
        return narrow_enough(pairings, self._half_width)

    def blocks_needed(self, effect: float = 0.05) -> dict[str, int | None]:
        """Text -> blocks a cell needs to find such an effect with 80 % power, by the noise so far; None: never."""
        texts: dict[str, dict[str, list[float]]] = {}
        for cell, blocks in self._by_cell().items():
            values = [value.value for block in blocks if (value := block_value(block, self._figure))]
            if len(values) > 1:
                texts.setdefault(cell.text_preset or cell.text, {})[cell.id] = values
        return {text: blocks_needed(pooled_sd(cells)[0], effect) for text, cells in texts.items()}

    def outlook(self, rounds: int, effect: float = 0.05) -> str:
        """How many blocks such an effect still takes after so many rounds, as a sentence; empty when it takes none."""
        wanted = self.blocks_needed(effect)
        still = {text: needed - rounds for text, needed in wanted.items() if needed is not None and needed > rounds}
        if not still:
            return ""
        words = ", ".join(f"{more} ({text})" for text, more in still.items())
        return f"To find an effect of {effect:.0%} takes this many more blocks a cell: {words}."

    def _by_cell(self) -> dict[Cell, list[Block]]:
        found: dict[Cell, list[Block]] = {}
        for block in self._blocks:
            found.setdefault(block.cell, []).append(block)
        return found
