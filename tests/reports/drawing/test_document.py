"""A page is one file: its style and its script are in it, and what a reader opens is folded."""

from __future__ import annotations

from kokoro_lab.reports.drawing.document import Section, document
from kokoro_lab.reports.drawing.fragments import Html
from kokoro_lab.reports.drawing.theme import DARK, LIGHT


def test_a_page_has_its_style_script_sections_and_names() -> None:
    parts = [Section("Open", "open", Html("<p>a</p>")), Section("Shut", "shut", Html("<p>b</p>"), folded=True)]
    text = document("Title <i>", name="run-1", about="about & such", lead=Html("<p>lead</p>"), sections=parts)
    assert "<title>Title &lt;i&gt;: run-1</title>" in text and "about &amp; such" in text
    assert '<section id="open"' in text and '<details id="shut"' in text and '<details id="shut" open' not in text
    assert LIGHT["ink"] in text and DARK["ink"] in text and "{{" not in text
    assert text.count("<style>") == text.count("<script>") == 1 and "<footer>" not in text


def test_the_style_of_a_notebook_is_left_out() -> None:
    lead = Html('<style class="kl-notebook">.x { color: red }</style><p>kept</p>')
    text = document("T", name="n", about="", lead=lead)
    assert "color: red" not in text and "<p>kept</p>" in text and ".kl-chart" in text


def test_a_page_without_folded_sections_lists_them_and_may_end_with_a_line() -> None:
    parts = [Section("One", "one", Html("")), Section("Two", "two", Html(""))]
    text = document("T", name="n", about="", lead=Html(""), sections=parts, footer="the end")
    assert '<a href="#two">Two</a>' in text and "the end" in text
    assert "<nav" not in document("T", name="n", about="", lead=Html(""), sections=parts[:1])
