"""The attacks on identity and cold starts fail today, and succeed where a defence is taken away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kokoro_lab.benchmarks.attacks.identity_attacks import CHECKS
from kokoro_lab.benchmarks.self_test_parts import CheckOutcome, CheckSetup
from kokoro_lab.measure.machine import pagecache
from kokoro_lab.reports.rows.evidence import Evidence

Show = Callable[[str], CheckOutcome]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))

    def show(name: str) -> CheckOutcome:
        folder = tmp_path / f"{name}-{time.monotonic_ns()}"
        folder.mkdir()
        return CHECKS[name].show(CheckSetup(folder, budget_s=3600.0))

    return show


def test_a_resumed_run_refuses_another_file_and_pools_it_without_the_refusal(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = show("overwritten-model")
    assert outcome.verdict == "shown" and "has measured other bytes than would be measured now" in outcome.finding
    monkeypatch.setattr("kokoro_lab.sweeps.run.refuse_other_bytes", lambda job, earlier, parts: None)
    monkeypatch.setattr("kokoro_lab.measure.sampling.sampler.SameBytes.take", lambda self, cell, parts: ())
    assert show("overwritten-model").verdict == "failed"


@pytest.mark.slow
def test_tuning_refuses_an_overwritten_variant_and_credits_it_without_the_defences(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = show("overwritten-variant")
    assert outcome.verdict == "shown" and "differs from its record" in outcome.finding
    monkeypatch.setattr("kokoro_lab.variants.fastest_variant._refuse_unrecorded", lambda file: None)
    monkeypatch.setattr("kokoro_lab.variants.fastest_variant._run_id", lambda source, files: "tuning")
    outcome = show("overwritten-variant")
    assert outcome.verdict == "shown" and "has measured other bytes" in outcome.finding
    monkeypatch.setattr("kokoro_lab.sweeps.cell_job.refuse_other_bytes", lambda job, earlier, parts: None)
    assert show("overwritten-variant").verdict == "failed"


def test_the_tiny_model_is_tiny_under_any_name_and_the_check_believes_the_rows(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert show("tiny-renamed").verdict == "shown"
    monkeypatch.setattr(Evidence, "architectures", property(lambda self: ["full"]))
    assert show("tiny-renamed").verdict == "failed"


def test_a_start_with_its_data_in_the_page_cache_is_not_cold(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = show("cold-data")
    assert outcome.verdict == "shown" and "cold-process" in outcome.finding
    monkeypatch.setattr(pagecache, "MOST_RESIDENT", 1.0)
    assert show("cold-data").verdict == "failed"
