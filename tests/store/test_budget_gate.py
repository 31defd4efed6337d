"""A run against its budgets: what passes, what fails, and what has no right to pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from store_blocks import MODEL, block, cell, failed, judged, repeat

from kokoro_lab.errors import InputError
from kokoro_lab.measure.records.cell import Block, Cell, LoadReading, QuietReading
from kokoro_lab.store.budget_gate import BudgetResult, gate_run
from kokoro_lab.store.budgets import Budget, Budgets, load_budgets

FULL = dataclasses.replace(MODEL, architecture="full")
MEDIUM = cell(2, text_preset="medium", reference=True)
TTFA = {"name": "ttfa", "measure": "ttfa_ms", "statistic": "p95", "at_most": 500, "where": {"text_preset": "medium"}}
MEDIAN = {**TTFA, "statistic": "p50"}
CORRECT = {"name": "correct", "measure": "correct"}


def blocks(
    of: Cell = MEDIUM, ms: float = 400.0, *, count: int = 20, repeats: int = 5, model: Any = FULL, **changed: Any
) -> list[Block]:
    """Blocks whose repeats are as far apart as the blocks are, so that each repeat counts."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(count):
        base = block(number, of=of)
        calls = tuple(repeat(index, ms * float(np.exp(rng.normal(0.0, 0.02)))) for index in range(repeats))
        result = dataclasses.replace(base.result, repeats=calls, model=model, rss_steady_mb=100.0, rss_peak_mb=150.0)
        made.append(dataclasses.replace(base, result=result, **changed))
    return made


def held(found: list[Block], *budgets: dict[str, Any], folder: Path = Path(), **how: Any) -> list[BudgetResult]:
    return gate_run(found, Budgets.model_validate({"budgets": budgets}), folder, **how)


def status(found: list[Block], budget: dict[str, Any], **how: Any) -> str:
    return held(found, budget, **how)[0].status


def test_a_percentile_passes_by_its_bound_and_fails_by_its_value() -> None:
    (passed,) = held(blocks(), TTFA)
    row = passed.as_dict()
    assert (row["status"], row["samples"], row["blocks"], row["limit"]) == ("passed", 100, 20, "at most 500")
    assert row["p50_low"] < row["p50"] < row["p50_high"] < row["p95"] < row["p95_upper"] < 500
    assert status(blocks(ms=600.0), TTFA) == "failed"
    assert status(blocks(ms=486.0), TTFA) == "inconclusive", "the bound lies beyond the bar"


def test_too_few_samples_pass_nothing_but_block_medians_beyond_the_bar_fail() -> None:
    (few,) = held(blocks(count=4), TTFA)
    assert few.status == "inconclusive" and "too few samples (20 of " in few.as_dict()["p95_text"]
    (slow,) = held(blocks(ms=900.0, count=4), TTFA)
    assert slow.status == "failed" and "4 of 4 block medians" in slow.reason


def test_a_median_needs_an_interval_and_three_trials() -> None:
    assert status(blocks(), MEDIAN) == "passed"
    assert status(blocks(count=1), MEDIAN) == "inconclusive"
    (few,) = held(blocks(count=2, repeats=1), MEDIAN)
    assert few.status == "inconclusive" and "2 trials; at least 3 are required" in few.reason


def test_a_budget_without_trials_has_not_passed() -> None:
    assert status(blocks(), {**TTFA, "where": {"text_preset": "long"}}) == "not measured"
    assert status([failed()], CORRECT) == "failed"
    assert status([failed(status="unavailable")], CORRECT) == "not measured"
    assert status([], CORRECT) == "not measured"


