"""The level of a comparison that was made before: nobody gets a "faster" by running a plan until it says so.

A two-sided test at level ALPHA calls a cell faster, when it is not, in ALPHA / 2 of the runs. The first attempt is
judged at ALPHA; all later attempts share another ALPHA: attempt k gets ALPHA / (k (k - 1)), and these shares add up to
ALPHA (1/2 + 1/6 + 1/12 + ... = 1). Over any number of attempts, "faster" is therefore said falsely with a probability
of at most ALPHA / 2 + ALPHA / 2 = 5 %, as is "slower". Spending a level over looks is Bonferroni's correction with
unequal shares; a first attempt that is the only one pays nothing for it.
"""

from __future__ import annotations

from kokoro_lab.measure.statistics.intervals import ALPHA

__all__ = ["attempt_alpha"]


def attempt_alpha(attempt: int, alpha: float = ALPHA) -> float:
    """The level at which attempt `attempt` (1 is the first) of a comparison is judged.

    Examples:
        >>> [round(attempt_alpha(attempt), 4) for attempt in (1, 2, 3, 10)]
        [0.05, 0.025, 0.0083, 0.0006]
        >>> sum(attempt_alpha(attempt) for attempt in range(2, 10_000)) <= 0.05
        True
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt} is not a number of an attempt; the first is 1")
    return alpha if attempt == 1 else alpha / (attempt * (attempt - 1))
