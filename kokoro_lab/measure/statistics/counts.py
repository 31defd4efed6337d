"""Exact intervals for counts: failures among a number of calls, and events in a period of time."""

from __future__ import annotations

from kokoro_lab.measure.statistics.intervals import ALPHA, CONFIDENCE, Interval

__all__ = ["rate_interval", "share_interval"]


def share_interval(failures: int, trials: int) -> Interval:
    """A share of failures (Clopper and Pearson 1934): one-sided without failures, two-sided otherwise.

    Raises ValueError without a trial.
    """
    from scipy import stats

    if trials < 1:
        raise ValueError("a share needs at least one trial")
    tail = ALPHA if failures == 0 else ALPHA / 2
    low = 0.0 if failures == 0 else float(stats.beta.ppf(tail, failures, trials - failures + 1))
    high = 1.0 if failures == trials else float(stats.beta.ppf(1 - tail, failures + 1, trials - failures))
    return Interval(failures / trials, low, high, trials, CONFIDENCE)


def rate_interval(events: int) -> Interval:
    """The expected number of events, given the number counted (Garwood 1936); one-sided when it is 0.

    No event counted still allows three expected (the rule of three): the upper end is never 0.
    """
    from scipy import stats

    low = 0.0 if events == 0 else float(stats.chi2.ppf(ALPHA / 2, 2 * events)) / 2
    tail = ALPHA if events == 0 else ALPHA / 2
    high = float(stats.chi2.ppf(1 - tail, 2 * (events + 1))) / 2
    return Interval(float(events), low, high, events, CONFIDENCE)
