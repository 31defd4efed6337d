"""Pieces of HTML from the templates beside this file, for notebooks and pages."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kokoro_lab.reports.rows.cell_summary import number, sentence, spread

__all__ = ["TEMPLATES", "Html", "Sortable", "fragment", "note", "table"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Html:
    """A piece of HTML, displayed as it is in a notebook."""

    text: str

    def _repr_html_(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Sortable:
    """A figure of a table as it is shown, and as it is sorted and downloaded."""

    text: str
    value: float | int | str


def fragment(name: str, /, **context: Any) -> Html:
    """The template `name`.html.j2 with its context; everything except `Html` is escaped."""
    return Html(_environment().get_template(f"{name}.html.j2").render(context))


def table(
    columns: Mapping[str, str], rows: list[dict[str, Any]], *, css: str = "", caption: str = "", data: bool = False
) -> Html:
    """A table that turns into one card per row on a narrow screen.

    Args:
        columns: key -> heading; the first column names the row.
        rows: one dict per row; an `Html` value is not escaped, a `Sortable` has another value to sort by, and the value
            of `id` is the anchor of the row.
        css: class of the table.
        caption: read out before the table, and printed above it.
        data: whether a page lets its reader sort, filter and download it; it needs a caption.
    """
    return fragment("table", columns=columns, rows=rows, css=css, caption=caption, data=data)


def note(message: str) -> Html:
    """A message as a sentence in place of what cannot be shown."""
    return fragment("note", text=sentence(message))


def _markup(value: Any) -> Any:
    return Markup(value.text) if isinstance(value, Html) else value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_markup,
    )
    environment.filters.update(number=number, spread=spread)
    environment.tests["sortable"] = lambda value: isinstance(value, Sortable)
    return environment
