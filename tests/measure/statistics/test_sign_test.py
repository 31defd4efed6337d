"""The sign test keeps its level whatever the shape of the noise, and its interval says the same as the test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kokoro_lab.measure.statistics.sign_test import (
    p_greater,
    p_two_sided,
    pairs_needed,
    reach,
    shift,
)


def attained_level(pairs: int, alpha: float = 0.05) -> float:
    """The true level of the two-sided test, from what `reach` says may disagree; 0 when too few pairs have none."""
    most, half = reach(pairs, alpha)
    return float(stats.binom.cdf(most, pairs, 0.5) + stats.binom.cdf(most + half, pairs, 0.5)) if most >= 0 else 0.0


few = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=9)
LEVELS = (0.05, 0.025, 0.01, 0.1)


@given(few)
def test_the_one_sided_p_is_the_binomial_probability_with_zeros_against(values: list[float]) -> None:
    above = sum(value > 0.0 for value in values)
    expected = stats.binomtest(above, len(values), alternative="greater").pvalue
    assert p_greater(values) == pytest.approx(expected)
    assert p_greater([]) == 1.0


@pytest.mark.parametrize("count", [6, 7, 8, 9, 10, 11])
@pytest.mark.parametrize("shape", ["equal", "one-sided", "crossed", "one pair alone", "random"])
def test_no_pattern_of_magnitudes_gives_a_level_above_the_stated_one(count: int, shape: str) -> None:
    """Exhaustive: the magnitude of every pair on either side of 0 is given, all sign patterns are equally likely."""
    rng = np.random.default_rng(count)
    up, down = (np.exp(rng.normal(0.0, 1.0, count)) for _ in range(2))
    match shape:
        case "equal":
            down = up
        case "one-sided":
            up = 1_000.0 * up
        case "crossed":
            up[::2] *= 1_000.0
            down[1::2] *= 1_000.0
        case "one pair alone":
            up[0] = down[0] = 1e-6
    patterns = np.array(list(itertools.product((False, True), repeat=count)))
    p_values = np.array([p_two_sided(np.where(pattern, up, -down)) for pattern in patterns])
    for level in LEVELS:
        attained = float(np.mean(p_values <= level))
        assert attained <= attained_level(count, level) + 1e-12 <= level + 2e-12, level


@pytest.mark.parametrize("count", [8, 11, 14, 16])
def test_half_steps_reach_levels_that_whole_ones_do_not(count: int) -> None:
    most, half = reach(count)
    assert half
    whole = 2.0 * float(stats.binom.cdf(most, count, 0.5))
    assert whole < attained_level(count) <= 0.05 < 2.0 * float(stats.binom.cdf(most + 1, count, 0.5))
    disagreeing = -np.arange(1.0, most + 2)
    agreeing = np.arange(2.0, count - most + 1)
    assert p_two_sided(np.concatenate([disagreeing, agreeing])) == pytest.approx(attained_level(count))
    assert p_two_sided(np.concatenate([2.5 * disagreeing, agreeing])) > 0.05


def test_more_pairs_than_needed_never_lose_their_level_altogether() -> None:
    levels = {count: attained_level(count) for count in range(1, 200)}
    assert all(level == 0.0 for count, level in levels.items() if count < 6)
    assert all(0.015 < level <= 0.05 for count, level in levels.items() if count >= 6)
    assert [round(levels[count], 3) for count in (6, 8, 12, 24)] == [0.031, 0.039, 0.039, 0.043]


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
    assert here.low is not None and here.high is not None and there.low is not None
    assert here.low <= here.center <= here.high
    assert there.center == pytest.approx(here.center + offset, abs=1e-9)
    assert there.low == pytest.approx(here.low + offset, abs=1e-9)


@given(st.integers(6, 30), st.integers(0, 10**6), st.sampled_from([0.05, 0.0125]))
@settings(max_examples=50)
def test_the_interval_holds_exactly_what_the_test_does_not_reject(count: int, seed: int, level: float) -> None:
    values = np.random.default_rng(seed).exponential(1.0, count)
    where = shift(values, 1.0 - level)
    if not where.known:
        assert p_two_sided(values) > level
        return
    assert where.low is not None and where.high is not None
    width = where.high - where.low
    for inside in (where.low + 1e-9 * width, where.high - 1e-9 * width):
        assert p_two_sided(values - inside) > level
    for outside in (where.low - 1e-9 * width, where.high + 1e-9 * width):
        assert p_two_sided(values - outside) <= level


def test_five_pairs_have_a_range_and_no_interval_at_95_percent() -> None:
    where = shift([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (where.low, where.center, where.high) == (1.0, 3.0, 5.0)
    assert not where.known and where.confidence is None
    assert (shift([2.0]).low, shift([2.0]).center) == (None, 2.0)
    with pytest.raises(ValueError, match="at least one"):
        shift([])


@pytest.mark.parametrize("count", [6, 8, 12, 24])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_covers_the_median_of_heavy_and_of_one_sided_tails(count: int, skewed: bool) -> None:
    rng = np.random.default_rng(4)
    truth = np.log(2.0) if skewed else 0.0
    draws = rng.exponential(1.0, (1_000, count)) if skewed else rng.standard_t(2, (1_000, count))
    covered = 0
    for values in draws:
        where = shift(values)
        covered += where.low is not None and where.high is not None and where.low <= truth <= where.high
    assert covered >= 930  # 95 % less three standard errors
