from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.kernels.bars import interval, judged
from kokoro_lab.kernels.contest import Readings


def test_the_interval_is_of_readings_and_needs_six() -> None:
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)
    assert interval(list(range(9))) == (1, 7)


@pytest.mark.parametrize(
    ("found", "low", "state"),
    [(2.3, 2.25, "met"), (2.3, 2.2, "undecided"), (2.29, 2.29, "missed"), (None, None, "undecided")],
)
def test_a_speed_meets_its_bar_by_its_median_and_its_interval(
    found: float | None, low: float | None, state: str
) -> None:
    assert judged(found, 2.3, low=low) == state


def test_memory_may_not_be_more_than_its_bar() -> None:
    assert (judged(1.1, 1.1, most=True), judged(1.11, 1.1, most=True)) == ("met", "missed")


def test_readings_are_kept_and_none_is_begun_after_the_budget(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    assert Readings(path, 60).get(lambda: 1.5, "speed", 16) == 1.5
    spent = Readings(path, -1)
    assert spent.get(lambda: 2.5, "speed", 16) == 1.5
    assert not spent.incomplete
    assert spent.get(lambda: 2.5, "speed", 50) is None
    assert spent.incomplete
