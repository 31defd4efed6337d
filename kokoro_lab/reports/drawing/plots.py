"""The kinds of charts: dots with intervals, stacked bars, and the axes that they share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from kokoro_lab.reports.drawing.theme import SERIES, ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import NARROW_SPACE, CellFigure, number, reach, spread

__all__ = [
    "WIDE_FROM",
    "Quantity",
    "dots",
    "label_space",
    "linear_axis",
    "log_axis",
    "marker_layers",
    "plot_width",
    "stack",
    "x_axis",
    "y_axis",
]

ROW_HEIGHT = 30  # px, one cell in a chart
BAR_HEIGHT = 34  # px
TEXT_ROOM = 90  # px, left free on the right for a number
NOTE_ROOM = 80  # px, for a few words that say why a cell is not ranked
CHARACTER = 6.9  # px, a generous width of one character of a label at 12 px
LEAST_PLOT = 100  # px; where labels leave less for the dots, they are drawn above them
LABEL_ABOVE = 14  # px
WIDE_FROM = 600  # px; narrower pictures put labels above the bars


@dataclass(frozen=True)
class Quantity:
    """The quantity of an axis."""

    axis: str
    """Title of the axis."""
    unit: str
    """Follows every number; empty for a quantity without a unit."""
    log: bool = False
    """Whether the axis is logarithmic."""


def dots(
    figures: Sequence[CellFigure],
    points: pd.DataFrame,
    title: str,
    quantity: Quantity,
    *,
    markers: Mapping[str, float] | None = None,
    marker_name: str = "claimed target",
    panels: Mapping[str, str] | None = None,
) -> ChartFigure:
    """One dot with an interval per cell, one tick per block, one panel per text.

    Args:
        figures: the cells; `points` has their blocks (`cell_summary.block_points`).
        title: what the chart shows, with a number.
        quantity: what the axis shows, and in which unit.
        markers: a value per panel, drawn as a dashed line; `marker_name` is the name of that value.
        panels: titles of panels by text preset; by default its name and length.
    """
    presets = {figure.text_preset: figure.characters for figure in figures}
    headings = {preset: f"{preset}: {count} characters" for preset, count in presets.items()} | dict(panels or {})
    picture = _Dots(
        figures, points, quantity, markers or {}, marker_name, {preset: headings[preset] for preset in presets}
    )
    hollow = any(not figure.ranked for figure in figures)
    unit = quantity.unit
    return ChartFigure(
        title=title,
        alt=f"{title}. " + " ".join(f"{f.text_preset}, {f.label}: {spread(f.measured, unit)}." for f in figures),
        chart=picture.draw,
        columns=("Text", "Cell", "Median", "95 % interval", "Blocks", "Disturbed blocks", "Ranked"),
        rows=[_number_row(figure, unit) for figure in figures],
        note="Dot: median of block medians; line: 95 % interval; ticks: blocks."
        + (" Hollow diamonds: not ranked." if hollow else "")
        + (f" Dashed: {marker_name}." if markers else ""),
    )


@dataclass(frozen=True)
class _Dots:
    """The picture of `dots`, at any width."""

    figures: Sequence[CellFigure]
    points: pd.DataFrame
    quantity: Quantity
    markers: Mapping[str, float]
    marker_name: str
    headings: Mapping[str, str]
    """Title of each panel, by text preset."""

    def draw(self, width: int) -> Picture:
        space = label_space([figure.label for figure in self.figures])
        written = TEXT_ROOM + (NOTE_ROOM if any(figure.note for figure in self.figures) else 0)
        above = plot_width(width, space) < written + LEAST_PLOT
        plot = plot_width(width, 0 if above else space)
        ends = self._ends()
        make_axis = log_axis if self.quantity.log else linear_axis
        domain, ticks = make_axis(min(ends), max(ends), room=plot / (plot - written))
        scale = alt.Scale(type="log" if self.quantity.log else "linear", domain=domain, nice=False)
        drawn = []
        for preset, heading in self.headings.items():
            final = preset == list(self.headings)[-1]
            place = alt.X("value:Q", scale=scale, axis=x_axis(self.quantity.axis if final else None, ticks))
            labels = [figure.label for figure in self.figures if figure.text_preset == preset]
            line = alt.Y("label:N", sort=labels, title=None, axis=None if above else y_axis(space))
            layers = self._layers(preset, place, line, scale)
            if above:
                names = alt.Chart(self._rows(preset)).mark_text(align="left", dy=-15, color=colour("quiet"))
                layers.append(names.encode(y=line, text="label:N", x=alt.value(0)))
            height = (ROW_HEIGHT + (LABEL_ABOVE if above else 0)) * len(labels)
            drawn.append(alt.layer(*layers).properties(width=plot, height=height, title=heading))
        return alt.vconcat(*drawn, spacing=14)

    def _ends(self) -> list[float]:
        """Every value that must be on the axis."""
        measured = [figure.measured for figure in self.figures]
        ends = [
            end for interval in measured for end in (interval.low, interval.high, interval.center) if end is not None
        ]
        return [*ends, *self.points["value"], *(self.markers[name] for name in self.headings if name in self.markers)]

    def _rows(self, preset: str) -> pd.DataFrame:
        providers = dict.fromkeys(figure.provider for figure in self.figures)
        colours = {name: SERIES[at % len(SERIES)] for at, name in enumerate(providers)}
        return _dot_rows([f for f in self.figures if f.text_preset == preset], colours, self.quantity.unit)

    def _layers(self, preset: str, place: alt.X, line: alt.Y, scale: alt.Scale) -> list[alt.Chart]:
        """The dashed line, the ticks of blocks, and the interval, dot and number of each cell."""
        layers: list[alt.Chart] = []
        if preset in self.markers:
            words = f"{self.marker_name.split()[-1]} {number(self.markers[preset])} {self.quantity.unit}".rstrip()
            layers += marker_layers(self.markers[preset], place, words)
        marks = alt.Chart(self.points[self.points["text_preset"] == preset][["label", "value"]])
        base = alt.Chart(self._rows(preset))
        hue = alt.Color("colour:N", scale=None)
        return [
            *layers,
            marks.mark_tick(thickness=1.5, size=14, color=colour("quiet"), opacity=0.7).encode(place, line),
            base.mark_rule(strokeWidth=3).encode(alt.X("low:Q", scale=scale), line, alt.X2("high:Q"), hue),
            base.mark_point(size=70, opacity=1, strokeWidth=2).encode(
                place, line, hue, alt.Fill("fill:N", scale=None), alt.Shape("shape:N", scale=None)
            ),
            base.mark_text(align="left", dx=9, dy=-1, fontWeight=600).encode(
                alt.X("end:Q", scale=scale), line, alt.Text("text:N")
            ),
        ]


def _dot_rows(figures: Sequence[CellFigure], colours: dict[str, str], unit: str) -> pd.DataFrame:
    rows = []
    for figure in figures:
        middle = figure.measured.center
        low, high = figure.measured.bounds
        note = f" {figure.note}" if figure.note else ""
        rows.append(
            {
                "label": figure.label,
                "value": middle,
                "low": middle if low is None else low,
                "high": middle if high is None else high,
                "end": middle if high is None else high,
                "text": f"{number(middle)} {unit}".rstrip() + note,
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
    target: float | None = None,
) -> ChartFigure:
    """One stacked bar of milliseconds per line: non-empty parts in the order of `every`, and the sum at the end."""
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
    top = max(float(totals["value"].max()), target or 0)
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
        hue = alt.Color("part:N", sort=names, scale=alt.Scale(domain=names, range=colours), legend=key)
        bars = alt.Chart(parts).mark_bar(height=18, stroke=colour("paper"), strokeWidth=1)
        layers = [bars.encode(place, line, hue, alt.Order("at:Q")), *_total_layers(totals, line, scale, slim)]
        if target is not None:
            layers += marker_layers(target, alt.X("value:Q", scale=scale), f"target {number(target)} ms")
        height = (BAR_HEIGHT + (LABEL_ABOVE if slim else 0)) * len(lines)
        return alt.layer(*layers).properties(width=plot, height=height)

    return ChartFigure(
        title=title,
        alt=f"{title}. "
        + " ".join(
            f"{line}: " + ", ".join(f"{name} {number(value)} ms" for name, value in values.items()) + "."
            for line, values in lines
        ),
        chart=chart,
        columns=("Cell", *[f"{name}, ms" for name in names], "Total, ms"),
        rows=[
            (line, *[number(values[name]) for name in names], number(sum(values.values()))) for line, values in lines
        ],
        note="Means, so that the stages add up to the total."
        + (" Dashed: claimed target." if target is not None else ""),
    )


def _total_layers(totals: pd.DataFrame, line: alt.Y, scale: alt.Scale, slim: bool) -> list[alt.Chart]:
    """The total at the end of each bar; in a narrow picture also its name above it."""
    base = alt.Chart(totals)
    sums = base.mark_text(align="left", dx=6, fontWeight=600)
    layers = [sums.encode(alt.X("value:Q", scale=scale), line, alt.Text("text:N"))]
    if slim:
        names = base.mark_text(align="left", dy=-17, color=colour("quiet"))
        layers.append(names.encode(alt.XDatum(0, scale=scale), line, alt.Text("line:N")))
    return layers


def marker_layers(value: float, place: alt.X, text: str) -> list[alt.Chart]:
    """A dashed line at a value, with its label at the top."""
    data = pd.DataFrame([{"value": value, "text": text}])
    rule = alt.Chart(data).mark_rule(color=colour("bar"), strokeDash=[5, 4], strokeWidth=1.5).encode(place)
    label = (
        alt.Chart(data)
        .mark_text(align="left", dx=4, y=-2, baseline="bottom", fontSize=11, color=colour("bar"))
        .encode(place, alt.Text("text:N"))
    )
    return [rule, label]


def x_axis(title: str | None, ticks: Sequence[float]) -> alt.Axis:
    """An axis with these ticks; without a title it has grid lines only, for all panels except the last."""
    grouped = f"replace(format(datum.value, ',.10~g'), regexp(',', 'g'), '{NARROW_SPACE}')"
    return alt.Axis(title=title, labels=title is not None, values=list(ticks), labelExpr=grouped, labelOverlap=True)


def y_axis(space: int) -> alt.Axis:
    """Names of cells in a fixed width, because the browser's font is not the font that the layout was measured with."""
    return alt.Axis(grid=False, minExtent=space, maxExtent=space, labelLimit=space)


def label_space(labels: Sequence[str]) -> int:
    """Pixels that the longest of these labels takes."""
    return math.ceil(max(len(label) for label in labels) * CHARACTER) + 10


def plot_width(width: int, space: int) -> int:
    """Width of the plot itself: that of the picture without the labels on the left."""
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
    return (
        f"{figure.text_preset} ({figure.characters})",
        figure.label,
        f"{number(measured.center)} {unit}".rstrip(),
        reach(measured, unit),
        str(measured.count),
        str(figure.disturbed),
        figure.ranked or f"no: {figure.note}",
    )
