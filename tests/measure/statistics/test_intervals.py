"""An interval covers what it says it covers, and what is too little for one is called a range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kokoro_lab.measure.statistics.intervals import FEWEST, Interval, block_interval, exact, median_interval


def test_one_block_has_a_median_and_neither_interval_nor_range() -> None:
    where = block_interval([[1.0, 2.0, 9.0]])
    assert (where.center, where.low, where.high, where.count) == (2.0, None, None, 1)
    assert not where.known and "1 block" in where.shortfall
    for nothing in ([], [[]], [[1.0], []]):
        with pytest.raises(ValueError, match="at least one block"):
            block_interval(nothing)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_fewer_than_six_blocks_have_a_range_that_is_not_called_an_interval(count: int) -> None:
    where = block_interval([[float(value)] for value in range(count)])
    assert (where.low, where.high, where.confidence) == (0.0, count - 1.0, None)
    assert not where.known and where.bounds == (None, None)
    assert f"{count} blocks" in where.shortfall and f"at least {FEWEST}" in where.shortfall


def test_six_values_have_an_interval_and_more_confidence_takes_more_of_them() -> None:
    assert median_interval(range(6)).known and median_interval(range(6)).shortfall == ""
    assert not median_interval(range(7), confidence=0.99).known
    assert median_interval(range(8), confidence=0.99).known


@given(st.lists(st.floats(0.5, 50.0), min_size=6, max_size=60))
@settings(max_examples=60)
def test_the_ends_lie_between_the_order_statistics_that_bracket_the_confidence(values: list[float]) -> None:
    where, ordered = median_interval(values), sorted(values)
    depth = int(stats.binom.ppf(0.025, len(values), 0.5))  # the interval of exactly this depth covers 95 % or more
    assert where.low is not None and where.high is not None
    assert ordered[depth - 1] - 1e-9 <= where.low <= where.center <= where.high <= ordered[-depth] + 1e-9
    assert ordered[min(depth, len(values) // 2)] >= where.low - 1e-9, "and no further out than the next but one"


def test_values_that_are_not_positive_have_the_same_interval_moved() -> None:
    here = median_interval([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    there = median_interval([value - 10.0 for value in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)])
    assert here.low is not None and there.low is not None
    assert (there.center, there.low) == (here.center - 10.0, pytest.approx(here.low - 10.0))


def test_a_hundred_repeats_in_six_processes_are_six_blocks() -> None:
    rng = np.random.default_rng(1)
    levels = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    few = block_interval([[level] for level in levels])
    many = block_interval([list(rng.normal(level, 1e-4, 100)) for level in levels])
    assert few.count == many.count == 6
    assert many.low == pytest.approx(few.low, rel=1e-3)


def test_another_unit_and_a_falling_function_keep_the_ends_in_order() -> None:
    where = Interval(2.0, 1.0, 4.0, 9)
    assert where.scaled(1e3) == Interval(2e3, 1e3, 4e3, 9)
    assert where.mapped(lambda value: 1 / value, falling=True) == Interval(0.5, 0.25, 1.0, 9)
    assert Interval(2.0, None, 4.0, 9).mapped(lambda value: -value, falling=True) == Interval(-2.0, -4.0, None, 9)


def test_the_magnitude_of_what_may_have_either_sign_starts_at_zero() -> None:
    assert Interval(1.0, -2.0, 5.0, 9).magnitude == Interval(1.0, 0.0, 5.0, 9)
    assert Interval(-4.0, -6.0, -3.0, 9).magnitude == Interval(4.0, 3.0, 6.0, 9)
    assert Interval(-4.0, None, None, 9).magnitude == Interval(4.0, None, None, 9)


def test_what_is_counted_has_no_width() -> None:
    assert exact(3.0) == Interval(3.0, 3.0, 3.0, 0) and exact(3.0).known
