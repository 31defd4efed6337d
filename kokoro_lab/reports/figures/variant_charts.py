"""Variants: speed over quality with the Pareto front, and the sensitivity of each layer group."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.reports.drawing.theme import ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import number

__all__ = ["front_figure", "sensitivity_figure"]

NAMES = 120  # px to the right of the last dot, left free for its name


def front_figure(places: Sequence[Mapping[str, Any]], front: Collection[str]) -> ChartFigure:
    """Variants as `variants.landscape` returns them; `front` is the Pareto front, drawn filled."""
    best = max((place for place in places if place["recipe"] in front), key=lambda place: place["speed"])
    speed = f"{number(best['speed'])}x the speed of the plain graph"
    title = f"{best['recipe']}: {speed}, signal-to-noise ratio {number(best['snr_db'])} dB"
    return _scatter(
        [{"name": p["recipe"], "x": p["speed"], "y": p["snr_db"], "size": p["peak_mb"], "filled": p["recipe"] in front}
         for p in places],
        title,
        "Each variant as a dot: speed to the right, signal-to-noise ratio upwards, peak memory as its area",
        "speed relative to the plain graph",
    )  # fmt: skip


def sensitivity_figure(groups: Sequence[Mapping[str, Any]], taken: Collection[str]) -> ChartFigure:
    """Groups as `variants.quantization_search` returns them; `taken` are those of the best set, drawn filled."""
    return _scatter(
        [{"name": g["group"], "x": 100 * g["saved"], "y": g["snr_db"], "size": 100.0, "filled": g["group"] in taken}
         for g in groups],
        f"{len(taken)} of {len(groups)} groups are worth quantizing to int8",
        "Each group of layers as a dot: time saved to the right, signal-to-noise ratio upwards",
        "time saved relative to the source model, %",
    )  # fmt: skip


def _scatter(points: Sequence[Mapping[str, Any]], title: str, description: str, x: str) -> ChartFigure:
    table = pd.DataFrame(points)

    def picture(width: int) -> Picture:
        base = alt.Chart(table).encode(
            x=alt.X("x:Q", title=x),
            y=alt.Y("y:Q", title="signal-to-noise ratio, dB", scale=alt.Scale(zero=False)),
        )
        dots = base.mark_point(color=colour("s1")).encode(
            size=alt.Size("size:Q", legend=None, scale=alt.Scale(range=[60, 400])),
            fill=alt.condition("datum.filled", alt.value(colour("s1")), alt.value("transparent")),
        )
        names = base.mark_text(align="left", dx=12).encode(text="name:N")
        chart: alt.LayerChart = (dots + names).properties(width=width - NAMES, height=320)
        return chart

    return ChartFigure(title, description, picture)
