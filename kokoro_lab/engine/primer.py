"""Cutting a long text so that its first sound comes early: a short first piece, then longer and longer ones.

The first piece decides when the listener hears something; each next one must be ready before the one before it has been
played. With a real-time factor r, a piece may be up to 1/r times as long as the one before it, so that a growth of 2
holds for every r below 0.5 and reaches whole paragraphs after a few pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["pieces"]

SENTENCE = re.compile(r"[.!?…]+[\"'”’)\]]*\s+")
CLAUSE = re.compile(r"(?:[,;:]|\s[—–-]+|[—–])[\"'”’)\]]*\s+")
JOINT = re.compile(
    r"\s+(?=(?:and|or|but|because|that|which|who|when|while|where|if|so|to|of|in|on|for|with|from|by|as|at)\s)"
)
WORD = re.compile(r"\s+")
MARKUP = re.compile(r"<[a-zA-Z/]|\]\(")
ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Za-z]|(?:[a-z]\.)+[a-z]|mr|mrs|ms|dr|prof|rev|gen|st|no|vs|fig|approx|etc|jr|sr)\.\s+$",
    re.IGNORECASE,
)

REACH = 1.5  # a better kind of cut may lie this much beyond the length asked for
WHOLE = 400  # characters; from this length on pieces stop growing: segmentation by sentences takes over


def pieces(text: str, *, chars: int, words: int, growth: float) -> Iterator[str]:
    """The text in pieces, which put together are the text again (whitespace at the cuts belongs to the piece before).

    `chars` is the length of the first piece, about; `words` the fewest words of it and of what follows it; `growth` the
    factor by which the lengths grow. A text shorter than twice `chars`, or with markup in it, stays whole.
    """
    length = float(chars)
    rest = text
    while length < WHOLE and len(rest) >= 2 * length and not MARKUP.search(text):
        cut = _cut(rest, round(length), words)
        if not cut:
            break
        yield rest[:cut]
        rest = rest[cut:]
        length = cut * growth
    yield rest


def _cut(text: str, length: int, words: int) -> int:
    """Where to cut: after a sentence, else a clause, else before a joining word, else after a word; 0 for nowhere."""
    reach = text[: round(length * REACH) + 1]
    for kind in (SENTENCE, CLAUSE, JOINT, WORD):
        limit = len(reach) if kind in (SENTENCE, CLAUSE) else length + 1
        ends = [match.end() for match in kind.finditer(reach) if match.end() <= limit]
        ends = [
            end
            for end in ends
            if len(text[:end].split()) >= words
            and len(text[end:].split()) >= words
            and not (kind is SENTENCE and (ABBREVIATION.search(text[:end]) or text[end].islower()))
        ]
        if ends:
            return min(ends, key=lambda end: abs(end - length)) if kind is SENTENCE else ends[-1]
    return 0
