"""The drawn table: every number in words too, an axis with 1 on it, and marks where something is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.drawing.interval_chart import MOST_TICKS, ChartRow, interval_chart, ratio_axis


def row(center: float, low: float | None = None, high: float | None = None, **rest: object) -> ChartRow:
    known = low is not None
    value = Interval(center, low, high, 8, 0.95 if known else None)
    words = {"words": f"{center:.3g}x", "interval": "", "verdict": "faster", "sign": "▲", "tone": "good"}
    return ChartRow(**{"name": f"setting {center}", "value": value, **words, **rest})  # type: ignore[arg-type]


def drawn(*rows: ChartRow) -> str:
    return interval_chart(rows, caption="What it shows", first="Setting", axis="times as fast", mark="1x").text


@given(st.lists(st.floats(0.01, 500.0), min_size=1, max_size=12))
def test_every_dot_and_the_one_are_on_the_axis_and_ticks_rise(centers: list[float]) -> None:
    axis = ratio_axis([row(center) for center in centers])
    assert all(axis.includes(value) for value in (*centers, 1.0))
    assert 1.0 in axis.ticks and list(axis.ticks) == sorted(set(axis.ticks))
    assert 2 <= len(axis.ticks) <= MOST_TICKS + 1 and all(axis.includes(tick) for tick in axis.ticks)


def test_twice_as_fast_is_as_far_from_one_as_half_as_fast() -> None:
    axis = ratio_axis([row(2.0), row(0.5)])
    assert axis.place(2.0) - axis.place(1.0) == pytest.approx(axis.place(1.0) - axis.place(0.5), abs=0.02)


def test_an_interval_far_beyond_the_dots_is_cut_and_marked() -> None:
    wide = drawn(row(2.0, 1.9, 400.0), row(3.0, 2.9, 3.1))
    assert wide.count('class="kl-cut"') == 1 and "goes on beyond the axis" in wide
    assert 'class="kl-cut"' not in drawn(row(2.0, 1.9, 2.1))


def test_a_value_that_may_be_outside_does_not_stretch_the_axis() -> None:
    text = drawn(row(501.0, 480.0, 510.0, outside=True), row(3.0, 2.9, 3.1))
    assert text.count('class="kl-dot"') == 1 and text.count("▸") == 1 and "501x" in text
    assert ratio_axis([row(3.0)]).high < 10


def test_it_is_a_table_with_a_caption_scopes_and_every_value_in_words() -> None:
    text = drawn(row(2.0, 1.9, 2.1, href="#cell-a"), row(0.5, tone="bad", verdict="slower"))
    assert "<caption>What it shows</caption>" in text
    assert all("scope=" in cell for cell in re.findall(r"<th\b[^>]*>", text))
    assert "2x" in text and "0.5x" in text and "slower" in text
    assert text.count('href="#cell-a"') == 2, "the name and the dot lead to the rows"
    assert text.count("aria-hidden") >= 2 and 'tabindex="-1"' in text


def test_in_a_notebook_it_brings_its_style_along() -> None:
    text = drawn(row(2.0))
    assert text.startswith('<style class="kl-notebook">') and ".kl-dot" in text and "var(--jp-" in text


def test_a_row_without_a_value_is_named_and_draws_nothing() -> None:
    nothing = ChartRow("arena off", None, "no effect", "", "placebo", "∅", "quiet")
    text = drawn(row(2.0), nothing)
    assert "arena off" in text and text.count('class="kl-dot"') == 1


def test_names_cannot_become_markup() -> None:
    assert "<b>" not in drawn(row(2.0, name="<b>bold</b>"))
