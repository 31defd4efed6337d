"""Where text may be cut: at the ends of sentences first, then of clauses, then between words.

A mark ends a sentence only where white space follows it, and a dot only where no abbreviation or initial stands before
it: the dot in a number, a version, a URL or an e-mail address does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kokoro_lab.text.abbreviations import NUMBER_FOLLOWS, NUMBERED
from kokoro_lab.text.links import LINK
from kokoro_lab.text.sanitize import sanitize

__all__ = ["MAX_SENTENCE", "SanitizedSentence", "clause_end", "sentence_ends", "sentences", "word_end"]

MAX_SENTENCE = 1_000  # characters; a longer sentence is cut anyway, so that the work per segment is bounded
BLOCK = 4_096  # characters sanitised at a time, so that the first sentence of a megabyte does not wait for the last
SHORT_LINE = 50  # characters; a shorter line is a heading, a list item or verse, and its end ends a sentence
LONGEST_LINK = 410  # characters of the longest `[word](/ipa/)`
LIST_DIGITS = 3  # "12." at the beginning of a line numbers a list item

_END = re.compile(r"[.!?…]+[\"”')\]]*(?=\s)")
_CLAUSE = re.compile(r"(?:[,;:]|(?<=\s)[-–]|—)[\"”')]*\s+|—")
_SPACE = re.compile(r"\s+")
_FOLLOWED = (
    "mr mrs ms dr prof rev hon gen col capt lt sgt st mt ft messrs mme mlle sra dra vs cf eg e.g ie i.e approx dept est"
)
_NEVER = frozenset(_FOLLOWED.split())
"""Abbreviations that never end a sentence."""
_CAPITAL = "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun"
_DATES = frozenset(_CAPITAL.split())
"""These never end a sentence either; in small letters they are words ("sat", "sun", "wed")."""
_SOMETIMES = frozenset({"etc", "inc", "ltd", "co", "corp", "jr", "sr", "al", "ave", "blvd", "rd"})
"""Abbreviations that may end a sentence, and do when a capital follows; so may "a.m." and "U.S."."""
_NUMBER = re.compile(rf"\s*(?:{NUMBER_FOLLOWS})")
_DOTTED = re.compile(r"(?:[a-z]+\.)+[a-z]+")


class SanitizedSentence(NamedTuple):
    """A sanitised sentence, or the part of a long one that fits."""

    text: str
    paragraph_end: bool
    """Whether a line break that ends the sentence follows it."""


class _Block(NamedTuple):
    text: str
    glued: bool
    """Whether it continues the last word of the block before."""
    ends: bool
    """Whether its end is the end of a sentence."""
    line: bool
    """Whether it ends with a line break."""


def sentences(text: str) -> Iterator[SanitizedSentence]:
    """The sentences of `text` in order; each block of the text is processed only when it is reached."""
    rest = ""
    for block in _blocks(text):
        clean = sanitize(block.text).replace("\n", " ")
        rest += clean if block.glued or not rest else f" {clean}"
        while rest:
            end = _sentence_end(rest[: MAX_SENTENCE + LONGEST_LINK])
            if end is None and len(rest) > MAX_SENTENCE:
                window = rest[: MAX_SENTENCE + LONGEST_LINK]
                end = clause_end(window, MAX_SENTENCE, last=MAX_SENTENCE) or word_end(
                    window, MAX_SENTENCE, last=MAX_SENTENCE
                )
                end = end or MAX_SENTENCE
            if end is None and not block.ends:
                break
            sentence, rest = rest[:end], rest[len(rest) if end is None else end :].lstrip()
            yield SanitizedSentence(sentence.strip(), block.ends and block.line and not rest)


def clause_end(text: str, near: int, *, last: int | None = None) -> int | None:
    """End of the clause that ends nearest to `near` and not after `last`; None where there is no clause to cut at."""
    return _nearest(_CLAUSE, text, near, last)


def word_end(text: str, near: int, *, last: int | None = None) -> int | None:
    """End of the word that ends nearest to `near` and not after `last`; None for a single word."""
    return _nearest(_SPACE, text, near, last)


def _nearest(boundary: re.Pattern[str], text: str, near: int, last: int | None) -> int | None:
    links = _links(text)
    latest = len(text) - 1 if last is None else last
    ends = (match.end() for match in boundary.finditer(text))
    usable = [end for end in ends if end <= latest and not _inside(links, end)]
    return min(usable, key=lambda end: abs(end - near), default=None)


def _links(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in LINK.finditer(text)] if "](" in text else []


def _inside(links: list[tuple[int, int]], position: int) -> bool:
    return any(start < position < stop for start, stop in links)


def _sentence_end(text: str) -> int | None:
    """End of the first sentence, None where it is longer than MAX_SENTENCE characters."""
    return next(sentence_ends(text, MAX_SENTENCE + 1), None)


def sentence_ends(text: str, last: int) -> Iterator[int]:
    """Ends of the sentences in the first `last` characters, after their quotes and brackets."""
    links = _links(text)
    for match in _END.finditer(text, 0, last):
        if not _inside(links, match.end()) and not _continues(text, match):
            yield match.end()


def _continues(text: str, match: re.Match[str]) -> bool:
    """Whether the sentence goes on after a mark that could end it."""
    mark, dot = match[0], match.start()
    following = text[match.end() :].lstrip("\"“'( ")[:1]
    if mark[0] != ".":
        return following.islower() and (mark[0] == "…" or mark[-1] in "\"”')")
    start = max(text.rfind(" ", 0, dot), text.rfind("\n", 0, dot)) + 1
    written = text[start:dot].lstrip("(\"“'[")
    word = written.lower()
    if word in NUMBERED:
        return _NUMBER.match(text, match.end()) is not None or following.islower()
    if word in _NEVER or written in _DATES or (len(word) == 1 and word.isalpha() and word != "i"):
        return True
    if word in _SOMETIMES or _DOTTED.fullmatch(word):
        return not following.isupper()
    if start == 0 and word.isdigit() and len(word) <= LIST_DIGITS:
        return True
    return following.islower()


def _blocks(text: str) -> Iterator[_Block]:
    """Stretches of at most one line and at most BLOCK characters."""
    position, glued = 0, False
    while position < len(text):
        newline = text.find("\n", position, position + BLOCK)
        if newline >= 0:
            line = text[position:newline]
            following = text[newline + 1 : newline + 80].lstrip(" \t\r")
            ends = not following or following[0] == "\n" or len(line) < SHORT_LINE
            yield _Block(line, glued, ends, True)
            position, glued = newline + 1, False
            continue
        stop = min(len(text), position + BLOCK)
        space = text.rfind(" ", position + 1, stop)
        if stop < len(text) and space > position:
            stop = space
        yield _Block(text[position:stop], glued, stop == len(text), False)
        glued = stop < len(text) and not text[stop].isspace()
        position = stop
