"""Every attack on order, statistics and warm-up fails, and would succeed without the defense."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from mirrored_order import mirrored_rounds
from scipy import stats

from kokoro_lab.benchmarks import simulated_machine
from kokoro_lab.benchmarks.attacks import order_attacks
from kokoro_lab.benchmarks.attacks.order_attacks import CHECKS
from kokoro_lab.benchmarks.self_test import check_names
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup
from kokoro_lab.measure.statistics import comparison


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[CheckSetup]:
    simulated_machine.orders.cache_clear()
    yield CheckSetup(tmp_path, budget_s=3600.0)
    simulated_machine.orders.cache_clear()


def show(name: str, setup: CheckSetup) -> CheckOutcome:
    return CHECKS[name].show(setup)


def test_the_self_test_has_these_attacks() -> None:
    assert set(CHECKS) < set(check_names())


@pytest.mark.parametrize("name", CHECKS)
def test_the_instrument_is_not_fooled(name: str, attack: CheckSetup) -> None:
    outcome = show(name, attack)
    assert outcome.verdict == "shown", outcome.finding
    assert outcome.finding.endswith(".")


def test_one_coin_for_two_rounds_is_found_out(attack: CheckSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_machine, "rounds", mirrored_rounds)
    outcome = show("periodic-disturbance", attack)
    assert outcome.verdict == "failed"
    assert "period of 4 blocks" in outcome.finding


def test_a_test_that_assumes_symmetry_is_found_out(attack: CheckSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    def signed_rank(values: Sequence[float]) -> float:
        return float(stats.wilcoxon(np.asarray(values)).pvalue)

    monkeypatch.setattr(comparison, "p_two_sided", signed_rank)
    monkeypatch.setattr(order_attacks, "TRIALS", 150)
    monkeypatch.setattr(order_attacks, "UNEQUAL", (("unlucky blocks of one cell", 24),))
    outcome = show("one-sided-noise", attack)
    assert outcome.verdict == "failed"
    assert "unlucky blocks" in outcome.finding


def test_a_warm_up_that_looks_at_the_halves_alone_is_found_out(
    attack: CheckSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halves(times: Sequence[float]) -> bool:
        window = np.asarray(times[-6:])
        half = len(window) // 2
        return len(times) >= 4 and abs(np.median(window[-half:]) / np.median(window[:half]) - 1.0) <= 0.03

    monkeypatch.setattr(order_attacks, "is_steady", halves)
    outcome = show("warm-up", attack)
    assert outcome.verdict == "failed"
    assert set(outcome.details) >= {"a ramp of 1 % per call", "every second call twice as long"}
