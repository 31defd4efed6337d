"""The kinds of picture that charts are made of: dots with intervals, stacked bars, and the axes that they share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from kokoro_lab.reports.summary import NARROW_SPACE, CellFigure, number, spread
from kokoro_lab.reports.theme import SERIES, Figure, Picture, colour

__all__ = [
    "WIDE_FROM",
    "bar_layers",
    "dots",
    "label_space",
    "linear_axis",
    "log_axis",
    "plot_width",
    "stack",
    "x_axis",
    "y_axis",
]

ROW_HEIGHT = 30  # px, one cell in a chart
BAR_HEIGHT = 34  # px
TEXT_ROOM = 90  # px, kept free on the right for a number
NOTE_ROOM = 80  # px, and for a word that says why it is not ranked
CHARACTER = 6.9  # px, a generous width of one character of a label at 12 px
LEAST_PLOT = 100  # px; where labels leave less for the dots, they stand above them
LABEL_ABOVE = 14  # px
WIDE_FROM = 600  # px; narrower pictures put labels above the bars


def dots(
    figures: Sequence[CellFigure],
    points: pd.DataFrame,
    title: str,
    axis: str,
    unit: str,
    *,
    bars: dict[str, float] | None = None,
    bar_name: str = "stated target",
    log: bool = False,
    panels: Mapping[str, str] | None = None,
) -> Figure:
    """A dot and an interval a cell, a small tick a block, one panel a text.

    Args:
        figures: the cells; `points` has their blocks (`summary.block_points`).
        title: what the chart shows, with a number.
        axis: title of the axis; `unit` stands behind every number.
        bars: a value for a panel that is marked by a dashed line; `bar_name` says what it is.
        log: a logarithmic axis.
        panels: titles of panels, by what the figures call their text; left out: its name and length.
    """
    bars = bars or {}
    presets = {figure.text_preset: figure.characters for figure in figures}
    headings = {preset: f"{preset}: {count} characters" for preset, count in presets.items()} | dict(panels or {})
    ends = [end for f in figures for end in (f.measured.low, f.measured.high, f.measured.median) if end is not None]
    ends += [*points["value"], *(bars[name] for name in presets if name in bars)]
    space = label_space([figure.label for figure in figures])
    written = TEXT_ROOM + (NOTE_ROOM if any(figure.note for figure in figures) else 0)
    colours = {name: SERIES[at % len(SERIES)] for at, name in enumerate(dict.fromkeys(f.provider for f in figures))}

    def chart(width: int) -> Picture:
        above = plot_width(width, space) < written + LEAST_PLOT
        plot = plot_width(width, 0 if above else space)
        domain, ticks = (log_axis if log else linear_axis)(min(ends), max(ends), room=plot / (plot - written))
        scale = alt.Scale(type="log" if log else "linear", domain=domain, nice=False)
        drawn = []
        for at, preset in enumerate(presets):
            final = at == len(presets) - 1
            place = alt.X("value:Q", scale=scale, axis=x_axis(axis if final else None, ticks))
            labels = [figure.label for figure in figures if figure.text_preset == preset]
            line = alt.Y("label:N", sort=labels, title=None, axis=None if above else y_axis(space))
            data = _dot_rows([figure for figure in figures if figure.text_preset == preset], colours, unit)
            layers: list[alt.Chart] = []
            if preset in bars:
                layers += bar_layers(bars[preset], place, f"{bar_name.split()[-1]} {number(bars[preset])} {unit}")
            marks = points[points["text_preset"] == preset][["label", "value"]]
            layers += [
                alt.Chart(marks)
                .mark_tick(thickness=1.5, size=14, color=colour("quiet"), opacity=0.7)
                .encode(place, line),
                alt.Chart(data)
                .mark_rule(strokeWidth=3)
                .encode(alt.X("low:Q", scale=scale), line, alt.X2("high:Q"), alt.Color("colour:N", scale=None)),
                alt.Chart(data)
                .mark_point(size=70, opacity=1, strokeWidth=2)
                .encode(
                    place,
                    line,
                    alt.Color("colour:N", scale=None),
                    alt.Fill("fill:N", scale=None),
                    alt.Shape("shape:N", scale=None),
                ),
                alt.Chart(data)
                .mark_text(align="left", dx=9, dy=-1, fontWeight=600)
                .encode(alt.X("end:Q", scale=scale), line, alt.Text("text:N")),
            ]
            if above:
                names = alt.Chart(data).mark_text(align="left", dy=-15, color=colour("quiet"))
                layers.append(names.encode(y=line, text="label:N", x=alt.value(0)))
            height = (ROW_HEIGHT + (LABEL_ABOVE if above else 0)) * len(labels)
            panel = alt.layer(*layers).properties(width=plot, height=height, title=headings[preset])
            drawn.append(panel)
        return alt.vconcat(*drawn, spacing=14)

    hollow = any(not figure.ranked for figure in figures)
    return Figure(
        title=title,
        alt=f"{title}. " + " ".join(f"{f.text_preset}, {f.label}: {spread(f.measured, unit)}." for f in figures),
        chart=chart,
        columns=("Text", "Cell", "Median", "95 % interval", "Blocks", "Disturbed", "Ranked"),
        rows=[_number_row(figure, unit) for figure in figures],
        note="Dot: median of block medians; line: 95 % interval; ticks: blocks."
        + (" Hollow diamonds are not ranked." if hollow else "")
        + (f" Dashed: {bar_name}." if bars else ""),
    )


def _dot_rows(figures: Sequence[CellFigure], colours: dict[str, str], unit: str) -> pd.DataFrame:
    rows = []
    for figure in figures:
        middle, low, high = figure.measured.median, figure.measured.low, figure.measured.high
        note = f" {figure.note}" if figure.note else ""
        rows.append(
            {
                "label": figure.label,
                "value": middle,
                "low": middle if low is None else low,
                "high": middle if high is None else high,
                "end": middle if high is None else high,
                "text": f"{number(middle)} {unit}{note}",
                "colour": colour(colours[figure.provider]),
                "fill": colour(colours[figure.provider] if figure.ranked else "paper"),
                "shape": "circle" if figure.ranked else "diamond",
            }
        )
    return pd.DataFrame(rows)


def stack(
    lines: Sequence[tuple[str, dict[str, float]]],
    every: Sequence[str],
    title: str,
    axis: str,
    heading: str,
    *,
    bar: float | None = None,
) -> Figure:
    """One stacked bar of milliseconds a line: parts in the order of `every` without empty ones, the sum at the end."""
    coloured = zip(every, itertools.cycle(SERIES), strict=False)
    used = [(name, series) for name, series in coloured if any(part[name] for _, part in lines)]
    names, colours = [name for name, _ in used], [colour(series) for _, series in used]
    parts = pd.DataFrame(
        [
            {"line": line, "part": name, "value": values[name], "at": at}
            for line, values in lines
            for at, name in enumerate(names)
        ]
    )
    totals = pd.DataFrame([{"line": line, "value": sum(values.values())} for line, values in lines])
    totals["text"] = [f"{number(value)} ms" for value in totals["value"]]
    top = max(float(totals["value"].max()), bar or 0)
    space = label_space([line for line, _ in lines])
    order = [line for line, _ in lines]

    def chart(width: int) -> Picture:
        slim = width < WIDE_FROM
        plot = plot_width(width, 0 if slim else space)
        domain, ticks = linear_axis(0, top, room=plot / (plot - TEXT_ROOM))
        scale = alt.Scale(domain=domain, nice=False)
        line = alt.Y("line:N", sort=order, title=None, axis=None if slim else y_axis(space))
        place = alt.X("value:Q", stack="zero", scale=scale, axis=x_axis(axis, ticks))
        key = alt.Legend(orient="bottom", columns=3 if slim else len(names), columnPadding=18, direction="horizontal")
        layers: list[alt.Chart] = [
            alt.Chart(parts)
            .mark_bar(height=18, stroke=colour("paper"), strokeWidth=1)
            .encode(
                place,
                line,
                alt.Color("part:N", sort=list(names), scale=alt.Scale(domain=list(names), range=colours), legend=key),
                alt.Order("at:Q"),
            ),
            alt.Chart(totals)
            .mark_text(align="left", dx=6, fontWeight=600)
            .encode(alt.X("value:Q", scale=scale), line, alt.Text("text:N")),
        ]
        if slim:
            layers.append(
                alt.Chart(totals)
                .mark_text(align="left", dy=-17, color=colour("quiet"))
                .encode(alt.XDatum(0, scale=scale), line, alt.Text("line:N"))
            )
        if bar is not None:
            layers += bar_layers(bar, alt.X("value:Q", scale=scale), f"target {number(bar)} ms")
        height = (BAR_HEIGHT + (LABEL_ABOVE if slim else 0)) * len(lines)
        return alt.layer(*layers).properties(width=plot, height=height)

    return Figure(
        title=title,
        alt=f"{title}. "
        + " ".join(
            f"{line}: " + ", ".join(f"{name} {number(value)} ms" for name, value in values.items()) + "."
            for line, values in lines
        ),
        chart=chart,
        columns=("Cell", *[f"{name}, ms" for name in names], "sum, ms"),
        rows=[
            (line, *[number(values[name]) for name in names], number(sum(values.values()))) for line, values in lines
        ],
        note="Means, so that the parts add up to the whole." + (" Dashed: stated target." if bar is not None else ""),
    )


def bar_layers(value: float, place: alt.X, text: str) -> list[alt.Chart]:
    """A dashed line at a stated value, and its label at the top."""
    data = pd.DataFrame([{"value": value, "text": text}])
    rule = alt.Chart(data).mark_rule(color=colour("bar"), strokeDash=[5, 4], strokeWidth=1.5).encode(place)
    label = (
        alt.Chart(data)
        .mark_text(align="left", dx=4, y=-2, baseline="bottom", fontSize=11, color=colour("bar"))
        .encode(place, alt.Text("text:N"))
    )
    return [rule, label]


def x_axis(title: str | None, ticks: Sequence[float]) -> alt.Axis:
    """An axis with these ticks; without a title it has grid lines only, for the panels above the last one."""
    grouped = f"replace(format(datum.value, ',.10~g'), ',', '{NARROW_SPACE}')"
    return alt.Axis(title=title, labels=title is not None, values=list(ticks), labelExpr=grouped, labelOverlap=True)


def y_axis(space: int) -> alt.Axis:
    """Names of cells; the space is set by us, because the browser's font is not the one that the layout measured."""
    return alt.Axis(grid=False, minExtent=space, maxExtent=space, labelLimit=space)


