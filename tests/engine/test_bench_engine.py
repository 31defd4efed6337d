"""The bench of the engine: ratios by pairs, bars judged only when there are enough rounds."""

from __future__ import annotations

import pytest

from kokoro_lab.commands.bench_engine import BARS, BEST_BARS, MIXED, PEER, _rows, paragraph, ratio_row
from kokoro_lab.text.segment import segments


def test_the_paragraph_is_whole_sentences_of_about_827_characters() -> None:
    text = paragraph()
    assert 800 <= len(text) <= 827
    assert text.endswith(".")
    assert "  " not in text
    assert len(list(segments(text, "en-us"))) > 3


@pytest.mark.parametrize(
    ("ours", "met"),
    [
        ([0.5] * 6, True),
        ([0.5] * 5 + [0.61], True),  # within 0.97 of the bar
        ([0.5] * 5 + [0.7], False),  # the interval reaches past it
        ([0.7] * 6, False),
        ([0.5] * 5, None),  # too few rounds to say
    ],
)
def test_a_bar_is_met_by_the_median_and_the_far_end(ours: list[float], met: bool | None) -> None:
    row = ratio_row("ours", "figure", ours, [1.0] * len(ours), 0.6)
    assert row["met"] is met
    assert (row["low"], row["high"]) == (min(ours), max(ours))


def test_ratios_are_made_of_the_rounds_own_pairs() -> None:
    row = ratio_row("ours", "figure", [1.0, 10.0], [2.0, 20.0], None)
    assert (row["ratio"], row["low"], row["high"], row["confidence"]) == (0.5, 0.5, 0.5, 0.5)


def test_the_two_readings_of_memory_end_a_cycle_of_requests() -> None:
    assert 100 % len(MIXED) == 0


def test_our_own_bars_are_held_by_every_process() -> None:
    figures = dict.fromkeys({**BARS, **BEST_BARS}, 1.0)
    ours = {
        **figures, "underruns": 0, "memory growth": 0.0, "words of the first segment": 3,
        "cache hit p95 ms": [1.0] * 95 + [50.0] * 5, "primer hit p95 ms": [1.0] * 94 + [50.0] * 6,
    }  # fmt: skip
    worse = {**ours, "underruns": 1, "words of the first segment": 2}
    measured = {"ours": [ours] * 5 + [worse], PEER: [figures] * 6, "best": [figures] * 6}
    met = {(row["side"], row["figure"]): row["met"] for row in _rows(measured, "close")}
    assert met["ours", "cache hit p95 ms"] is True
    assert met["ours", "primer hit p95 ms"] is False
    assert met["ours", "memory growth"] is True
    assert met["ours", "underruns"] is False
    assert met["ours", "words of the first segment"] is False
    assert met["best", "whole paragraph"] is True
    assert met["best", "hello, warm"] is False
    assert {row["met"] for row in _rows(measured, "different") if row["side"] == "best"} == {None}
    few = {side: processes[:1] for side, processes in measured.items()}
    assert next(row for row in _rows(few, None) if row["figure"] == "cache hit p95 ms")["met"] is None
