"""Cutting a long text so that its first sound comes early: a short first piece, then longer and longer ones.

The first piece decides when the listener hears something; each next one must be ready before those before it have been
played. Playing begins when the first is ready, so with a real-time factor r a piece is in time when it is no longer
than the first and (1/r - 1) times all before it together: a growth of g holds for every r up to 1/g.
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
AHEAD = 40  # characters after a mark that tell whether it ends a sentence
WHOLE = 250  # characters; a piece that may be longer is the rest, which segmentation by sentences takes over


def pieces(text: str, *, chars: int, words: int, growth: float) -> Iterator[str]:
    """The text in pieces, which put together are the text again (whitespace at the cuts belongs to the piece before).

    `chars` is the greatest length of the first piece, unless its `words` fewest words are longer; `growth` bounds
    the others: each is at most as long as the first, and growth - 1 times all before it. A text shorter than twice
    `chars`, or with markup in it, stays whole.
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
    """Where to cut: after the last sentence that fits, else clause, else before a joining word, else after a word.

    What fits ends within `length`, or is the shortest there is of enough words; 0 when there is nothing to cut.
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
    """Where the first `words` words end, with the space after them; the whole text when it has fewer."""
    spaces = (match.end() for match in WORD.finditer(text) if match.start() > 0)
    return next((end for at, end in enumerate(spaces, 1) if at == words), len(text))
