"""The bench of the engine: ratios by pairs, bars judged only when there are enough rounds."""

from __future__ import annotations

import pytest

from kokoro_lab.commands.bench_engine import paragraph, ratio_row
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
