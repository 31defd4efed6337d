"""Line charts: one figure over another, one line per series."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from kokoro_lab.reports.drawing.plots import WIDE_FROM, log_axis, x_axis
from kokoro_lab.reports.drawing.theme import SERIES, ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import number

__all__ = ["Curve", "curves"]

HEIGHT = 260  # px
CHARACTER, KEY = 7, 36  # px, of a character of the legend, and of its square with the space around it
AIR = 0.08  # of the height, left free above and below
FEWEST_IN_TABLE = 40
"""Points of all lines together that still make a readable table; of more, only the first, middle and last."""


@dataclass(frozen=True)
class Curve:
    """One series of points in a line chart."""

    name: str
    points: Sequence[tuple[float, float]]
    shape: Literal["line", "dots", "steps", "rule"] = "line"
    """line: joined, with dots; dots: not joined; steps: constant until the next point; rule: joined, without dots."""
    colour: int = -1
    """Position in the palette; -1: the position among the lines."""


def curves(
    lines: Sequence[Curve],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    log_x: bool = False,
    from_zero: bool = True,
) -> ChartFigure:
    """The lines in one picture with a legend, one colour per name.

    Args:
        lines: at least one, each with at least one point.
        title: what the chart shows, with a number.
        x: title of the axis, with its unit; `y` likewise.
        note: printed below the title.
        log_x: a logarithmic horizontal axis.
        from_zero: whether the vertical axis starts at zero.
    """
    palette = dict(zip((line.name for line in lines), itertools.cycle(SERIES), strict=False))
    for line in lines:
        if line.colour >= 0:
            palette[line.name] = SERIES[line.colour % len(SERIES)]
    names = list(palette)
    key = alt.Scale(domain=names, range=[colour(palette[name]) for name in names])

    every = [point[0] for line in lines for point in line.points]
    domain, ticks = log_axis(min(every), max(every), room=1.05) if log_x else ([], [])
    least = 1.0 if all(at == round(at) for at in every) else 0.0
    height = _reach([point[1] for line in lines for point in line.points], from_zero)
    longest = max(len(name) for name in names)

    def chart(width: int) -> Picture:
        slim = width < WIDE_FROM
        axis = x_axis(x, ticks) if log_x else alt.Axis(title=x, tickCount=6 if slim else 12, tickMinStep=least)
        scale = alt.Scale(type="log", domain=domain, nice=False) if log_x else alt.Scale(zero=False)
        across = alt.X("x:Q", axis=axis, scale=scale)
        up = alt.Y("y:Q", title=y, scale=alt.Scale(domain=height), axis=alt.Axis(tickCount=6, labelLimit=80))
        columns = max(1, min(len(names), 4, width // (longest * CHARACTER + KEY)))
        legend = alt.Legend(
            orient="bottom", direction="horizontal", columns=columns, columnPadding=18, labelLimit=width - 3 * KEY
        )
        hue = alt.Color("name:N", sort=names, scale=key, legend=legend)
        layers = [layer for line in lines for layer in _layers(line, {"x": across, "y": up, "color": hue})]
        return alt.layer(*layers).properties(width=width - 70, height=HEIGHT)

    few = sum(len(line.points) for line in lines) <= FEWEST_IN_TABLE
    return ChartFigure(
        title=title,
        alt=f"{title}. " + " ".join(_words(line, y) for line in lines),
        chart=chart,
        columns=("Line", x, y),
        rows=[
            (line.name, number(a), number(b)) for line in lines for a, b in (line.points if few else _ends(line.points))
        ],
        note=note if few else f"{note} The table has the first, middle and last point of each line.".strip(),
    )


def _layers(line: Curve, encoded: dict[str, Any]) -> Iterator[alt.Chart]:
    """The marks of one line, by its shape."""
    base = alt.Chart(pd.DataFrame([{"name": line.name, "x": a, "y": b} for a, b in line.points]))
    if line.shape in ("line", "rule"):
        yield base.mark_line(strokeWidth=2).encode(**encoded)
    if line.shape == "steps":
        yield base.mark_line(strokeWidth=2, interpolate="step-after").encode(**encoded)
    if line.shape in ("line", "dots"):
        size = 45 if len(line.points) < FEWEST_IN_TABLE else 12
        yield base.mark_point(size=size, filled=True, opacity=0.9).encode(**encoded)


def _reach(values: Sequence[float], from_zero: bool) -> list[float]:
    """The range of the vertical axis: the values with some margin; from zero if requested and no value is below it."""
    low, high = min(values), max(values)
    air = AIR * (high - low) or abs(high) * AIR or 1.0
    return [0.0 if from_zero and low >= 0 else low - air, high + air]


def _words(line: Curve, y: str) -> str:
    first, last = line.points[0], line.points[-1]
    return f"{line.name}: {y} {number(first[1])} at {number(first[0])}, {number(last[1])} at {number(last[0])}."


def _ends(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return list(dict.fromkeys([points[0], points[len(points) // 2], points[-1]]))
