"""Bounds of a median that hold however often one looks: the sign test as a bet against "the median is at most m".

Each pair of blocks is a round of a game that is fair, or worse for the player, where the median is at most m: a value
above m multiplies the stake by 1 + bet, any other by 1 - bet. Whatever the number of rounds, the stake then ever
reaches 1 / alpha with a probability of at most alpha (Ville 1939), so that measuring may stop as soon as it does. A
mixture of bets serves large effects, where every pair agrees, and small ones, where some do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

__all__ = ["fewest_pairs", "sequential_bounds", "stake"]

ALPHA = 0.05
BETS = ((0.95, 0.75), (0.6, 0.125), (0.3, 0.125))
"""(bet, share of the stake): the first decides two comparisons with 6 pairs that agree, the others allow for some that
do not."""


def stake(above: int, others: int) -> float:
    """What a stake of 1 has become after `above` values above the supposed median and `others` that are not.

    Examples:
        >>> stake(0, 0), stake(6, 0) > 40 > stake(5, 0)
        (1.0, True)
    """
    return math.fsum(share * (1.0 + bet) ** above * (1.0 - bet) ** others for bet, share in BETS)


def fewest_pairs(comparisons: int = 1, alpha: float = ALPHA) -> int:
    """Fewest pairs that can decide one of several comparisons: 5 for one, 6 for two, 7 for four."""
    return next(pairs for pairs in itertools.count(1) if stake(pairs, 0) >= comparisons / alpha)


def sequential_bounds(
    values: Sequence[float], comparisons: int = 1, alpha: float = ALPHA
) -> tuple[float | None, float | None]:
    """A lower and an upper bound of the median, each at level alpha / comparisons over all numbers of values together.

    The values are independent, each with that median. The bounds are two of them, and None where there are too few.
    """
    ordered = sorted(values)
    count = len(ordered)
    # A median below ordered[k] has count - k values above it, and loses the bet when these are too many.
    beaten = [k for k in range(count) if stake(count - k, k) >= comparisons / alpha]
    if not beaten:
        return None, None
    return ordered[beaten[-1]], ordered[count - 1 - beaten[-1]]
