"""`[word](/ipa/)` links: the pronunciation of a word, given in the text itself.

`[word](2)` raises the stress of a word and `[word](-1)` lowers it, as in misaki; SSML emphasis is turned into these
links. Any other Markdown link is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["LINK", "Span", "spans"]

LINK = re.compile(r"\[(?P<text>[^\[\]\n]{1,200})\]\((?:/(?P<ipa>[^/()\n]{1,200})/|(?P<stress>[+-]?(?:[012]|0\.5)))\)")


class Span(NamedTuple):
    """A stretch of text, with its pronunciation where the text gives one."""

    text: str
    ipa: str | None = None
    stress: float | None = None

    @property
    def linked(self) -> bool:
        """Whether it comes from a link: its text must then reach the phonemizer unchanged."""
        return self.ipa is not None or self.stress is not None


def spans(text: str) -> Iterator[Span]:
    """`text` as consecutive stretches; their texts, joined, are `text` with each link replaced by its word."""
    position = 0
    for match in LINK.finditer(text):
        if match.start() > position:
            yield Span(text[position : match.start()])
        stress = match["stress"]
        yield Span(match["text"], match["ipa"], None if stress is None else float(stress))
        position = match.end()
    if position < len(text):
        yield Span(text[position:])
