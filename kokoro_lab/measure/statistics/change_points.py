"""Change points of a series of runs: where the ratio of a cell to its reference changed from one state to the next.

A state is a commit with its software, measured by one run or by several. The series is cut by PELT (Killick, Fearnhead
and Eckley 2012, Journal of the American Statistical Association 107, 1590-1598), as the library ruptures implements it,
with a cost in units of the noise: every state weighs as much as its runs are precise. So reruns of one state never
give a change point, and a change must stand out from the noise of runs, not from that of single calls.

The noise of a run is the variance of its pairs of blocks, pooled over the runs; it is raised to the variance between
reruns of one state, or between neighbouring states, where these differ by more than their blocks explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.measure.statistics.between_runs import RunRatio
from kokoro_lab.measure.statistics.comparison import MARGIN
from kokoro_lab.measure.statistics.intervals import ALPHA, Interval

__all__ = ["FEWEST_RUNS", "ChangePoint", "RunNoise", "change_points", "run_noise"]

FEWEST_RUNS = 2
"""Fewest runs on either side of a change point: a change that a single run shows may be that run's own."""

FEWEST_NEIGHBOURS = 8
"""Fewest states from which the noise between runs is estimated without a rerun of any of them."""

CHI_SQUARE_MEDIAN = 0.4549
"""Median of a chi-square with one degree of freedom; turns a median of squares into a variance, whatever the steps."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RunNoise:
    """What the ratio of one cell varies by, as a logarithm, without any change."""

    pair_variance: float
    """Of one pair of blocks, pooled over the runs; NaN where every run has a single pair."""
    pair_degrees: int
    between: float
    """Least variance of a run, however many pairs it has: that between reruns of one state."""
    scale: float
    """Factor, at least 1, by which neighbouring states differ by more than these variances explain."""
    degrees: float
    """Degrees of freedom of the estimate that determines the noise; 0 where the noise between runs is unknown."""

    @property
    def known(self) -> bool:
        """Whether runs of one state were repeated, or enough states measured."""
        return self.degrees > 0

    def of(self, run: RunRatio) -> float:
        """The variance of one run."""
        within = self.pair_variance / run.pairs if math.isfinite(self.pair_variance) else 0.0
        return self.scale * max(self.between, within)


@dataclass(frozen=True)
class ChangePoint:
    """A change between two neighbouring states of a series."""

    at: int
    """Place of the first state after the change."""
    ratio: Interval
    """Level after the change over the level before it; `count` is the number of runs on both sides. The interval is
    corrected for the search: it holds for every place of the series, and every series, at once."""
    runs: tuple[int, int]
    """Runs before it, from the previous change point on, and after it, up to the next."""


def run_noise(states: Sequence[Sequence[RunRatio]]) -> RunNoise:
    """The noise of one series; `states`: the runs of each state, in order."""
    runs = [run for state in states for run in state]
    several = [run for run in runs if run.pairs > 1 and math.isfinite(run.variance)]
    pair_degrees = sum(run.pairs - 1 for run in several)
    pair_variance = (
        sum(run.variance * run.pairs * (run.pairs - 1) for run in several) / pair_degrees if pair_degrees else math.nan
    )
    reruns = sum(len(state) - 1 for state in states)
    squares = sum(float(np.var([run.log for run in state])) * len(state) for state in states)
    between = squares / reruns if reruns else 0.0
    noise = RunNoise(pair_variance, pair_degrees, between, 1.0, float(reruns))
    if len(states) < FEWEST_NEIGHBOURS or not pair_degrees:
        return noise
    scale = _scale_of_neighbours(states, noise)
    neighbours = (len(states) - 1) / 3.0  # a median of squares is worth about a third of its values
    by_pairs = scale <= 1.0 and between <= _mean_within(runs, pair_variance)
    degrees = max(float(reruns), float(pair_degrees) if by_pairs else neighbours)
    return RunNoise(pair_variance, pair_degrees, between, max(1.0, scale), degrees)


def change_points(
    states: Sequence[Sequence[RunRatio]], noise: RunNoise, *, series: int = 1, margin: float = MARGIN
) -> list[ChangePoint]:
    """Changes of more than the margin, in order; empty where the noise is unknown.

    Args:
        states: the runs of each state, in the order of the states.
        noise: what the runs vary by, from `run_noise`.
        series: number of series that are searched together; the error rate is that of any false change point in all.
        margin: smallest change, as a share.
    """
    import ruptures
    from scipy import stats

    runs = np.array([len(state) for state in states])
    if not noise.known or len(states) < 2 or runs.sum() < 2 * FEWEST_RUNS:
        return []
    variances = [[noise.of(run) for run in state] for state in states]
    if min(map(min, variances)) <= 0.0:  # identical everywhere, or a variance below what a float holds
        return []
    levels, precision = _levels(states, variances)
    penalty = float(stats.f.isf(ALPHA / (series * (len(states) - 1)), 1, noise.degrees))
    segments = _Segments(levels, precision, runs)
    # ruptures calls `signal` the points that it cuts.
    cuts = ruptures.Pelt(custom_cost=_cost(segments), min_size=1, jump=1).fit_predict(levels, pen=penalty)
    found = _changes(segments, [0, *cuts], penalty, series)
    while doubtful := [change for change in found if not _certain(change, margin)]:
        weakest = min(doubtful, key=lambda change: abs(math.log(change.ratio.center)))
        cuts.remove(weakest.at)
        found = _changes(segments, [0, *cuts], penalty, series)
    return found


def _levels(states: Sequence[Sequence[RunRatio]], variances: Sequence[Sequence[float]]) -> tuple[Values, Values]:
    """Of each state, the mean of its runs weighted by their precision, and its own precision: float64[states] both.

    `variances`: of each run, above 0.
    """
    precision = np.array([sum(1.0 / value for value in state) for state in variances])
    weighted = [
        sum(run.log / value for run, value in zip(*pair, strict=True)) for pair in zip(states, variances, strict=True)
    ]
    return np.array(weighted) / precision, precision


class _Segments:
    """The states of a series, and what a stretch of them costs; from running sums, because PELT asks for many."""

    def __init__(self, levels: Values, precision: Values, runs: npt.NDArray[np.int_]) -> None:
        """`precision`: one over the variance of each level; `runs`: how many runs each state has."""
        self._middle = float(np.average(levels, weights=precision))
        around = levels - self._middle
        sums = (precision, precision * around, precision * around**2, runs)
        self._sums = [[0.0, *np.cumsum(values).tolist()] for values in sums]

    def _of(self, start: int, end: int) -> list[float]:
        return [sums[end] - sums[start] for sums in self._sums]

    def level(self, start: int, end: int) -> float:
        """The weighted mean of a stretch."""
        weight, first, _, _ = self._of(start, end)
        return self._middle + first / weight

    def cost(self, start: int, end: int) -> float:
        """The weighted squares around the mean of a stretch: in units of the noise."""
        weight, first, second, _ = self._of(start, end)
        return second - first**2 / weight

    def variance(self, start: int, end: int) -> float:
        """Of the weighted mean of a stretch."""
        return 1.0 / self._of(start, end)[0]

    def runs(self, start: int, end: int) -> int:
        """How many runs a stretch has."""
        return int(self._of(start, end)[3])


def _cost(segments: _Segments) -> object:
    """The cost in the form that ruptures takes."""
    from ruptures.base import BaseCost

    class _WeightedSquares(BaseCost):  # type: ignore[misc, unused-ignore]
        model = ""
        min_size = 1

        def fit(self, signal: Values) -> object:
            self.signal = signal
            return self

        def error(self, start: int, end: int) -> float:
            return segments.cost(start, end)

    return _WeightedSquares()


def _changes(segments: _Segments, ends: Sequence[int], penalty: float, series: int) -> list[ChangePoint]:
    """The changes between neighbouring segments; `ends`: 0 and the end of each.

    PELT keeps two segments apart when their levels differ by more than the root of the penalty in standard errors: with
    this quantile, the interval of a change that it found does not contain 1.
    """
    found = []
    for start, at, end in zip(ends, ends[1:], ends[2:], strict=False):
        log = segments.level(at, end) - segments.level(start, at)
        error = math.sqrt(segments.variance(start, at) + segments.variance(at, end))
        low, high = (math.exp(log + sign * math.sqrt(penalty) * error) for sign in (-1.0, 1.0))
        runs = segments.runs(start, at), segments.runs(at, end)
        ratio = Interval(math.exp(log), low, high, sum(runs), 1.0 - ALPHA / series)
        found.append(ChangePoint(at, ratio, runs))
    return found


def _certain(change: ChangePoint, margin: float) -> bool:
    """Whether a change is of more than the margin, seen by enough runs, and its interval does not contain 1."""
    low, high = change.ratio.bounds
    excludes = low is not None and high is not None and not low <= 1.0 <= high
    return excludes and abs(math.log(change.ratio.center)) >= math.log1p(margin) and min(change.runs) >= FEWEST_RUNS


def _scale_of_neighbours(states: Sequence[Sequence[RunRatio]], noise: RunNoise) -> float:
    """How many times more neighbouring states differ than the noise explains; a few real steps hardly matter."""
    variances = [[noise.of(run) for run in state] for state in states]
    if min(map(min, variances)) <= 0.0:
        return 1.0
    levels, precision = _levels(states, variances)
    squares = np.diff(levels) ** 2 / (1.0 / precision[1:] + 1.0 / precision[:-1])
    return float(np.median(squares)) / CHI_SQUARE_MEDIAN


def _mean_within(runs: Sequence[RunRatio], pair_variance: float) -> float:
    return float(np.mean([pair_variance / run.pairs for run in runs]))
