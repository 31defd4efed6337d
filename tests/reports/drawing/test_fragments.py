"""Pieces of HTML: text is escaped wherever it comes from, and only what is HTML already stays as it is."""

from __future__ import annotations

import jinja2
import pytest

from kokoro_lab.reports.drawing.fragments import TEMPLATES, Html, fragment, table

EVIL = '<img src=x onerror="alert(1)"> & more'
ESCAPED = ("&lt;img", "&amp; more")


def test_text_is_escaped_in_cells_headings_and_captions() -> None:
    for text in (
        table({"a": "A"}, [{"a": EVIL}]).text,
        table({"a": EVIL}, [{"a": 1}]).text,
        table({"a": "A"}, [], caption=EVIL).text,
        fragment("note", text=EVIL).text,
        fragment("list", heading=EVIL, lines=[EVIL]).text,
    ):
        assert "<img" not in text and all(part in text for part in ESCAPED)


def test_a_piece_of_html_inside_another_stays_as_it_is() -> None:
    link = Html('<a href="x.html">x</a>')
    assert link.text in table({"a": "A"}, [{"a": link}]).text
    assert str(link) == link._repr_html_() == link.text


def test_a_table_takes_its_columns_in_order_and_leaves_out_what_has_none() -> None:
    text = table({"b": "Second", "a": "First"}, [{"a": "1", "b": "2", "c": "hidden"}], css="mine").text
    assert text.index(">Second<") < text.index(">First<") < text.index(">2<") < text.index(">1<")
    assert "hidden" not in text and "mine" in text and "<caption" not in text
    assert text.count('class="kl-first"') == 1 and text.index('class="kl-first"') < text.index(">2<")


def test_every_cell_carries_its_heading_for_a_narrow_screen() -> None:
    text = table({"a": "A", "b": "B"}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]).text
    assert text.count('data-label="A"') == text.count('data-label="B"') == 2


def test_a_value_that_a_template_needs_and_is_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        fragment("list", heading="H")


def test_every_template_can_be_read() -> None:
    environment = jinja2.Environment()
    for path in TEMPLATES.glob("*.j2"):
        environment.parse(path.read_text(encoding="utf-8"))