def test_the_tiny_model_is_held_against_what_is_correct_and_never_against_a_time() -> None:
    found = blocks(ms=9000.0, model=MODEL)
    rows = held(found, CORRECT, TTFA)
    assert [row.status for row in rows] == ["passed", "not judged"]
    assert status(found, {**TTFA, "where": {"text_preset": "long"}}) == "not judged"
    both = held([*found, *blocks(cell(1, text_preset="medium"), 450.0)], TTFA)[0]
    assert both.status == "passed" and "intra_op_threads=1" in both.cell, "tiny rows stand for nothing"
    wrong = blocks(cell(1, text_preset="medium"), model=MODEL, gate=judged("different"))
    assert status(found + wrong, CORRECT) == "failed"


def test_only_the_best_cell_that_may_be_ranked_stands_for_a_budget() -> None:
    found = blocks(ms=400.0) + blocks(cell(1, text_preset="medium"), 800.0)
    assert "intra_op_threads=2" in held(found, TTFA)[0].cell
    fast_and_wrong = blocks(cell(3, text_preset="medium"), 10.0, gate=judged("different"))
    fast_and_close = blocks(cell(4, text_preset="medium"), 10.0, gate=judged("close"))
    tuned = blocks(cell(5, text_preset="medium", engine_settings=[["audio_cache_mb", 9]]), 1.0)
    (row,) = held(found + fast_and_wrong + fast_and_close + tuned, TTFA)
    assert "intra_op_threads=2" in row.cell
    named = {**TTFA, "where": {"text_preset": "medium", "engine_settings.audio_cache_mb": 9}}
    assert "audio_cache_mb=9" in held(found + tuned, named)[0].cell


def test_disturbed_and_replaced_blocks_pass_nothing() -> None:
    busy = blocks(quiet=QuietReading(True, "busy", 0.4))
    (row,) = held(busy, TTFA)
    assert row.status == "inconclusive" and "disturbed all 20" in row.reason
    assert status(busy, TTFA, use_contaminated=True) == "passed"
    retries = [
        dataclasses.replace(item, block=item.block + 10_000, attempt=1, replaces=item.block) for item in blocks()
    ]
    assert held(blocks(ms=900.0) + retries, TTFA)[0].gauge.samples == 100


def test_memory_is_the_worst_call_away_from_the_steady_state() -> None:
    budget = {"name": "memory", "measure": "memory", "at_most": 300, "unit": "MB"}
    found = blocks(count=3)
    assert status(found, budget) == "passed"
    calls = tuple(dataclasses.replace(item, rss_mb=401.0) for item in found[1].result.repeats)
    found[1] = dataclasses.replace(found[1], result=dataclasses.replace(found[1].result, repeats=calls))
    (row,) = held(found, budget)
    assert row.status == "failed" and row.gauge.value == 301.0


def test_underruns_are_counted_by_the_minute_of_listening() -> None:
    budget = {"name": "underruns", "measure": "underruns", "at_most": 1, "where": {"delivery": "stream"}}
    stream = cell(2, text_preset="medium", delivery="stream")

    def streams(late: float, count: int) -> list[Block]:
        told = ((0.0, 60.0, 0.0), (late, 60.0, 0.0))
        return [
            dataclasses.replace(item, result=dataclasses.replace(item.result, deliveries=told))
            for item in blocks(stream, count=count)
        ]

    assert status(streams(10.0, 20), budget) == "passed", "none in forty minutes"
    assert status(streams(10.0, 5), budget) == "inconclusive", "none in ten minutes may be luck"
    (row,) = held(streams(90.0, 20), budget)
    assert row.status == "failed" and "20 in 40.0 minutes of playback" in row.reason
    assert status(blocks(), budget) == "not measured"


