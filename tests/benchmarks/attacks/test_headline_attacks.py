"""The attacks on what is told: none succeeds, and each would where its defence is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kokoro_lab.benchmarks.attacks.headline_attacks import CHECKS
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup
from kokoro_lab.measure.statistics.change_points import RunNoise
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.resolution import Resolution
from kokoro_lab.reports.findings import answer, change_history, statements
from kokoro_lab.reports.rows.cell_summary import number

pytestmark = pytest.mark.slow


def joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure gets the verdict of the first claim, as the headline once did."""

    def first(figure: object, metric: str, resolutions: Sequence[Resolution]) -> Resolution:
        return resolutions[0]

    monkeypatch.setattr(answer, "own_resolution", first)


def keeps_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is told as its value alone."""

    def bare(measured: Interval, unit: str = "", scale: float = 1.0) -> str:
        return f"{number(measured.center / scale)} {unit}".rstrip()

    monkeypatch.setattr(statements, "stated", bare)


def hears_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise of runs is taken for next to nothing, and the smallest difference for a change."""
    monkeypatch.setattr(change_history, "run_noise", lambda states: RunNoise(1e-12, 100, 0.0, 1.0, 100.0))
    searched = change_history.change_points
    monkeypatch.setattr(
        change_history,
        "change_points",
        lambda states, noise, series: searched(states, noise, series=series, margin=0.0),
    )


@pytest.mark.parametrize(
    ("name", "disable"),
    [("joined-headline", joins), ("one-block-figure", keeps_quiet), ("rerun-history", hears_no_noise)],
)
def test_the_attack_fails_and_succeeds_without_the_defence(
    name: str, disable: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = CheckSetup(tmp_path, budget_s=3600.0)
    outcome = CHECKS[name].show(setup)
    assert outcome.verdict == "shown", outcome.finding
    disable(monkeypatch)
    without: CheckOutcome = CHECKS[name].show(setup)
    assert without.verdict == "failed", without.finding
