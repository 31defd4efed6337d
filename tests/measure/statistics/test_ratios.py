"""Which blocks make a ratio, and when it has an interval."""

from __future__ import annotations

import pytest

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.ratios import block_ratio, paired_ratio, ratio_of_intervals, unpaired_ratio


def rounds(*levels: float, first: int = 0) -> dict[int, list[list[float]]]:
    return {first + at: [[0.9 * level, level, 1.1 * level]] for at, level in enumerate(levels)}


def test_rounds_that_both_sides_have_make_pairs_and_the_others_are_left_out() -> None:
    candidate = rounds(10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 999.0)
    base = {**rounds(20.0, 40.0, 60.0, 80.0, 100.0, 120.0), 50: [[7.0]]}
    where = block_ratio(candidate, base)
    assert (where.center, where.low, where.high) == pytest.approx((0.5, 0.5, 0.5))
    assert where.count == 6 and where.known


def test_without_a_shared_round_all_blocks_of_both_are_compared() -> None:
    sides = rounds(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), rounds(2.0, 4.0, 6.0, 8.0, 10.0, 12.0, first=10)
    assert block_ratio(*sides) == unpaired_ratio(
        *([block for blocks in side.values() for block in blocks] for side in sides)
    )
    assert block_ratio(*sides).center == pytest.approx(0.5)


def test_replicas_in_one_round_are_one_value() -> None:
    twice = {number: [[1.0], [3.0]] for number in range(6)}
    where = block_ratio(twice, rounds(*[1.0] * 6))
    assert where.center == pytest.approx(2.0) and where.count == 6


def test_five_pairs_or_five_blocks_a_side_have_a_range_and_no_interval() -> None:
    pairs = paired_ratio([(1.0, 1.0), (1.1, 1.0), (1.2, 1.0), (0.9, 1.0), (1.0, 1.0)])
    assert not pairs.known and (pairs.low, pairs.high) == pytest.approx((0.9, 1.2))
    apart = unpaired_ratio([[1.0], [1.1], [0.9], [1.0], [1.0]], [[1.0]] * 9)
    assert not apart.known and apart.count == 5 and apart.low is not None
    assert unpaired_ratio([[1.0]], [[2.0]] * 9) == Interval(0.5, None, None, 1, None)


def test_turning_a_ratio_over_turns_its_interval_over() -> None:
    one, other = Interval(2.0, 1.5, 3.0, 8), Interval(5.0, 4.5, 5.5, 9)
    there, back = ratio_of_intervals(one, other), ratio_of_intervals(other, one)
    assert there.center * back.center == pytest.approx(1.0)
    assert (there.low or 0) * (back.high or 0) == pytest.approx(1.0)