def test_drift_takes_twenty_minutes_of_load() -> None:
    budget = {"name": "drift", "measure": "drift", "at_most": 5, "unit": "%", "where": {"arrivals": ["closed"]}}
    loaded = cell(2, text_preset="medium", arrivals="closed")

    def load(seconds: float, rise: float) -> list[Block]:
        (item,) = blocks(loaded, count=1, repeats=400)
        times = tuple(float(at) for at in np.linspace(0.0, seconds, 400))
        calls = tuple(
            dataclasses.replace(call, total_ms=call.total_ms * (1 + rise * at / seconds))
            for call, at in zip(item.result.repeats, times, strict=True)
        )
        reading = LoadReading(400, 0, "", 1.0, times, (0.0,) * 400)
        return [dataclasses.replace(item, result=dataclasses.replace(item.result, repeats=calls, load=reading))]

    assert status(load(1200.0, 0.0), budget) == "passed"
    assert status(load(1200.0, 0.2), budget) == "failed"
    (row,) = held(load(120.0, 0.0), budget)
    assert row.status == "inconclusive" and "120 s of 1200 s" in row.reason


def test_kept_audio_is_levelled_before_its_loudness_and_peak_are_judged(tmp_path: Path) -> None:
    loudness = {"name": "loudness", "measure": "loudness", "within": [-17, -15], "unit": "LUFS"}
    peak = {"name": "peak", "measure": "true_peak", "at_most": -1, "unit": "dBTP"}
    time = np.arange(48_000) / 24_000
    np.save(tmp_path / "tone.npy", (0.01 * np.sin(2 * np.pi * 300 * time)).astype(np.float32))
    clicks = np.zeros(48_000, np.float32)
    clicks[::6000] = 0.9
    np.save(tmp_path / "clicks.npy", clicks)
    kept = blocks(audio_path="tone.npy")
    assert [row.status for row in held(kept, loudness, peak, folder=tmp_path)] == ["passed", "passed"]
    assert status(blocks(audio_path="clicks.npy"), loudness, folder=tmp_path) == "failed"
    assert status(blocks(audio_path="gone.npy"), loudness, folder=tmp_path) == "not measured"


def test_the_memory_of_a_process_that_several_cells_shared_meets_no_budget() -> None:
    shared = dataclasses.replace(MEDIUM, process="shared")
    for measure in ("memory", "rss_mb"):
        budget = {"name": "memory", "measure": measure, "at_most": 300, "unit": "MB"}
        assert status(blocks(shared), budget) == "not measured"
        assert status([*blocks(shared, ms=1.0), *blocks()], budget) == "passed", "judged by the other cell"
    assert status(blocks(shared), MEDIAN) == "passed", "its times are its own"


def test_the_committed_budgets_are_sound_and_hold_the_documents_gates() -> None:
    budgets = load_budgets()
    bars = {budget.name: (budget.measure, budget.statistic, budget.at_most) for budget in budgets.budgets}
    assert budgets.trials == 3
    assert bars["ttfa"] == ("ttfa_ms", "p95", 500) and bars["rtf"] == ("rtf", "p95", 0.60)
    assert {"correct", "underruns", "drift", "memory", "loudness", "true-peak"} <= set(bars)
    assert [budget.name for budget in budgets.only(["rtf"])] == ["rtf"]
    with pytest.raises(InputError, match="unknown budget speed; choose from"):
        budgets.only(["speed"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"measure": "speed"}, "unknown measure speed"),
        ({"where": {"colour": "red"}}, "no factor 'colour'"),
        ({"at_most": None}, "needs one of at_most and within"),
        ({"within": [1, 2]}, "needs one of at_most and within"),
        ({"at_most": None, "within": [2, 1]}, "lower one first"),
        ({"at_least": 5}, "at_least"),
    ],
)
def test_budgets_with_mistakes_are_refused_with_what_is_wrong(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(yaml.safe_dump({"budgets": [{**TTFA, **change}]}))
    with pytest.raises(InputError, match=words):
        load_budgets(path)


def test_a_level_may_be_a_number_a_flag_or_empty() -> None:
    budget = Budget.model_validate({**TTFA, "where": {"arrivals": "", "speed": 1, "reference": True}})
    assert budget.matches(MEDIUM) and not budget.matches(cell(1))
