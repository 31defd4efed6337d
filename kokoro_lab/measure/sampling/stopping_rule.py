"""The stopping rule that `sample` asks after every second round: whether the comparisons are decided."""

from __future__ import annotations

from collections.abc import Iterable

from kokoro_lab.measure.records.cell import Block
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

    def blocks_needed(self, effect: float = 0.05) -> dict[str, int | None]:
        """Text -> blocks per cell to detect such an effect with 80 % power at the noise so far; None: never."""
        texts: dict[str, dict[str, list[float]]] = {}
        for cell, measured in values_by_cell(self._blocks, self._figure).items():
            values = [value.value for value in measured if not value.refused]
            if len(values) > 1:
                texts.setdefault(cell.text_preset or cell.text, {})[cell.id] = values
        return {text: blocks_needed(pooled_sd(cells)[0], effect) for text, cells in texts.items()}

    def outlook(self, rounds: int, effect: float = 0.05) -> str:
        """How many more blocks such an effect needs after this many rounds, as a message; empty for none."""
        needed = self.blocks_needed(effect)
        missing = {text: count - rounds for text, count in needed.items() if count is not None and count > rounds}
        if not missing:
            return ""
        words = ", ".join(f"{more} ({text})" for text, more in missing.items())
        return f"detecting an effect of {effect:.0%} takes more blocks per cell: {words}"
