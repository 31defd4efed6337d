"""From data frames to statistics: the values of a frame by block, its interval, and the ratio of two frames.

A frame has one row per value, in column `value`, with the cell, block, notebook and round that it was measured in.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from kokoro_lab.measure.statistics.intervals import CONFIDENCE, Interval, block_interval
from kokoro_lab.measure.statistics.ratios import Rounds, block_ratio

__all__ = ["by_block", "rows_interval", "rows_ratio", "share_a_round"]


def by_block(rows: pd.DataFrame) -> list[list[float]]:
    """The values, one list per block of a cell, in the order of the rows."""
    groups: Any = rows.groupby(["cell_id", "block"], sort=False)["value"]
    return [[float(value) for value in group] for _, group in groups]


def rows_interval(rows: pd.DataFrame, *, confidence: float = CONFIDENCE) -> Interval:
    """Median of the block medians with its interval; ValueError without rows."""
    return block_interval(by_block(rows), confidence=confidence)


def rows_ratio(candidate: pd.DataFrame, base: pd.DataFrame, *, confidence: float = CONFIDENCE) -> Interval | None:
    """Candidate over base, from pairs of blocks of the same round where there are any.

    None where a side has no rows, or a value that is not above 0.
    """
    if candidate.empty or base.empty or min(candidate["value"].min(), base["value"].min()) <= 0:
        return None
    return block_ratio(_by_round(candidate), _by_round(base), confidence=confidence)


def share_a_round(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether both have blocks of the same round, so that their ratio is paired."""
    return bool(_by_round(first).keys() & _by_round(second).keys())


def _by_round(rows: pd.DataFrame) -> Rounds:
    """Blocks by notebook and round: notebooks of a run are measured one after the other, so their rounds differ."""
    return {place: by_block(group) for place, group in rows.groupby(["notebook", "round"], sort=False)}
