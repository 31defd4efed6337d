from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.measure.noise import block_interval, blocks_needed, detectable, noise_floor, pooled_sd


@pytest.mark.filterwarnings("error")
def test_values_that_are_not_all_positive_have_an_interval_of_their_own_scale() -> None:
    where = block_interval([[-0.01], [0.0], [0.02]])
    assert where.value == 0.0
    assert where.low is not None and where.high is not None
    assert where.low < -0.01 and where.high > 0.02


def test_one_block_has_a_median_and_no_interval() -> None:
    where = block_interval([[1.0, 2.0, 9.0]])
    assert (where.value, where.low, where.high, where.blocks) == (2.0, None, None, 1)
    with pytest.raises(ValueError, match="at least one block"):
        block_interval([[]])


@given(st.lists(st.lists(st.floats(0.5, 50.0), min_size=1, max_size=4), min_size=2, max_size=12))
@settings(max_examples=40)
def test_an_interval_holds_its_median_and_is_repeatable(blocks: list[list[float]]) -> None:
    where = block_interval(blocks)
    assert where.low is not None
    assert where.high is not None
    assert where.low <= where.value <= where.high
    assert block_interval(blocks) == where


def test_a_hundred_repeats_in_three_processes_are_three_blocks() -> None:
    rng = np.random.default_rng(1)
    levels = [1.0, 1.1, 1.2]
    few = block_interval([[level] for level in levels])
    many = block_interval([list(rng.normal(level, 1e-4, 100)) for level in levels])
    assert few.low is not None
    assert many.low is not None
    assert many.low == pytest.approx(few.low, rel=1e-3)
    assert many.low < 1.0


@pytest.mark.parametrize("count", [2, 4, 6, 10, 25])
def test_intervals_cover_the_true_median_nearly_as_often_as_they_say(count: int) -> None:
    rng = np.random.default_rng(count)
    covered = 0
    for _ in range(300):
        blocks = [[value] for value in np.exp(rng.normal(0.0, 0.05, count))]
        where = block_interval(blocks)
        assert where.low is not None
        assert where.high is not None
        covered += where.low <= 1.0 <= where.high
    assert covered >= 270


def test_the_pooled_spread_is_within_cells_and_not_between_them() -> None:
    rng = np.random.default_rng(2)
    cells = {str(level): np.exp(rng.normal(math.log(level), 0.02, 40)) for level in (1.0, 5.0, 25.0)}
    sd, degrees = pooled_sd(cells)
    assert degrees == 117
    assert sd == pytest.approx(0.02, rel=0.2)
    assert math.isnan(pooled_sd({"one": [1.0]})[0])


def test_too_few_pairs_can_detect_nothing_and_nothing_under_the_margin_is_detectable() -> None:
    assert detectable(0.01, 5) == math.inf
    assert detectable(1e-9, 6) == pytest.approx(0.03, abs=1e-6)
    assert blocks_needed(0.02, 0.03) is None
    assert noise_floor({"a": [1.0], "b": [1.0]}).detectable == math.inf


@given(st.floats(0.002, 0.1), st.integers(6, 200))
def test_more_pairs_and_less_noise_show_smaller_effects(sd: float, pairs: int) -> None:
    assert detectable(sd, pairs + 1) <= detectable(sd, pairs)
    assert detectable(sd, pairs) <= detectable(sd * 1.1, pairs)


@given(st.floats(0.002, 0.05), st.sampled_from([0.05, 0.1, 0.2]), st.integers(1, 20))
@settings(max_examples=30)
def test_the_blocks_needed_suffice_and_one_fewer_would_not(sd: float, effect: float, comparisons: int) -> None:
    needed = blocks_needed(sd, effect, comparisons=comparisons)
    assert needed is not None
    alpha = 0.05 / comparisons
    assert detectable(sd, needed, alpha=alpha) <= effect < detectable(sd, needed - 1, alpha=alpha)


def test_the_floor_is_what_chance_alone_looks_like() -> None:
    rng = np.random.default_rng(3)
    beyond = 0
    for _ in range(400):
        cells = {name: np.exp(rng.normal(0.0, 0.02, 8)) for name in "abcd"}
        floor = noise_floor(cells)
        ratio = np.exp(np.log(cells["a"]).mean() - np.log(cells["b"]).mean())
        beyond += abs(ratio - 1.0) > floor.floor
    assert beyond <= 36  # 5 % and three standard errors
