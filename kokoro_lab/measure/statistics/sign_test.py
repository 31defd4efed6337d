"""The sign test of paired differences, with its interval: exact, and free of any assumption about their shape.

The estimand is the median difference; of paired log ratios, the median ratio of pairs. Where it is 0, a pair is as
likely above as below it, however heavy, one-sided or unequal the noise of the two cells is. And where two cells do not
differ, the random order within a round makes either sign equally likely, whatever the machine does. Only the signs are
counted, therefore. (Wilcoxon's signed rank has more power at the same level when the noise is symmetric; with one-sided
noise of one cell alone it rejects a median of 0 in up to 44 % of trials of 40 pairs.)

The sign test has few levels: 0.8 % or 7 % at 8 pairs. The two-sided test therefore has half steps. Let k pairs disagree
with the others. They reject at level P(K < k) + P(K <= k), the mean of the levels for k - 1 and for k, when the closest
to 0 of the k is closer than the closest of the others; K is binomial (n, 1/2). This keeps the level for independent
pairs of any distributions with median 0: given the 2n magnitudes that the pairs would have on either side of 0, take
two disjoint sets of k pairs. Not both "the first set disagrees downwards" and "the second set disagrees upwards" can
reject, since each demands that its own set has the closest magnitude of all involved. Disjoint sets can be matched one
to one (k <= n / 2), so half of the 2 C(n, k) patterns reject at most.

The interval contains every median that the two-sided test does not reject: it ends at order statistics (Thompson 1936),
or halfway between two.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kokoro_lab.measure.statistics.intervals import ALPHA, CONFIDENCE, Interval

__all__ = ["p_greater", "p_two_sided", "pairs_needed", "reach", "shift"]

Values = npt.NDArray[np.float64]

ROUNDING = 1.0 + 1e-12
"""A level that exceeds the wanted one by rounding only is not above it."""


def pairs_needed(comparisons: int = 1, alpha: float = ALPHA) -> int:
    """Fewest pairs with which a two-sided test at alpha / comparisons can reject: 2 / 2^n <= alpha / comparisons.

    6 for one comparison at 5 %, 10 for 20 of them.
    """
    return math.ceil(math.log2(2 * comparisons / alpha) - 1e-12)


def reach(pairs: int, alpha: float = ALPHA) -> tuple[int, bool]:
    """Most pairs that may disagree at this level, and whether half a step more is allowed; (-1, False) for no level.

    The test then has a level of 3.1 % at 6 pairs, 3.9 % at 8 and 12, 4.3 % at 24; the lowest are 1.6 % at 7 and 2.1 %
    at 10.
    """
    below = _below(pairs)
    most = int(np.searchsorted(2.0 * below, alpha * ROUNDING, side="right")) - 1
    return most, 0 <= most < pairs // 2 and float(below[most] + below[most + 1]) <= alpha * ROUNDING


def p_greater(differences: Sequence[float] | Values) -> float:
    """One-sided p of "the median is not above 0": the probability of so few values that are not above 0."""
    values = np.asarray(differences, dtype=np.float64)
    return float(_below(values.size)[np.count_nonzero(values <= 0.0)]) if values.size else 1.0


def p_two_sided(differences: Sequence[float] | Values) -> float:
    """Two-sided p of "the median is 0", with half steps; values of 0 speak for it."""
    values = np.sort(np.asarray(differences, dtype=np.float64))
    return min(1.0, _p_above(values), _p_above(-values[::-1]))


def shift(differences: Sequence[float] | Values, confidence: float = CONFIDENCE) -> Interval:
    """The median and the interval of the medians that the two-sided test does not reject.

    With too few differences for a test at this confidence to reject (fewer than 6 at 95 %), the result is their range,
    with confidence None. Raises ValueError without differences.
    """
    values = np.sort(np.asarray(differences, dtype=np.float64))
    count = values.size
    if count == 0:
        raise ValueError("a shift needs at least one difference")
    center = float(np.median(values))
    most, half = reach(count, 1.0 - confidence)
    if most < 0:
        low, high = (float(values[0]), float(values[-1])) if count > 1 else (None, None)
        return Interval(center, low, high, count, None)
    low = float(values[most] + values[most + half]) / 2.0
    high = float(values[-1 - most] + values[-1 - most - half]) / 2.0
    return Interval(center, min(low, center), max(high, center), count, confidence)


def _p_above(ordered: Values) -> float:
    """Two-sided p against the alternative of a median above 0; `ordered` rises."""
    below, count = _below(ordered.size), ordered.size
    disagreeing = int(np.searchsorted(ordered, 0.0, side="right"))
    if 2 * disagreeing >= count:
        return 1.0
    halfway = disagreeing > 0 and ordered[disagreeing - 1] + ordered[disagreeing] > 0.0
    return float(below[disagreeing - halfway] + below[disagreeing])


@functools.lru_cache(maxsize=256)
def _below(count: int) -> Values:
    """P(K <= k) for k = 0 to count, float64[count + 1], when every sign is a fair coin."""
    logs = [math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) for k in range(count + 1)]
    chances = np.exp(np.array(logs, dtype=np.float64) - count * math.log(2.0))
    return np.asarray(np.minimum(1.0, np.cumsum(chances)), dtype=np.float64)
