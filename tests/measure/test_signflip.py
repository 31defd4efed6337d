from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kokoro_lab.measure.signflip import p_greater, p_two_sided, pairs_needed, shift

few = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=9)


@given(few)
def test_the_exact_p_is_the_share_of_all_sign_patterns_ties_and_zeros_included(values: list[float]) -> None:
    kept = np.array([value for value in values if value != 0.0])
    if kept.size == 0:
        assert p_greater(values) == 1.0
        return
    ranks = stats.rankdata(np.abs(kept))
    observed = ranks[kept > 0].sum()
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=kept.size)]
    assert p_greater(values) == pytest.approx(np.mean(np.array(sums) >= observed))


@given(st.integers(5, 40), st.integers(0, 10**6))
@settings(max_examples=30)
def test_without_ties_it_is_wilcoxons_exact_test(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1.0, count)
    assert p_two_sided(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert p_greater(values) == pytest.approx(stats.wilcoxon(values, method="exact", alternative="greater").pvalue)


@given(few, st.floats(0.1, 10.0))
def test_p_depends_on_neither_unit_nor_direction(values: list[float], unit: float) -> None:
    array = np.array(values)
    assert p_two_sided(array) == pytest.approx(p_two_sided(-array))
    assert p_greater(array) == pytest.approx(p_greater(array * 2.0))
    assert 0.0 < p_two_sided(array) <= 1.0


def test_six_pairs_are_needed_and_ten_for_twenty_comparisons() -> None:
    assert pairs_needed() == 6
    assert pairs_needed(20) == 10
    for comparisons in (1, 2, 5, 20, 100):
        needed = pairs_needed(comparisons)
        assert p_two_sided(np.arange(1.0, needed + 1)) <= 0.05 / comparisons
        assert p_two_sided(np.arange(1.0, needed)) > 0.05 / comparisons


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=25), st.floats(-2, 2))
def test_the_interval_moves_with_the_data_and_holds_its_estimate(values: list[float], offset: float) -> None:
    here, there = shift(values), shift([value + offset for value in values])
    assert here.low <= here.estimate <= here.high
    assert there.estimate == pytest.approx(here.estimate + offset, abs=1e-9)
    assert there.low == pytest.approx(here.low + offset, abs=1e-9)


@given(st.integers(6, 30), st.integers(0, 10**6))
@settings(max_examples=50)
def test_the_interval_holds_exactly_what_the_test_does_not_reject(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.0, 1.0, count)
    where = shift(values)
    width = where.high - where.low
    for inside in (where.low + 1e-9 * width, where.high - 1e-9 * width):
        assert p_two_sided(values - inside) > 0.05
    for outside in (where.low - 1e-9 * width, where.high + 1e-9 * width):
        assert p_two_sided(values - outside) <= 0.05


def test_five_pairs_have_no_interval_at_95_percent() -> None:
    where = shift([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (where.low, where.high) == (-math.inf, math.inf)
    assert where.estimate == 3.0
    with pytest.raises(ValueError, match="at least one"):
        shift([])


def test_the_interval_covers_the_centre_of_heavy_tails() -> None:
    rng = np.random.default_rng(4)
    covered = sum(where.low <= 0.0 <= where.high for where in (shift(rng.standard_t(2, 10)) for _ in range(1_000)))
    assert covered >= 930  # 95 % less three standard errors
