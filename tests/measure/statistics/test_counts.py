"""Intervals of counts hold what exact binomial and Poisson probabilities say, to the last case."""

from __future__ import annotations

import pytest
from scipy import stats

from kokoro_lab.measure.statistics.counts import rate_interval, share_interval
from kokoro_lab.measure.statistics.intervals import ALPHA


@pytest.mark.parametrize(("failures", "trials"), [(1, 10), (3, 50), (9, 10), (25, 50)])
def test_the_ends_of_a_share_are_where_what_was_seen_becomes_too_unlikely(failures: int, trials: int) -> None:
    found = share_interval(failures, trials)
    assert found.center == failures / trials
    assert found.low is not None and found.high is not None
    assert stats.binom.sf(failures - 1, trials, found.low) == pytest.approx(ALPHA / 2)
    assert stats.binom.cdf(failures, trials, found.high) == pytest.approx(ALPHA / 2)


def test_no_failure_bounds_the_share_from_one_side_alone() -> None:
    found = share_interval(0, 59)
    assert (found.center, found.low) == (0.0, 0.0)
    assert found.high is not None and (1 - found.high) ** 59 == pytest.approx(ALPHA)
    assert found.high == pytest.approx(0.0495, abs=1e-3), "59 calls without a failure: less than 5 %"


def test_nothing_but_failures_reaches_up_to_one() -> None:
    found = share_interval(20, 20)
    assert found.high == 1.0
    assert found.low is not None and found.low**20 == pytest.approx(ALPHA / 2)


def test_a_share_of_no_trials_is_an_error() -> None:
    with pytest.raises(ValueError, match="one trial"):
        share_interval(0, 0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("trials", [20, 100])
def test_a_share_is_covered_at_least_as_often_as_stated(share: float, trials: int) -> None:
    covered = 0.0
    for failures in range(trials + 1):
        found = share_interval(failures, trials)
        assert found.low is not None and found.high is not None
        if found.low <= share <= found.high:
            covered += float(stats.binom.pmf(failures, trials, share))
    assert covered >= 1 - ALPHA


@pytest.mark.parametrize("events", [1, 4, 30])
def test_the_ends_of_a_rate_are_where_what_was_seen_becomes_too_unlikely(events: int) -> None:
    found = rate_interval(events)
    assert found.low is not None and found.high is not None
    assert stats.poisson.sf(events - 1, found.low) == pytest.approx(ALPHA / 2)
    assert stats.poisson.cdf(events, found.high) == pytest.approx(ALPHA / 2)


def test_no_event_leaves_three_in_the_time_that_was_watched() -> None:
    found = rate_interval(0)
    assert found.low == 0.0
    assert found.high == pytest.approx(3.0, abs=0.01), "the rule of three"
