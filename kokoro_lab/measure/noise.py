"""How noisy the blocks were, what effect they could have shown, and how many more it would take.

The unit is the block: its value is the median of its repeats, in logarithms, so that a spread is a share of the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kokoro_lab.measure.signflip import attained_level

__all__ = ["Interval", "NoiseFloor", "block_interval", "blocks_needed", "detectable", "noise_floor", "pooled_sd"]

POWER = 0.80
"""Probability of finding an effect that is called detectable (Cohen 1988's convention)."""

ALPHA = 0.05
"""Two-sided level of every interval and test, before correction for several comparisons."""

RANK_EFFICIENCY = 3.0 / math.pi
"""Asymptotic efficiency of the signed rank against the t test on normal data; on heavy tails it is above 1."""

RESAMPLES = 4_000
"""Bootstrap resamples: the Monte Carlo error of a 2.5 % tail is then a quarter of a percent."""

MOST_BLOCKS = 1_000
"""Where `blocks_needed` stops looking."""


@dataclass(frozen=True)
class Interval:
    """A median and where it lies at 95 %; bounds are None when one block cannot tell."""

    value: float
    low: float | None
    high: float | None
    blocks: int


@dataclass(frozen=True)
class NoiseFloor:
    """What one text's comparisons can and cannot show; all but the counts are shares (0.02 is 2 %)."""

    sd: float
    """Pooled standard deviation of log block values within a cell."""
    degrees: int
    """Degrees of freedom behind it."""
    pairs: int
    floor: float
    """Half width of the 95 % interval of a paired ratio: what chance alone looks like."""
    detectable: float
    """Smallest effect that would be called faster or slower with a probability of 80 %."""


def block_interval(blocks: Sequence[Sequence[float]], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The median of block medians and its interval; blocks are resampled, repeats never are.

    From six blocks up, a bootstrap with the expanded percentiles of Hesterberg (2015, The American Statistician 69:4,
    section 4.2), which widen it for few blocks. Under six a bootstrap is too narrow, whatever is done to it: Student's
    interval on log medians, or on the medians where one is not positive (growth, drift). One block has no interval.

    `blocks`: values of the repeats of each block. Raises ValueError without values.
    """
    from scipy import stats

    medians = np.array([float(np.median(block)) for block in blocks if len(block)])
    count = medians.size
    if count == 0:
        raise ValueError("An interval needs at least one block with a repeat.")
    value = float(np.median(medians))
    if count == 1:
        return Interval(value, None, None, 1)
    if count < 6:
        into, back = (np.log, np.exp) if medians.min() > 0 else (np.positive, np.positive)
        scaled = into(medians)
        reach = float(stats.t.ppf((1.0 + confidence) / 2.0, count - 1)) * float(scaled.std(ddof=1)) / math.sqrt(count)
        low, high = (float(back(scaled.mean() + side * reach)) for side in (-1, 1))
        return Interval(value, min(value, low), max(value, high), count)
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    estimates = np.median(medians[drawn], axis=1)
    reach = math.sqrt(count / (count - 1)) * float(stats.t.ppf((1.0 - confidence) / 2.0, count - 1))
    tail = float(stats.norm.cdf(reach))
    low, high = np.quantile(estimates, [tail, 1.0 - tail])
    return Interval(value, min(value, float(low)), max(value, float(high)), count)


def pooled_sd(cells: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Standard deviation of log block values within cells, pooled over cells, and its degrees of freedom.

    `cells`: cell id -> block values of one text. Cells with one block add nothing; (nan, 0) when none has two.
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
    """Smallest effect, as a share, that `pairs` pairs find with 80 % power; inf when they are too few to find any.

    A pair's log ratio has the standard deviation sqrt(2) sd. Two things must happen: the test rejects, and the estimate
    lies beyond the margin (3 %), under which no difference is called one. Each is given 80 %; where both bind at
    once, at 10 to 12 pairs and 3 % noise, simulated power is 75 %.
    """
    from scipy import stats

    level = attained_level(pairs, alpha)
    if level == 0.0:
        return math.inf
    error = sd * math.sqrt(2.0 / (pairs * RANK_EFFICIENCY))
    freedom = max(1, degrees if degrees is not None else pairs - 1)
    power = float(stats.t.ppf(POWER, freedom))
    if level == 2.0 / 2.0**pairs:  # only "all pairs agree" can reject, as with 6 at 5 %: each of them has to
        unanimous = float(stats.norm.ppf(POWER ** (1.0 / pairs))) * sd * math.sqrt(2.0)
    else:
        unanimous = 0.0
    found = (float(stats.t.ppf(1.0 - level / 2.0, freedom)) + power) * error
    return math.expm1(max(found, unanimous, math.log1p(margin) + power * error))


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
    """Blocks a cell needs to find an effect (0.05: 5 %) with 80 % power; None when a thousand are not enough.

    `comparisons`: how many are made at once; the level is divided by it, which Holm's correction never exceeds. An
    effect at or under the margin can never be called one.
    """
    for pairs in range(2, MOST_BLOCKS + 1):
        if detectable(sd, pairs, margin=margin, alpha=ALPHA / comparisons) <= effect:
            return pairs
    return None
