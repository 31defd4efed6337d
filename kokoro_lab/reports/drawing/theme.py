"""The look of every chart, and how a chart becomes part of a page.

Colours are CSS variables with a light value as a fallback, so that one picture suits light and dark pages. Each chart
is drawn twice, for wide and for narrow screens, because a picture that is only scaled down is unreadable on a phone. No
script is needed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

__all__ = ["DARK", "LIGHT", "NARROW", "SERIES", "WIDE", "ChartFigure", "Picture", "colour", "draw", "styled"]

WIDE, NARROW = 900, 340
"""Widths of the two pictures of a chart, in CSS pixels."""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1f27",
    "quiet": "#59626f",
    "grid": "#dfe3e9",
    "bar": "#b3261e",
    "s1": "#0067a8",
    "s2": "#c2500a",
    "s3": "#00805c",
    "s4": "#a8518a",
    "s5": "#8a6a00",
    "s6": "#2c86c4",
    "s7": "#6b7480",
    "s8": "#1a1f27",
    "s9": "#9a4b3c",
    "s10": "#5f45b5",
}
DARK = {
    "paper": "#14181e",
    "ink": "#e8ebf0",
    "quiet": "#a2acb9",
    "grid": "#2f3742",
    "bar": "#ff8a7d",
    "s1": "#4da6e8",
    "s2": "#f08a3c",
    "s3": "#2fc296",
    "s4": "#e08fc4",
    "s5": "#d9b13b",
    "s6": "#9ad0f5",
    "s7": "#97a1ae",
    "s8": "#e8ebf0",
    "s9": "#d98b7c",
    "s10": "#b3a1f5",
}
SERIES = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10")
"""Hues of Okabe and Ito's palette, distinguishable with any colour vision, at a lightness that suits the page."""

Picture = alt.Chart | alt.LayerChart | alt.VConcatChart | alt.FacetChart

FONT = "system-ui, sans-serif"
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def colour(name: str) -> str:
    """The CSS variable of a colour, with its light value as a fallback."""
    return f"var(--kl-{name}, {LIGHT[name]})"


JUPYTERLAB = {
    "paper": "--jp-layout-color0",
    "ink": "--jp-content-font-color1",
    "quiet": "--jp-content-font-color2",
    "grid": "--jp-border-color2",
    "s8": "--jp-content-font-color1",
}
"""Colours that a chart takes from the theme of JupyterLab, where it is shown there."""


def _notebook_style() -> str:
    """The rules by which the charts of a notebook follow its theme; on any other page they match nothing."""

    def rule(selector: str, colours: Mapping[str, str]) -> str:
        values = (
            f"--kl-{name}:" + (f"var({JUPYTERLAB[name]},{value})" if name in JUPYTERLAB else value)
            for name, value in colours.items()
        )
        return f"{selector} .kl-figure{{{';'.join(values)}}}"

    light = {name: LIGHT[name] for name in JUPYTERLAB}
    dark = {name: value for name, value in DARK.items() if name in JUPYTERLAB or value != LIGHT[name]}
    rules = rule('[data-jp-theme-light="true"]', light) + rule('[data-jp-theme-light="false"]', dark)
    return f"<style>{rules}</style>"


def styled(chart: Picture) -> dict[str, Any]:
    """The chart's Vega-Lite document with the theme in its configuration."""
    document: dict[str, Any] = chart.to_dict()
    text = {"labelColor": colour("quiet"), "titleColor": colour("quiet"), "labelFont": FONT, "titleFont": FONT}
    document["config"] = {
        "background": "transparent",
        "font": FONT,
        "padding": 2,
        "view": {"stroke": None},
        "axis": {
            **text,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": colour("grid"),
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "labelLimit": 150,
        },
        "legend": {**text, "labelFontSize": 12, "title": None, "symbolType": "square", "labelLimit": 160},
        "title": {
            "font": FONT,
            "color": colour("ink"),
            "fontSize": 13,
            "fontWeight": 600,
            "anchor": "start",
            "frame": "group",
            "offset": 6,
        },
        "text": {"font": FONT, "fontSize": 12, "color": colour("ink")},
    }
    return document


def draw(chart: Picture) -> str:
    """The chart as an SVG element for an HTML page, stripped of what the page does not need."""
    svg: str = vl_convert.vegalite_to_svg(styled(chart), vl_version=VEGA_LITE)
    svg = re.sub(r'<rect [^>]*fill="transparent"/>', "", svg, count=1)
    svg = re.sub(
        r'<path class="(?:fore|back)ground" d="(?:M0,0h0v0h0Z)?"[^>]*/>| opacity="1"| pointer-events="none"', "", svg
    )
    svg = re.sub(r"<[^>]*>", _rounded, svg)
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)


def _rounded(tag: re.Match[str]) -> str:
    """A tag with positions and sizes rounded to a hundredth of a pixel; text between tags is left alone."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tag[0])


@dataclass(frozen=True)
class ChartFigure:
    """A chart with its title, a text alternative, and the numbers behind it."""

    title: str
    alt: str
    chart: Callable[[int], Picture]
    """Draws the chart for a width in CSS pixels."""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""

    def svg(self, width: int) -> str:
        """The picture of one width, labelled."""
        return self._labelled(draw(self.chart(width)), width)

    def _repr_html_(self) -> str:
        wide, narrow = self.svg(WIDE), self.svg(NARROW)
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return (
            f'<figure class="kl-figure">{_notebook_style()}'
            f"<figcaption><h3>{html.escape(self.title)}</h3>{note}</figcaption>"
            f'<div class="kl-wide">{wide}</div>'
            f'<div class="kl-narrow" style="display:none">{narrow}</div>{self._numbers()}</figure>'
        )

    def _labelled(self, svg: str, width: int) -> str:
        """The picture as one image with one description; its parts are hidden from screen readers.

        Nothing is clipped at its edge, because the reader's font may be wider than the font of the layout.
        """
        mark = re.sub(r"[^a-z0-9]+", "-", self.title.lower())[:24] + f"-{width}"
        svg = re.sub(r'(id="|url\(#)([A-Za-z]+[0-9]+)', rf"\g<1>{mark}-\g<2>", svg)
        svg = re.sub(r' (?:role|aria-[a-z]+)="[^"]*"', "", svg)
        size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', svg)
        limit = f"max-width:{float(size[1]):.0f}px" if size else ""
        svg = re.sub(r' width="[^"]*" height="[^"]*"', "", svg, count=1)
        style = f"width:100%;height:auto;overflow:visible;{limit}"
        start = f'<svg role="img" aria-label="{html.escape(self.alt)}" style="{style}"'
        return svg.replace("<svg", start, 1)

    def _numbers(self) -> str:
        if not self.rows:
            return ""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.columns)
        body = "".join(
            "<tr>"
            + "".join(
                f'<td data-label="{html.escape(name)}">{html.escape(value)}</td>'
                for name, value in zip(self.columns, row, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        return (
            '<details class="kl-numbers"><summary>Show the numbers</summary>'
            f'<div class="kl-scroll" role="region" aria-label="{html.escape(self.title)}" tabindex="0">'
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
        )
