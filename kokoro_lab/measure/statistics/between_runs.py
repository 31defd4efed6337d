"""Comparison of different runs: the run is the unit, because runs differ by more than their blocks show.

Each cell of a run becomes one number: the logarithm of its ratio to the run's reference cell, over pairs of blocks. The
variance of these numbers between runs of the same code on the same machine is pooled over all cells that several runs
measured, and is included in every interval: Student's t, with the degrees of freedom of the repeated runs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kokoro_lab.measure.statistics.comparison import MARGIN, Comparison, Pair, Verdict, holm
from kokoro_lab.measure.statistics.intervals import ALPHA
from kokoro_lab.measure.statistics.sign_test import shift

__all__ = ["BetweenRuns", "RunRatio", "between_runs", "compare_runs", "run_ratio"]

K = TypeVar("K", bound=Hashable)

MEDIAN_VARIANCE = math.pi / 2.0
"""Variance of a median over that of a mean, for normal values; less for heavy tails."""


@dataclass(frozen=True)
class RunRatio:
    """One cell of one run over the reference cell of that run."""

    log: float
    variance: float
    """Of `log`, from its pairs; NaN for a single pair."""
    pairs: int


@dataclass(frozen=True)
class BetweenRuns:
    """How much the ratio of a cell to its reference varies between runs of the same commit on the same machine."""

    variance: float
    """Of the logarithm; NaN without repeated runs."""
    degrees: int
    """Runs beyond the first of each commit and machine; the cells of a run share a reference and count once."""

    @property
    def known(self) -> bool:
        """Whether any run was repeated."""
        return self.degrees > 0


@dataclass(frozen=True)
class _Difference:
    """Candidate runs minus base runs, as a logarithm, with its standard error (NaN where unknown)."""

    estimate: float
    error: float
    between: BetweenRuns

    def tail(self, distance: float) -> float:
        """One-sided p of a distance: 0 or 1 without any spread, 1 when the spread is unknown."""
        from scipy import stats

        if not self.between.known:
            return 1.0
        return (
            float(stats.t.sf(distance / self.error, self.between.degrees)) if self.error > 0 else float(distance <= 0)
        )


def run_ratio(pairs: Sequence[Pair]) -> RunRatio:
    """The ratio of a run's cell to its reference. Raises ValueError without a pair."""
    logs = [pair.log_ratio for pair in pairs]
    spread = MEDIAN_VARIANCE * float(np.var(logs, ddof=1)) / len(logs) if len(logs) > 1 else math.nan
    return RunRatio(shift(logs).center, spread, len(logs))


def between_runs(groups: Mapping[Hashable, Mapping[K, Sequence[RunRatio]]]) -> BetweenRuns:
    """The variance between runs, pooled over cells. `groups`: state of the code and machine -> cell -> its runs."""
    squares, weights, degrees = 0.0, 0, 0
    for cells in groups.values():
        for runs in cells.values():
            logs = np.array([run.log for run in runs])
            squares += float(((logs - logs.mean()) ** 2).sum())
            weights += logs.size - 1
        degrees += max(len(runs) - 1 for runs in cells.values())
    return BetweenRuns(squares / weights, degrees) if weights else BetweenRuns(math.nan, 0)


def compare_runs(
    sides: Mapping[K, tuple[Sequence[RunRatio], Sequence[RunRatio]]],
    between: BetweenRuns,
    *,
    invalid: Mapping[K, str],
) -> dict[K, Comparison]:
    """Judge several cells together, each by its (base, candidate) runs; the verdicts are corrected for their number.

    `invalid`: cell -> why it must not be judged; invalid cells are not counted in the correction.
    """
    differences = {key: _difference(*runs, between) for key, runs in sides.items()}
    tested = [key for key in sides if key not in invalid]
    bound = math.log1p(MARGIN)
    raw = [min(1.0, 2 * differences[key].tail(abs(differences[key].estimate))) for key in tested]
    raw_equal = [differences[key].tail(bound - abs(differences[key].estimate)) for key in tested]
    p_values = dict(zip(tested, zip(holm(raw), holm(raw_equal), strict=True), strict=True))
    result = {}
    for key, runs in sides.items():
        p, equal = p_values.get(key, (1.0, 1.0))
        verdict: Verdict = "invalid"
        reason = invalid.get(key, "")
        if key not in invalid:
            verdict, reason = _verdict(differences[key], p, equal, (len(runs[0]), len(runs[1])))
        result[key] = _comparison(differences[key], runs, verdict, reason, (p, equal), max(1, len(tested)))
    return result


def _difference(base: Sequence[RunRatio], candidate: Sequence[RunRatio], between: BetweenRuns) -> _Difference:
    """The error is computed from the variance between runs, or from that of the pairs where it is larger."""
    variance = 0.0
    for runs in (base, candidate):
        within = [run.variance for run in runs if math.isfinite(run.variance)]
        variance += max(between.variance, float(np.mean(within)) if within else 0.0) / len(runs)
    levels = [float(np.mean([run.log for run in runs])) for runs in (base, candidate)]
    return _Difference(levels[1] - levels[0], math.sqrt(variance) if between.known else math.nan, between)


def _verdict(difference: _Difference, p: float, equal: float, counts: tuple[int, int]) -> tuple[Verdict, str]:
    runs, bound = f"{counts[0]} and {counts[1]} runs", math.log1p(MARGIN)
    if not difference.between.known:
        return "inconclusive", "The variance between runs is unknown: repeat a run of the same commit on this machine."
    if p <= ALPHA and abs(difference.estimate) >= bound:
        side: Verdict = "faster" if difference.estimate < 0 else "slower"
        return side, f"The ratio relative to the reference is {math.exp(difference.estimate):.3f}, over {runs}."
    if equal <= ALPHA:
        return "equivalent", f"The ratio relative to the reference is within {MARGIN:.0%} of 1, over {runs}."
    return (
        "inconclusive",
        f"{runs} cannot decide, given the noise of {difference.between.degrees} repeated runs.",
    )


def _comparison(
    difference: _Difference,
    runs: tuple[Sequence[RunRatio], Sequence[RunRatio]],
    verdict: Verdict,
    reason: str,
    p_values: tuple[float, float],
    number: int,
) -> Comparison:
    from scipy import stats

    confidence = 1.0 - ALPHA / number
    known = difference.between.known
    quantile = float(stats.t.ppf((1.0 + confidence) / 2.0, difference.between.degrees))
    reach = quantile * difference.error if known else math.nan
    return Comparison(
        verdict=verdict,
        reason=reason,
        ratio=math.exp(difference.estimate),
        low=math.exp(difference.estimate - reach) if known else None,
        high=math.exp(difference.estimate + reach) if known else None,
        confidence=confidence,
        p=p_values[0],
        p_equivalence=p_values[1],
        superiority=None,
        pairs=sum(run.pairs for side in runs for run in side),
        texts=1,
        margin=MARGIN,
        comparisons=number,
    )
