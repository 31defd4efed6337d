"""Factors with their intervals as a table that is drawn: one row per factor, a dot and its interval on a shared axis.

The drawing is a column of the table, so that a reader who does not see it reads the same rows, names and numbers, and
so that it fits a phone, a desk and paper without being drawn again. In a notebook it brings its style along; a page has
that once (see `document`). The axis is logarithmic: twice as fast is as far from 1 as half as fast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.drawing.fragments import TEMPLATES, Html, fragment
from kokoro_lab.reports.rows.cell_summary import number

__all__ = ["ChartRow", "RatioAxis", "Tone", "interval_chart", "ratio_axis"]

Tone = Literal["good", "bad", "unsure", "quiet"]
"""decided and welcome, decided and unwelcome, undecided, not ranked"""

MARGIN = 0.04  # of the axis, free at both ends
FARTHEST = 3.0  # times beyond the outermost dot that an interval is drawn; the rest is cut
LEAST_SPAN = 1.1  # highest over lowest value of an axis
MOST_TICKS = 6  # that fit beside each other on paper
MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@dataclass(frozen=True)
class ChartRow:
    """One row of the chart."""

    name: str
    value: Interval | None
    """Drawn; None draws nothing."""
    words: str
    """The value in words."""
    interval: str
    verdict: str
    sign: str
    """Stands beside the verdict, so that colour is not the only difference between verdicts."""
    tone: Tone
    note: str = ""
    href: str = ""
    """Where the rows behind the value are, such as `#cell-0123`."""
    outside: bool = False
    """Whether the axis may end before this value."""


@dataclass(frozen=True)
class RatioAxis:
    """A logarithmic axis from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Percent of the axis from its left end; 0 or 100 for values beyond it."""
        share = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def includes(self, value: float) -> bool:
        """Whether the value is on the axis."""
        return self.low <= value <= self.high


def interval_chart(
    rows: Sequence[ChartRow], *, caption: str, first: str, axis: str, mark: str, value: str = "Measured"
) -> Html:
    """The chart, in the order of the rows.

    Args:
        rows: at least one.
        caption: what the chart shows; it is the title of the table.
        first: heading of the names.
        axis: heading of the drawing.
        mark: name of the line at 1.
        value: heading of the numbers.
    """
    scale = ratio_axis([row for row in rows if not row.outside] or rows)
    ticks = [(scale.place(tick), f"{tick:g}x", tick == 1.0) for tick in scale.ticks]
    drawn = [(row, _drawing(row, scale)) for row in rows]
    return fragment(
        "intervals",
        style=Html("".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("notebook.css", "chart.css"))),
        rows=drawn,
        caption=caption,
        first=first,
        axis=axis,
        mark=mark,
        value=value,
        ticks=ticks,
        cut=any(drawing and (drawing["cut_left"] or drawing["cut_right"]) for _, drawing in drawn),
        grid=", ".join(
            f"linear-gradient(var({'--kl-ink' if one else '--line'}), var({'--kl-ink' if one else '--line'})) "
            f"{place}% 0 / {'2px' if one else '1px'} 100% no-repeat"
            for place, _, one in sorted(ticks, key=lambda tick: not tick[2])
        ),
    )


def ratio_axis(rows: Sequence[ChartRow]) -> RatioAxis:
    """The axis of these rows: cut to their values and to 1, with intervals of at most `FARTHEST` beyond the dots."""
    centers = [row.value.center for row in rows if row.value is not None and row.value.center > 0] or [1.0]
    least, most = min(*centers, 1.0), max(*centers, 1.0)
    ends = [
        end
        for row in rows
        if row.value is not None and row.value.confidence is not None
        for end in (row.value.low, row.value.high)
        if end is not None and least / FARTHEST <= end <= most * FARTHEST
    ]
    low, high = min(least, *ends, 1.0), max(most, *ends, 1.0)
    if high / low < LEAST_SPAN:
        low, high = low / math.sqrt(LEAST_SPAN), high * math.sqrt(LEAST_SPAN)
    room = (high / low) ** MARGIN
    low, high = low / room, high * room
    return RatioAxis(low, high, tuple(_ticks(low, high)))


def _ticks(low: float, high: float) -> list[float]:
    """At most `MOST_TICKS` round values on the axis, with 1 among them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fitting = [
        ticks
        for mantissas in MANTISSAS
        if len(ticks := [m * 10.0**p for p in powers for m in mantissas if low <= m * 10.0**p <= high]) <= MOST_TICKS
    ]
    best = max(fitting, key=len, default=[])
    if len(best) < 3:
        step = 10.0 ** math.floor(math.log10((high - low) / 3))
        step = next(factor * step for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= MOST_TICKS - 1)
        best = [at * step for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return sorted({float(f"{tick:.6g}") for tick in best} | {1.0})


def _drawing(row: ChartRow, axis: RatioAxis) -> dict[str, object] | None:
    """Places in percent, and whether the interval or the dot itself is cut at an end."""
    value = row.value
    if value is None or value.center <= 0:
        return None
    low, high = (value.center if end is None else end for end in value.bounds)
    start = axis.place(low)
    return {
        "left": start,
        "width": round(axis.place(high) - start, 2),
        "dot": axis.place(value.center),
        "inside": axis.includes(value.center),
        "cut_left": low < axis.low,
        "cut_right": high > axis.high,
        "label": f"{row.name}: {number(value.center)}",
    }
