"""Each attack on a claim is refused, and would succeed without the defence that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kokoro_lab.benchmarks.attacks.claim_attacks import CHECKS
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup
from kokoro_lab.measure.statistics import selection
from kokoro_lab.measure.statistics.intervals import CONFIDENCE, Interval
from kokoro_lab.reports.claims import claim_reading, comparison_claims, level_claims

Disarm = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all checks: the block that they start from is measured once."""
    return tmp_path_factory.mktemp("attacks")


def attacked(name: str, folder: Path) -> CheckOutcome:
    return CHECKS[name].show(CheckSetup(folder, budget_s=3600.0))


def _no_correction(patch: pytest.MonkeyPatch) -> None:
    def luckiest(intervals: Sequence[Interval]) -> Interval:
        return min(intervals, key=lambda interval: interval.center)

    for module in (selection, level_claims):
        patch.setattr(module, "lowest", luckiest)
    for module in (selection, claim_reading):
        patch.setattr(module, "confidence_each", lambda candidates: CONFIDENCE)


def _twins_count(patch: pytest.MonkeyPatch) -> None:
    usual = {name: level for name, level in claim_reading.USUAL.items() if name != "replica"}
    patch.setattr(claim_reading, "USUAL", usual)


def _no_upper_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(level_claims, "EVENTS", {})


def _any_text(patch: pytest.MonkeyPatch) -> None:
    named = claim_reading.candidate_cells

    def anywhere(evidence: Any, metric: str, filters: Any, notebook: str) -> Any:
        return named(evidence, metric, {**filters, "text_preset": ["short", "hello"]}, notebook)

    patch.setattr(comparison_claims, "candidate_cells", anywhere)
    patch.setattr(claim_reading, "confidence_each", lambda candidates: CONFIDENCE)


DEFENCES: dict[str, Disarm] = {
    "claim-luckiest": _no_correction,
    "claim-twin": _twins_count,
    "claim-no-events": _no_upper_bound,
    "claim-other-text": _any_text,
}


def test_every_attack_has_a_defence_that_can_be_taken_away() -> None:
    assert set(DEFENCES) == set(CHECKS)


@pytest.mark.parametrize("name", list(DEFENCES))
def test_the_instrument_is_not_fooled_and_would_be_without_its_defence(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = attacked(name, folder)
    assert held.verdict == "shown", held.finding
    DEFENCES[name](monkeypatch)
    fooled = attacked(name, folder)
    assert fooled.verdict == "failed", fooled.finding
