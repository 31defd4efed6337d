"""Lines over a quantity: how one figure follows another, a line a series."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt
import pandas as pd

from kokoro_lab.reports.plots import WIDE_FROM, log_axis, x_axis
from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import SERIES, Figure, Picture, colour

__all__ = ["Line", "curves"]

HEIGHT = 260  # px
CHARACTER, KEY = 7, 36  # px, of a letter of the legend, and of its square with the space around it
AIR = 0.08  # of the height, kept free above and below
FEWEST_IN_TABLE = 40
"""Points of all lines together that still make a table somebody reads; of more, the first, middle and last."""


@dataclass(frozen=True)
class Line:
    """One series of points."""

    name: str
    points: Sequence[tuple[float, float]]
    shape: Literal["line", "dots", "steps", "rule"] = "line"
    """line: joined, with a dot a point; dots: not joined; steps: holds until the next point; rule: joined, no dots."""
    colour: int = -1
    """Place in the palette; -1: the place among the lines."""


def curves(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    log_x: bool = False,
    from_zero: bool = True,
) -> Figure:
    """The lines in one picture with a legend; a colour stands for one name.

    Args:
        lines: at least one, each with at least one point.
        title: what the chart shows, with a number.
        x: title of the axis, with its unit; `y` likewise.
        note: what a reader must know.
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
        layers: list[alt.Chart] = []
        for line in lines:
            base = alt.Chart(pd.DataFrame([{"name": line.name, "x": a, "y": b} for a, b in line.points]))
            encoded = {"x": across, "y": up, "color": hue}
            if line.shape in ("line", "rule"):
                layers.append(base.mark_line(strokeWidth=2).encode(**encoded))
            if line.shape == "steps":
                layers.append(base.mark_line(strokeWidth=2, interpolate="step-after").encode(**encoded))
            if line.shape in ("line", "dots"):
                size = 45 if len(line.points) < FEWEST_IN_TABLE else 12
                layers.append(base.mark_point(size=size, filled=True, opacity=0.9).encode(**encoded))
        return alt.layer(*layers).properties(width=width - 70, height=HEIGHT)

    few = sum(len(line.points) for line in lines) <= FEWEST_IN_TABLE
    return Figure(
        title=title,
        alt=f"{title}. " + " ".join(_words(line, y) for line in lines),
        chart=chart,
        columns=("Line", x, y),
        rows=[
            (line.name, number(a), number(b)) for line in lines for a, b in (line.points if few else _ends(line.points))
        ],
        note=note if few else f"{note} The table has the first, middle and last point of each line.".strip(),
    )


def _reach(values: Sequence[float], from_zero: bool) -> list[float]:
    """The vertical axis: around the values with some air, from zero where asked for and none is below it."""
    low, high = min(values), max(values)
    air = AIR * (high - low) or abs(high) * AIR or 1.0
    return [0.0 if from_zero and low >= 0 else low - air, high + air]


def _words(line: Line, y: str) -> str:
    first, last = line.points[0], line.points[-1]
    return f"{line.name}: {y} {number(first[1])} at {number(first[0])}, {number(last[1])} at {number(last[0])}."


def _ends(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return list(dict.fromkeys([points[0], points[len(points) // 2], points[-1]]))
