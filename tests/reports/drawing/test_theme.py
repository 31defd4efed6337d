"""Charts as SVG: light, and with every word and number of theirs."""

from __future__ import annotations

import re

import altair as alt

from kokoro_lab.reports.drawing.theme import draw


def test_a_drawing_keeps_its_text_and_leaves_out_what_draws_nothing() -> None:
    rows = alt.Data(values=[{"x": 1 / 3, "said": "0.00412"}, {"x": 2 / 3, "said": "0.125"}])
    svg = draw(alt.Chart(rows, width=217).mark_text().encode(x="x:Q", text="said:N"))
    assert ">0.00412<" in svg
    assert ">0.125<" in svg
    assert not re.search(r"<[^>]*\d\.\d{3}", svg)
    assert "pointer-events" not in svg
    assert svg.count("<g") == svg.count("</g>")
