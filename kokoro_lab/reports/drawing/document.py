"""A whole page: one file with its style and its script, which needs nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kokoro_lab.reports.drawing.fragments import TEMPLATES, Html, fragment
from kokoro_lab.reports.drawing.theme import DARK, LIGHT

__all__ = ["Section", "document"]

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


def document(
    title: str,
    *,
    name: str,
    about: Html | str,
    lead: Html,
    sections: Sequence[Section] = (),
    machine: str = "",
    footer: str = "",
) -> str:
    """The page.

    Args:
        title: its first heading.
        name: what tells it from other pages with this title, in the window's title.
        about: the line below the title.
        lead: what comes before the first section.
        sections: its sections.
        machine: shown beside the title.
        footer: its last line.
    """
    context = {"name": name, "about": about, "lead": lead, "sections": sections, "machine": machine}
    script = Html((TEMPLATES / "page.js").read_text(encoding="utf-8"))
    text = str(fragment("page", title=title, css=Html(_css()), script=script, footer=footer, **context))
    return NOTEBOOK_STYLE.sub("", text)


def _css() -> str:
    text = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("chart.css", "page.css"))
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        text = text.replace("{{ " + name + " }}", _variables(colours))
    return text


def _variables(colours: Mapping[str, str]) -> str:
    return "  " + " ".join(f"--kl-{name}: {value};" for name, value in colours.items())
