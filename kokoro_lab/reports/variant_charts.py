"""Variants: speed against quality with the front of those that nothing beats, and what each layer group costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import Figure, Picture, colour

__all__ = ["front_figure", "sensitivity_figure"]

NAMES = 120  # px to the right of the last dot, for its name


def front_figure(places: Sequence[Mapping[str, Any]], front: Collection[str]) -> Figure:
    """Places as `variants.landscape` has them; `front` are the recipes that nothing beats, drawn filled."""
    best = max((place for place in places if place["recipe"] in front), key=lambda place: place["speed"])
    title = f"{best['recipe']} is {number(best['speed'])} times as fast, its noise {number(best['snr_db'])} dB down"
    return _scatter(
        [{"name": p["recipe"], "x": p["speed"], "y": p["snr_db"], "size": p["peak_mb"], "filled": p["recipe"] in front}
         for p in places],
        title,
        "Each variant as a dot: speed to the right, signal over noise upwards, peak memory as its area",
        "times as fast as the plain graph",
    )  # fmt: skip


def sensitivity_figure(groups: Sequence[Mapping[str, Any]], taken: Collection[str]) -> Figure:
    """Groups as `variants.search` has them; `taken` are those of the best set, drawn filled."""
    return _scatter(
        [{"name": g["group"], "x": 100 * g["saved"], "y": g["snr_db"], "size": 100.0, "filled": g["group"] in taken}
         for g in groups],
        f"{len(taken)} of {len(groups)} groups are worth int8",
        "Each group of layers as a dot: time saved to the right, signal over noise upwards",
        "time saved after the source, %",
    )  # fmt: skip


def _scatter(points: Sequence[Mapping[str, Any]], title: str, told: str, x: str) -> Figure:
    table = pd.DataFrame(points)

    def picture(width: int) -> Picture:
        base = alt.Chart(table).encode(
            x=alt.X("x:Q", title=x),
            y=alt.Y("y:Q", title="signal over noise, dB", scale=alt.Scale(zero=False)),
        )
        dots = base.mark_point(color=colour("s1")).encode(
            size=alt.Size("size:Q", legend=None, scale=alt.Scale(range=[60, 400])),
            fill=alt.condition("datum.filled", alt.value(colour("s1")), alt.value("transparent")),
        )
        names = base.mark_text(align="left", dx=12).encode(text="name:N")
        chart: alt.LayerChart = (dots + names).properties(width=width - NAMES, height=320)
        return chart

    return Figure(title, told, picture)
