"""Rerunning until a wanted word appears does not pay."""

from __future__ import annotations

import pytest

from kokoro_lab.benchmarks.attacks.tampering_attacks import patient_false_rate
from kokoro_lab.measure.statistics import reruns
from kokoro_lab.measure.statistics.intervals import ALPHA
from kokoro_lab.measure.statistics.reruns import attempt_alpha


def test_the_first_attempt_pays_nothing_and_all_later_ones_share_one_more_level() -> None:
    assert attempt_alpha(1) == ALPHA
    shares = [attempt_alpha(attempt) for attempt in range(2, 5000)]
    assert shares == sorted(shares, reverse=True) and 0.99 * ALPHA < sum(shares) <= ALPHA
    with pytest.raises(ValueError, match="the first is 1"):
        attempt_alpha(0)


@pytest.mark.parametrize("attempts", [1, 3, 5, 10])
def test_faster_is_said_falsely_in_at_most_5_percent_after_any_number_of_reruns(attempts: int) -> None:
    # A true rate of 5 % gives more than 42 of 500 in 0.1 % of tests.
    assert patient_false_rate(attempts, 500, seed=attempts) * 500 <= 42


def test_without_the_count_patience_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kokoro_lab.benchmarks.attacks.tampering_attacks.attempt_alpha", lambda attempt: ALPHA)
    assert patient_false_rate(10, 200) > 0.1
    assert reruns.attempt_alpha(10) < ALPHA / 50
