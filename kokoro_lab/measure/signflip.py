"""Sign-flip inference for paired differences: an exact test and its interval; nothing but symmetry is assumed.

Two cells measured in one round, in an order that was a coin's, differ by chance alone as often up as down. So under "no
difference" every pattern of signs of the paired log ratios is equally likely, whatever their distribution and however
heavy its tails. The statistic is Wilcoxon's signed rank, which a few wild pairs cannot dominate; its distribution over
all 2^n sign patterns is computed exactly, ties included. The interval holds every shift that the test does not reject,
and the estimate is the one it rejects least (Hodges and Lehmann 1963; Hollander, Wolfe and Chicken, Nonparametric
Statistical Methods, 3rd ed., section 3).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Shift", "attained_level", "p_greater", "p_two_sided", "pairs_needed", "shift"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """Where the centre of symmetric differences lies."""

    estimate: float
    low: float
    """-inf when so few pairs cannot support the confidence that was asked for."""
    high: float
    confidence: float
    pairs: int


def pairs_needed(comparisons: int = 1, alpha: float = 0.05) -> int:
    """Fewest pairs with which a two-sided test at alpha / comparisons can reject: 2 / 2^n <= alpha / comparisons.

    6 for one comparison at 5 %, 10 for 20 of them.
    """
    return math.ceil(math.log2(2 * comparisons / alpha) - 1e-12)


@functools.cache
def attained_level(pairs: int, alpha: float = 0.05) -> float:
    """The level the two-sided test really has: the largest p at or under alpha that so many pairs can give; 0 for none.

    A test over sign patterns has few possible p values: 3.1 % at 6 pairs, 3.9 % at 8, 5 % from some 50 on.
    """
    if pairs > 60:
        return alpha
    tails = 2.0 * np.cumsum(_untied(pairs))
    below = tails[tails <= alpha * (1.0 + 1e-12)]
    return float(below[-1]) if below.size else 0.0


def p_greater(differences: Sequence[float] | Values) -> float:
    """One-sided p of "the centre is not above 0": the share of sign patterns with at least this signed rank sum."""
    ranks, positive = _doubled_ranks(np.asarray(differences, dtype=np.float64))
    if ranks.size == 0:
        return 1.0
    total = int(ranks[positive].sum())
    if np.unique(ranks).size == ranks.size:  # without ties twice the ranks are 2, 4, 6...
        return float(min(1.0, _untied(ranks.size)[total // 2 :].sum()))
    return float(min(1.0, _distribution(ranks)[total:].sum()))


def p_two_sided(differences: Sequence[float] | Values) -> float:
    """Two-sided p of "the centre is 0": twice the smaller one-sided p, at most 1."""
    values = np.asarray(differences, dtype=np.float64)
    return min(1.0, 2.0 * min(p_greater(values), p_greater(-values)))


def shift(differences: Sequence[float] | Values, confidence: float = 0.95) -> Shift:
    """Hodges-Lehmann estimate of the centre and the interval of shifts that the two-sided test does not reject.

    Raises ValueError without differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    count = values.size
    if count == 0:
        raise ValueError("A shift needs at least one difference.")
    rows, columns = np.triu_indices(count)
    walsh = np.sort((values[rows] + values[columns]) / 2.0)
    tail = (1.0 - confidence) / 2.0
    cumulative = np.cumsum(_untied(count))
    # Largest k with P(T < k) <= tail: the k-th smallest and k-th largest Walsh averages bound the interval.
    reach = int(np.searchsorted(cumulative, tail * (1.0 + 1e-12), side="right"))
    low, high = (-math.inf, math.inf) if reach == 0 else (float(walsh[reach - 1]), float(walsh[-reach]))
    return Shift(float(np.median(walsh)), low, high, confidence, count)


def _doubled_ranks(values: Values) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Twice the mid-ranks of the magnitudes, as whole numbers, and which are positive; zeros are left out."""
    values = values[values != 0.0]
    magnitudes = np.abs(values)
    order = np.sort(magnitudes)
    first = np.searchsorted(order, magnitudes, side="left")
    last = np.searchsorted(order, magnitudes, side="right")
    return (first + last + 1).astype(np.int64), values > 0.0


@functools.lru_cache(maxsize=64)
def _untied(count: int) -> Values:
    """The distribution for the ranks 1, 2, ... count."""
    return _distribution(np.arange(1, count + 1, dtype=np.int64))


def _distribution(ranks: npt.NDArray[np.int64]) -> Values:
    """Probability of each sum of positive ranks, float64[sum(ranks) + 1], when every sign is a fair coin."""
    probability = np.zeros(int(ranks.sum()) + 1)
    probability[0] = 1.0
    for rank in ranks.tolist():
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[: probability.size - rank]
        probability = 0.5 * (probability + shifted)
    return probability
