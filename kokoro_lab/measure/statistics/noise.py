"""Noise of the blocks, the smallest effect that they could have shown, and how many blocks a smaller effect would take.

The unit is the block: its value is the logarithm of the median of its repeats, so that a spread is relative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kokoro_lab.measure.statistics.intervals import ALPHA
from kokoro_lab.measure.statistics.sign_test import reach

__all__ = ["NoiseFloor", "blocks_needed", "detectable", "noise_floor", "pooled_sd"]

POWER = 0.80
"""Probability of detecting an effect that is called detectable (Cohen 1988's convention)."""

MEDIAN_EFFICIENCY = 2.0 / math.pi
"""Asymptotic efficiency of the median against the mean on normal data; on heavy tails it is above 1."""

MOST_BLOCKS = 1_000
"""Where `blocks_needed` stops looking."""


@dataclass(frozen=True)
class NoiseFloor:
    """The noise of one text's comparisons; everything except the counts is a share (0.02 is 2 %)."""

    sd: float
    """Pooled standard deviation of log block values within a cell."""
    degrees: int
    """Its degrees of freedom."""
    pairs: int
    floor: float
    """Half width of the 95 % interval of a paired ratio: the size of differences by chance alone."""
    detectable: float
    """Smallest effect that would be judged faster or slower with a probability of 80 %."""


def pooled_sd(cells: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Standard deviation of log block values within cells, pooled over cells, and its degrees of freedom.

    `cells`: cell id -> block values of one text. Cells with a single block add nothing; (nan, 0) when none has two
    blocks.
    """
    squares, degrees = 0.0, 0
    for values in cells.values():
        logs = np.log(np.asarray(values, dtype=np.float64))
        if logs.size >= 2:
            squares += float(((logs - logs.mean()) ** 2).sum())
            degrees += logs.size - 1
    return (math.sqrt(squares / degrees), degrees) if degrees else (math.nan, 0)


def detectable(
    sd: float, pairs: int, *, margin: float = 0.03, degrees: int | None = None, alpha: float = ALPHA
) -> float:
    """Smallest effect, as a share, that `pairs` pairs detect with 80 % power; inf when they are too few to detect any.

    A pair's log ratio has the standard deviation sqrt(2) sd. Two things must happen: the sign test rejects, and the
    median lies beyond the margin (3 %), below which no difference is reported. Each gets 80 %. Some numbers of pairs
    suit the sign test better than others: 7 detect a little less than 6, and 10 less than 9.
    """
    from scipy import special

    most, half = reach(pairs, alpha)
    if most < 0:
        return math.inf
    freedom = max(1, degrees if degrees is not None else pairs - 1)
    spread = sd * math.sqrt(2.0)
    # Share of pairs on the effect's side with which at most k disagree in 80 % of trials; half a step is half the way.
    shares = [float(special.betaincinv(pairs - k, k + 1, POWER)) for k in (most, most + half)]
    rejecting = float(special.ndtri(sum(shares) / 2.0)) * spread
    error = spread / math.sqrt(pairs * MEDIAN_EFFICIENCY)
    return math.expm1(max(rejecting, math.log1p(margin) + float(special.stdtrit(freedom, POWER)) * error))


def noise_floor(cells: Mapping[str, Sequence[float]], *, pairs: int | None = None, margin: float = 0.03) -> NoiseFloor:
    """Noise floor and smallest detectable effect of one text, from the pooled variance of its blocks.

    `cells`: cell id -> block values. `pairs`: pairs of a comparison; by default the fewest blocks of a cell.
    """
    from scipy import stats

    sd, degrees = pooled_sd(cells)
    count = min((len(values) for values in cells.values()), default=0) if pairs is None else pairs
    if degrees == 0 or count == 0:
        return NoiseFloor(math.nan, degrees, count, math.inf, math.inf)
    reach = float(stats.t.ppf(1.0 - ALPHA / 2.0, degrees)) * sd * math.sqrt(2.0 / count)
    return NoiseFloor(sd, degrees, count, math.expm1(reach), detectable(sd, count, margin=margin, degrees=degrees))


def blocks_needed(sd: float, effect: float, *, comparisons: int = 1, margin: float = 0.03) -> int | None:
    """Blocks per cell to detect an effect (0.05: 5 %) with 80 % power; None when a thousand are not enough.

    `comparisons`: their number; the level is divided by it, which is at least as strict as Holm's correction. An effect
    at or below the margin is never reported.
    """
    for pairs in range(2, MOST_BLOCKS + 1):
        if detectable(sd, pairs, margin=margin, alpha=ALPHA / comparisons) <= effect:
            return pairs
    return None
