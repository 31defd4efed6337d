"""The figures that benchmarks compare, and how each is computed from a block."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kokoro_lab.measure.block.listener import Arrival, listen
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.records.readings import Repeat
from kokoro_lab.measure.statistics.comparison import block_value
from kokoro_lab.measure.statistics.percentiles import samples_needed

__all__ = ["LOAD", "MEMORY", "SPEED", "BenchmarkFigure", "value_of"]

SETTLED_CYCLES = 10
"""Rounds of a session's requests after which its memory counts as settled; at most half of the session."""
TAIL = 0.95
REPEAT_FIGURES = frozenset(field.name for field in dataclasses.fields(Repeat))


@dataclass(frozen=True)
class BenchmarkFigure:
    """A figure: its name, its unit, and how it is computed from a block."""

    name: str
    column: str
    """A field of Repeat (the median of the block's repeats; its p95 as "total_ms p95"), rss_peak_mb, rss_steady_mb,
    a name that the worker records in `BlockResult.figures`, or one of DERIVED."""
    unit: str = "ms"
    is_time: bool = True
    """Whether it is a time, whose target needs an interval. Memory and counts are judged by the median alone."""
    processes: int = 1
    """Minimum number of blocks for a decision."""


def value_of(figure: BenchmarkFigure, block: Block) -> float | None:
    """The figure of a block; None for a block without a value."""
    if not block.result.repeats:
        return None
    name, _, tail = figure.column.partition(" ")
    if tail:
        return _tail(block, name)
    if name in DERIVED:
        return DERIVED[name](block)
    if name in ("rss_peak_mb", "rss_steady_mb"):
        value: float | None = getattr(block.result, name)
        return value
    if name in REPEAT_FIGURES:
        reduced = block_value(block, name)
        return None if reduced is None else reduced.value
    return block.result.figures.get(name)


def _tail(block: Block, name: str) -> float | None:
    """The 95th percentile of the block's repeats; None with too few repeats for a p95."""
    values = sorted(float(getattr(repeat, name)) for repeat in block.result.repeats)
    return values[math.ceil(TAIL * len(values)) - 1] if len(values) >= samples_needed(TAIL) else None


def _growth(block: Block) -> float:
    """Relative growth of memory from the settled state to the session's last call."""
    memory = [repeat.rss_mb for repeat in block.result.repeats]
    settled = max(1, min(SETTLED_CYCLES * len(block.cell.requests), len(memory) // 2))
    return memory[-1] / memory[settled - 1] - 1.0


def _underruns(block: Block) -> float | None:
    """Buffer underruns in the last repeat of a player that starts with the first delivery."""
    arrivals = [Arrival(*delivery) for delivery in block.result.deliveries]
    return float(listen(arrivals, prebuffer=1).underruns) if arrivals else None


DERIVED: Mapping[str, Callable[[Block], float | None]] = {
    "session_ms": lambda block: block.result.load_ms.get("session"),
    "rss_last_mb": lambda block: block.result.repeats[-1].rss_mb,
    "rss_growth": _growth,
    "underruns": _underruns,
}

SPEED = BenchmarkFigure("speed", "total_ms")
MEMORY = BenchmarkFigure("memory", "rss_peak_mb", "MB", is_time=False)
LOAD = BenchmarkFigure("load", "session_ms", is_time=False)
