"""Cuts a long text so that its first sound comes early: a short first piece, followed by longer and longer pieces.

The first piece determines when the listener hears something; each later piece must be ready before the earlier pieces
have been played. Playing begins when the first piece is ready. With a real-time factor r, a piece is in time when it is
at most as long as the first piece plus (1/r - 1) times all pieces before it: a growth factor g avoids gaps for every r
up to 1/g.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kokoro_lab.text.sentences import sentence_ends

__all__ = ["pieces"]

CLAUSE = re.compile(r"(?:[,;:]|\s[—–-]+|[—–])[\"'”’)\]]*\s+")
JOINT = re.compile(
    r"\s+(?=(?:and|or|but|because|that|which|who|when|while|where|if|so|to|of|in|on|for|with|from|by|as|at)\s)"
)
WORD = re.compile(r"\s+")
MARKUP = re.compile(r"<[a-zA-Z/]|\]\(")
AHEAD = 40  # characters after a mark that decide whether it ends a sentence
WHOLE = 250  # characters; once a piece may be longer, the rest of the text is left to segmentation by sentences


def pieces(text: str, *, chars: int, words: int, growth: float) -> Iterator[str]:
    """The text in pieces, which joined are the text again (white space at the cuts belongs to the piece before).

    `chars` is the longest length of the first piece, unless its minimum of `words` words is longer; `growth` bounds the
    others: each is at most as long as the first piece plus growth - 1 times all pieces before it. A text shorter than
    twice `chars`, or with markup in it, is a single piece.
    """
    length = float(chars)
    first = 0
    rest = text
    while length < WHOLE and len(rest) > (length if first else 2 * chars) and not MARKUP.search(text):
        cut = _cut(rest, int(length), words)
        if not cut:
            break
        yield rest[:cut]
        rest = rest[cut:]
        first = first or cut
        length = first + (len(text) - len(rest)) * (growth - 1)
    yield rest


def _cut(text: str, length: int, words: int) -> int:
    """Where to cut: after the last sentence that fits, else clause, else before a conjunction, else after a word.

    A piece that fits ends within `length`, or is the shortest with enough words; 0 where there is nothing to cut.
    """
    reach = text[: max(length, _end_of_words(text, words)) + 1]
    sentences = [len(text) - len(text[end:].lstrip()) for end in sentence_ends(text[: len(reach) + AHEAD], len(reach))]
    kinds = ([match.end() for match in kind.finditer(reach)] for kind in (CLAUSE, JOINT, WORD))
    for ends in (sentences, *kinds):
        for end in reversed(ends):
            if len(text[:end].split()) >= words and len(text[end : end + length * 4].split()) >= words:
                return end
    return 0


def _end_of_words(text: str, words: int) -> int:
    """End of the first `words` words, with the space after them; the length of the text when it has fewer."""
    spaces = (match.end() for match in WORD.finditer(text) if match.start() > 0)
    return next((end for at, end in enumerate(spaces, 1) if at == words), len(text))
