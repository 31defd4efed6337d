"""Bounds that may be looked at after every pair: how many pairs they need, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.variants.default_form.sequential_sign import ALPHA, fewest_pairs, sequential_bounds, stake

TRIALS = 2000
LONGEST = 40


def test_a_round_of_the_game_is_fair() -> None:
    for above in range(6):
        for others in range(6):
            after = (stake(above + 1, others) + stake(above, others + 1)) / 2
            assert after == pytest.approx(stake(above, others))


@pytest.mark.parametrize(("comparisons", "pairs"), [(1, 5), (2, 6), (4, 7)])
def test_a_clear_case_takes_the_fewest_pairs(comparisons: int, pairs: int) -> None:
    assert fewest_pairs(comparisons) == pairs
    values = [1.0 + 0.01 * number for number in range(pairs)]
    assert sequential_bounds(values, comparisons) == (values[0], values[-1])
    assert sequential_bounds(values[1:], comparisons) == (None, None)


def test_one_pair_that_disagrees_costs_more_pairs_and_is_left_out_of_the_bound() -> None:
    values = [-1.0, *(1.0 + number for number in range(20))]
    low, high = sequential_bounds(values, 2)
    assert (low, high) == (3.0, 17.0)
    assert sequential_bounds(values[:7], 2)[0] == -1.0


def wrong_ever(rng: np.random.Generator, comparisons: int, lengths: int) -> bool:
    """Whether any variant that is no faster is called faster at every length, at some look after any round."""
    for _ in range(comparisons):
        noise = rng.standard_cauchy((lengths, LONGEST))  # heavy tails; the median ratio is 1
        for pairs in range(fewest_pairs(comparisons), LONGEST + 1):
            lows = [sequential_bounds(list(row[:pairs]), comparisons)[0] for row in noise]
            if all(low is not None and low > 0.0 for low in lows):
                return True
    return False


@pytest.mark.parametrize("comparisons", [1, 3])
def test_looking_after_every_round_at_several_variants_errs_within_the_level(comparisons: int) -> None:
    rng = np.random.default_rng(comparisons)
    trials = TRIALS // (4 * comparisons)
    errors = sum(wrong_ever(rng, comparisons, 1) for _ in range(trials))
    assert errors / trials <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / trials)


def test_a_small_effect_is_found_with_more_pairs() -> None:
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(100):
        values = rng.normal(1.0, 1.0, 60)  # 84 % of pairs are above 0
        found += any((sequential_bounds(list(values[:pairs]), 2)[0] or -1.0) > 0.0 for pairs in range(6, 61))
    assert found >= 95


@given(st.lists(st.floats(-10, 10), max_size=30), st.floats(0.01, 5))
def test_bounds_follow_their_values(values: list[float], factor: float) -> None:
    low, high = sequential_bounds(values)
    assert (low is None) == (high is None) == (len(values) < fewest_pairs())
    if low is not None and high is not None:
        assert low in values and high in values
        scaled = sequential_bounds([factor * value for value in values])
        assert scaled == (factor * low, factor * high)
