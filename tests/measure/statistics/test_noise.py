from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.measure.statistics.noise import blocks_needed, detectable, noise_floor, pooled_sd


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
    assert detectable(sd, pairs + 5) <= detectable(sd, pairs), "one more pair may miss the better level"
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