def label_space(labels: Sequence[str]) -> int:
    """Pixels that the longest of these labels takes."""
    return math.ceil(max(len(label) for label in labels) * CHARACTER) + 10


def plot_width(width: int, space: int) -> int:
    """Width of the plot itself: what the labels on the left leave of the picture."""
    return width - space - 12


def linear_axis(low: float, high: float, room: float) -> tuple[list[float], list[float]]:
    """Domain from 0 with room on the right for the numbers, and about five round ticks."""
    del low
    top = high * room if high > 0 else 1.0
    rough = top / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [0.0, top], [step * at for at in range(math.floor(top / step) + 1)]


def log_axis(low: float, high: float, room: float) -> tuple[list[float], list[float]]:
    """Domain with room on the right for the numbers; ticks at 1, 2 and 5 times the powers of ten."""
    bottom = low * 0.85
    top = bottom * (high / bottom) ** room
    powers = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [bottom, top], [tick for tick in ticks if bottom <= tick <= top]


def _number_row(figure: CellFigure, unit: str) -> tuple[str, ...]:
    measured = figure.measured
    known = measured.low is not None and measured.high is not None
    return (
        f"{figure.text_preset} ({figure.characters})",
        figure.label,
        f"{number(measured.median)} {unit}",
        f"{number(measured.low)} to {number(measured.high)} {unit}" if known else "one block",  # type: ignore[arg-type]
        str(measured.blocks),
        str(figure.disturbed),
        figure.ranked or f"no: {figure.note}",
    )
