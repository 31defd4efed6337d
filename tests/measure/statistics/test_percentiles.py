from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.measure.statistics.percentiles import design_effect, percentile, samples_needed


def singles(values: np.ndarray) -> list[list[float]]:
    return [[float(value)] for value in values]


def test_59_samples_for_p95_and_299_for_p99() -> None:
    assert samples_needed(0.95) == 59
    assert samples_needed(0.99) == 299
    assert samples_needed(0.95, effect=2.0) == 117
    rng = np.random.default_rng(1)
    assert percentile(singles(rng.random(58)), 0.95).value is None
    assert percentile(singles(rng.random(58)), 0.95).text == "too few samples (58 of 59)"
    enough = percentile(singles(rng.random(59)), 0.95)
    assert enough.upper is not None
    assert enough.value is not None
    assert enough.upper >= enough.value


def test_with_the_fewest_samples_the_bound_is_the_maximum() -> None:
    values = np.random.default_rng(2).random(59)
    assert percentile(singles(values), 0.95).upper == values.max()


def test_the_bound_holds_in_95_of_100_samples_of_any_shape() -> None:
    rng = np.random.default_rng(3)
    for draw, truth in ((rng.standard_exponential, -np.log(0.05)), (rng.random, 0.95)):
        held = 0
        for _ in range(400):
            upper = percentile(singles(draw(200)), 0.95).upper
            assert upper is not None
            held += upper >= truth
        assert held >= 367  # 95 % less three standard errors


def test_repeats_of_one_process_are_worth_less_and_more_of_them_are_asked_for() -> None:
    rng = np.random.default_rng(4)
    level = rng.normal(10.0, 1.0, 30)
    alike = [list(rng.normal(mean, 0.1, 5)) for mean in level]
    assert design_effect(alike) == pytest.approx(5.0, abs=0.3)
    assert percentile(alike, 0.95).value is None
    assert percentile(alike, 0.95).samples == 150
    independent = [list(rng.normal(10.0, 1.0, 5)) for _ in range(30)]
    assert percentile(independent, 0.95).value is not None


def test_the_bound_holds_with_block_effects_too() -> None:
    rng = np.random.default_rng(5)
    truth = 1.6449 * np.sqrt(2.0)
    held = decided = 0
    for _ in range(300):
        blocks = [list(rng.normal(mean, 1.0, 4)) for mean in rng.normal(0.0, 1.0, 60)]
        upper = percentile(blocks, 0.95).upper
        if upper is not None:
            decided += 1
            held += upper >= truth
    assert decided > 250
    assert held >= 0.91 * decided


@given(st.lists(st.lists(st.floats(1.0, 100.0), max_size=6), max_size=8))
def test_the_design_effect_is_at_least_one_and_at_most_the_number_of_repeats(blocks: list[list[float]]) -> None:
    total = sum(len(block) for block in blocks)
    assert 1.0 <= design_effect(blocks) <= max(1, total)


def test_one_process_alone_is_one_sample() -> None:
    assert design_effect([[1.0, 2.0, 3.0]]) == 3.0
    assert percentile([list(np.random.default_rng(6).random(100))], 0.95).value is None


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.95).text == "too few samples (0 of 59)"
