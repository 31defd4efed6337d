"""Charts as SVG: light, and with every word and number of theirs."""

from __future__ import annotations

import re

import altair as alt
import pandas as pd
import pytest

from kokoro_lab.reports.drawing.theme import DARK, JUPYTERLAB, LIGHT, SERIES, ChartFigure, colour, draw


def test_a_drawing_keeps_its_text_and_leaves_out_what_draws_nothing() -> None:
    rows = alt.Data(values=[{"x": 1 / 3, "said": "0.00412"}, {"x": 2 / 3, "said": "0.125"}])
    svg = draw(alt.Chart(rows, width=217).mark_text().encode(x="x:Q", text="said:N"))
    assert ">0.00412<" in svg
    assert ">0.125<" in svg
    assert not re.search(r"<[^>]*\d\.\d{3}", svg)
    assert "pointer-events" not in svg
    assert svg.count("<g") == svg.count("</g>")


def shown_in_a_notebook() -> str:
    chart = alt.Chart(pd.DataFrame([{"x": 1.0}])).mark_point(color=colour("s1")).encode(x="x:Q")
    return ChartFigure("One point", "One point at 1.", lambda width: chart)._repr_html_()


def rules(page: str) -> dict[str, dict[str, str]]:
    """Selector -> variable -> value, of the style in a figure."""
    (style,) = re.findall(r"<style>(.*?)</style>", page)
    return {
        selector.strip(): dict(re.findall(r"(--kl-[a-z0-9]+):([^;]+)", body))
        for selector, body in re.findall(r"([^{}]+)\{([^{}]+)\}", style)
    }


def test_in_jupyterlab_a_chart_has_the_colours_of_its_light_and_of_its_dark_theme() -> None:
    light, dark = rules(shown_in_a_notebook()).items()
    assert light[0] == '[data-jp-theme-light="true"] .kl-figure'
    assert dark[0] == '[data-jp-theme-light="false"] .kl-figure'
    for (_, values), palette in ((light, LIGHT), (dark, DARK)):
        for name, variable in JUPYTERLAB.items():
            assert values[f"--kl-{name}"] == f"var({variable},{palette[name]})"
    assert {name: dark[1][f"--kl-{name}"] for name in SERIES if name not in JUPYTERLAB} == {
        name: DARK[name] for name in SERIES if name not in JUPYTERLAB
    }


def test_a_picture_has_no_colour_that_no_theme_can_change() -> None:
    (picture, _) = re.findall(r"<svg.*?</svg>", shown_in_a_notebook(), re.DOTALL)
    colours = re.findall(r'(?:fill|stroke)="([^"]+)"', picture)
    assert {each for each in colours if not each.startswith("var(--kl-")} <= {"none", "transparent"}
    assert any(each.startswith("var(--kl-s1,") for each in colours)


def test_the_style_of_a_notebook_touches_no_other_page() -> None:
    assert all(selector.startswith("[data-jp-theme-light=") for selector in rules(shown_in_a_notebook()))


@pytest.mark.parametrize("name", [*SERIES, "quiet", "bar"])
def test_every_colour_stands_out_from_jupyterlabs_paper(name: str) -> None:
    for palette, paper in ((LIGHT, "#ffffff"), (DARK, "#111111")):
        lighter, darker = sorted((luminance(palette[name]), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3.0, "WCAG 1.4.11: graphical objects"


def luminance(colour: str) -> float:
    """Relative luminance of a colour, 0 to 1, as in WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
