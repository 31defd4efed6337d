from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.measure.block.steady import MIN_STEADY, is_steady, label_outliers


def test_too_few_calls_are_never_steady() -> None:
    assert not is_steady([1.0] * (MIN_STEADY - 1))
    assert is_steady([1.0] * MIN_STEADY)


@pytest.mark.parametrize(
    "times",
    [
        [2.0, 1.0, 1.0, 1.0],  # the first call allocates
        [1.5, 1.4, 1.3, 1.2, 1.1, 1.0],  # still getting faster
        [1.0, 1.0, 1.0, 1.1, 1.1, 1.1],  # a jump
        [1.0, 1.05, 1.1, 1.15, 1.2, 1.25],  # getting slower: throttling
        [0.0] * 6,
    ],
)
def test_a_trend_or_a_jump_is_not_steady(times: list[float]) -> None:
    assert not is_steady(times)


def test_one_bad_call_among_six_good_ones_does_not_undo_steadiness_two_do() -> None:
    assert is_steady([1.0, 1.0, 1.01, 1.0, 1.6, 1.0, 1.01])
    assert not is_steady([1.0, 1.0, 1.01, 1.6, 1.6, 1.0, 1.01])


def test_a_slow_first_call_is_left_out_as_soon_as_there_are_enough_others() -> None:
    assert not is_steady([2.0, 1.0, 1.01, 1.0])
    assert is_steady([2.0, 1.0, 1.01, 1.0, 1.01])


@pytest.mark.parametrize("change", [0.01, -0.01, 0.02, 0.05])
def test_a_ramp_is_never_steady(change: float) -> None:
    times = ((1.0 + change) ** np.arange(40)).tolist()
    assert not any(is_steady(times[:calls]) for calls in range(1, 41))


def test_the_smallest_ramps_are_within_the_tolerance() -> None:
    assert is_steady((1.001 ** np.arange(6)).tolist())


@pytest.mark.parametrize("period", [2, 3])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_an_oscillation_between_100_and_200_is_never_steady(period: int, start: int) -> None:
    times = [200.0 if (call + start) % period == 0 else 100.0 for call in range(40)]
    assert not any(is_steady(times[:calls]) for calls in range(1, 41))


@pytest.mark.parametrize(("noise", "within"), [(0.005, 5), (0.01, 5), (0.02, 5), (0.03, 6), (0.05, 8)])
def test_ordinary_noise_is_steady_within_the_calls_that_plans_allow(noise: float, within: int) -> None:
    rng = np.random.default_rng(3)
    needed = []
    for times in rng.normal(1.0, noise, (400, 20)).tolist():
        needed.append(next((calls for calls in range(1, 21) if is_steady(times[:calls])), 99))
    assert float(np.median(needed)) <= MIN_STEADY + (noise > 0.03), "as soon as it may be"
    assert sum(calls <= within for calls in needed) >= 0.9 * len(needed)


def test_the_times_are_not_changed() -> None:
    times = np.array([2.0, 2.0, 2.0, 2.0, 2.0])
    is_steady(times)
    assert times.tolist() == [2.0] * 5


@given(st.floats(1e-3, 1e3), st.integers(0, 10**6))
def test_steadiness_does_not_depend_on_the_unit(unit: float, seed: int) -> None:
    times = np.random.default_rng(seed).normal(1.0, 0.02, 8).clip(0.5)
    assert is_steady(times.tolist()) == is_steady((times * unit).tolist())


def test_most_warm_ups_of_a_noisy_but_flat_process_end_within_ten_calls() -> None:
    rng = np.random.default_rng(1)
    ended = 0
    for _ in range(500):
        times = [3.0, *rng.normal(1.0, 0.03, 9)]
        ended += any(is_steady(times[:calls]) for calls in range(1, 11))
    assert ended >= 475


def test_most_warm_ups_that_decay_are_not_ended_before_they_are_within_five_percent() -> None:
    rng = np.random.default_rng(2)
    early = 0
    for _ in range(500):
        level = 1.0 + 1.0 * np.exp(-np.arange(40) / 4.0)
        times = (level * rng.normal(1.0, 0.01, 40)).tolist()
        stop = next(calls for calls in range(1, 41) if is_steady(times[:calls]))
        early += level[stop] > 1.05
    assert early <= 25


def test_outliers_are_labelled_by_kind_and_every_value_keeps_its_place() -> None:
    labels = label_outliers([1.0, 1.02, 0.98, 5.0, 1.01, 0.2])
    assert labels == ("", "", "", "high", "", "low")


@given(st.lists(st.floats(0.1, 10.0), max_size=20))
def test_labelling_drops_nothing_and_never_labels_the_middle(times: list[float]) -> None:
    labels = label_outliers(times)
    assert len(labels) == len(times)
    assert sum(label != "" for label in labels) <= len(times) / 2


def test_equal_values_and_three_values_have_no_outliers() -> None:
    assert set(label_outliers([1.0] * 9 + [1.001])) == {""}
    assert set(label_outliers([1.0, 1.0, 9.0])) == {""}
