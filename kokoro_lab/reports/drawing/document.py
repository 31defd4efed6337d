"""A whole page: one file with its style and its script, which needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from kokoro_lab.reports.drawing.fragments import TEMPLATES, Html, fragment
from kokoro_lab.reports.drawing.theme import DARK, LIGHT

__all__ = ["Page", "Section", "document"]

NOTEBOOK_STYLE = re.compile(r'<style class="kl-notebook">.*?</style>\n?', re.DOTALL)
"""The style that a drawing brings into a notebook; a page has its own."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own."""

    heading: str
    anchor: str
    body: Html
    folded: bool = False
    """Whether a page shows only the heading until a reader opens it."""


@dataclass(frozen=True)
class Page:
    """What a page shows."""

    title: str
    """Its first heading."""
    name: str
    """What tells it from other pages with this title, in the window's title."""
    about: Html | str
    """The line below the title."""
    lead: Html
    """What comes before the first section."""
    sections: Sequence[Section] = ()
    machine: str = ""
    """Shown beside the title."""
    back: str = ""
    """File of the page that this page belongs to."""
    footer: str = ""
    """Its last line."""


def document(page: Page) -> str:
    """The page as HTML, with its style and its script."""
    script = Html((TEMPLATES / "page.js").read_text(encoding="utf-8"))
    shown = {item.name: getattr(page, item.name) for item in fields(Page)}
    return NOTEBOOK_STYLE.sub("", str(fragment("page", css=Html(_css()), script=script, **shown)))


def _css() -> str:
    text = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("chart.css", "page.css"))
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        text = text.replace("{{ " + name + " }}", _variables(colours))
    return text


def _variables(colours: Mapping[str, str]) -> str:
    return "  " + " ".join(f"--kl-{name}: {value};" for name, value in colours.items())
