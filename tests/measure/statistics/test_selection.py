"""The best of several cells, judged without believing the luckiest of them."""

from __future__ import annotations

import numpy as np
import pytest

from kokoro_lab.measure.statistics.intervals import ALPHA, Interval, median_interval
from kokoro_lab.measure.statistics.selection import blocks_for, confidence_each, lowest

TRIALS = 2_000
BLOCKS = 12


def wholly_below(cells: int, *, corrected: bool) -> float:
    """Share of trials in which the best of `cells` cells, all exactly on the bar, is judged to lie below it."""
    rng = np.random.default_rng(cells)
    below = 0
    for values in rng.lognormal(0.0, 0.05, (TRIALS, cells, BLOCKS)):
        if corrected:
            found = lowest([median_interval(list(row), confidence=confidence_each(cells)) for row in values])
        else:
            found = median_interval(list(values[np.argmin(np.median(values, axis=1))]))
        below += found.known and (found.high or 0.0) < 1.0
    return below / TRIALS


@pytest.mark.parametrize("cells", [1, 5, 20, 40])
def test_with_the_truth_on_the_bar_the_chosen_cell_lies_below_it_in_two_and_a_half_percent_of_runs(cells: int) -> None:
    sampling_error = 3.29 * (0.025 * 0.975 / TRIALS) ** 0.5  # 99.9 %
    assert wholly_below(cells, corrected=True) <= 0.025 + sampling_error


def test_the_luckiest_cells_own_interval_would_lie_below_it_much_more_often() -> None:
    assert wholly_below(20, corrected=False) > 0.08


def test_no_more_blocks_are_asked_for_than_an_interval_takes() -> None:
    for cells in (1, 2, 7, 20, 40):
        needed, confidence = blocks_for(cells), confidence_each(cells)
        assert median_interval(list(range(needed)), confidence=confidence).known
        assert not median_interval(list(range(needed - 1)), confidence=confidence).known


def test_the_lowest_lies_between_the_lowest_ends_and_a_range_among_them_makes_it_a_range() -> None:
    first, second = Interval(10.0, 8.0, 13.0, 9, 0.975), Interval(11.0, 7.0, 12.0, 9, 0.975)
    best = lowest([first, second])
    assert (best.center, best.low, best.high, best.confidence) == (10.0, 7.0, 12.0, 1 - ALPHA)
    assert lowest([first]) is first
    assert not lowest([first, Interval(20.0, 19.0, 21.0, 3, None)]).known
    with pytest.raises(ValueError, match="at least one"):
        lowest([])
