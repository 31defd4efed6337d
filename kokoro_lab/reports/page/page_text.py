"""What a reader sees of an HTML page as text, and where it leaves another text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

__all__ = ["contradictions", "first_difference", "page_text"]

UNSEEN = frozenset({"noscript", "script", "style", "template"})
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
HIDING = re.compile(r"display:none|visibility:hidden")
OPENING = 4
"""Words by which a statement of the same kind is known."""
SHOWN = 60  # characters around a difference


class _Reader(HTMLParser):
    """Collects text; none of comments, of elements that are never shown, and of hidden ones."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.parts.append(" ")
        if tag in VOID:
            return
        if self._unseen:
            self._depth += tag == self._unseen
        elif tag in UNSEEN or _hides(dict(attrs)):
            self._unseen, self._depth = tag, 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A browser takes `<div/>` for the beginning of a div, so only what is hidden by it matters."""
        if _hides(dict(attrs)):
            self.handle_starttag(tag, attrs)
        else:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        self.parts.append(" ")
        if self._unseen == tag:
            self._depth -= 1
            self._unseen = tag if self._depth else ""

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        if not self._unseen:
            self.parts.append(data)


def page_text(markup: str) -> str:
    """What a reader sees of a page: no tags, one space between words."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return " ".join("".join(reader.parts).split())


def first_difference(text: str, page: str) -> str:
    """Where a text leaves what the page says; empty for a text that the page has."""
    low, high = 0, len(text)
    while low < high:  # the longest beginning that the page has
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] in page else (low, middle - 1)
    if low == len(text):
        return ""
    at = page.find(text[:low]) + low
    start = max(0, low - SHOWN // 2)
    return f"it says {page[at - (low - start) : at + SHOWN]!r}, the tables give {text[start : low + SHOWN]!r}"


def contradictions(statement: str, page: str, same: Sequence[str] = ()) -> list[str]:
    """What a page says in the words in which a statement begins, and that is not the statement, whatever its numbers.

    Spaces do not count, as the markup around a figure may add some.

    Args:
        statement: a sentence or a few.
        page: text of the page.
        same: other wordings of the statement that are as good.
    """
    places = [place for place, character in enumerate(page) if not character.isspace()]
    compact = "".join(page[place] for place in places)
    good = [_compact(words) for words in (statement, *same)]
    return [
        page[places[match.start()] :][: 2 * SHOWN]
        for match in re.finditer(_opening(statement), compact)
        if not any(compact.startswith(words, match.start()) for words in good)
    ]


def _opening(statement: str) -> str:
    """A pattern of how a statement begins, with any number in the place of a number."""
    return "".join(
        r"[\d.,]+" if any(map(str.isdigit, word)) else re.escape(word) for word in statement.split()[:OPENING]
    )


def _compact(text: str) -> str:
    return "".join(text.split())


def _hides(attributes: dict[str, str | None]) -> bool:
    style = _compact(attributes.get("style") or "").lower()
    return "hidden" in attributes or HIDING.search(style) is not None
