"""Character cleaning: turns any input into text as a reader of the language would type it.

Curly apostrophes and CJK punctuation make dictionaries miss words that they contain; control characters, lone
surrogates and variation selectors crash phonemizers. Emoji are not read aloud.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["sanitize", "speakable", "stretches"]

MOST_MARKS = 30
"""Combining marks kept in a row: no language needs more (Stream-Safe Text Format, Unicode Standard Annex #15), and the
time of normalization grows with the square of a run."""

_REPLACED = {
    "‘": "'", "’": "'", "‚": ",", "‛": "'", "′": "'", "ʼ": "'", "`": "'", "´": "'", "＇": "'",
    "„": "“", "‟": "“", "″": "”", "«": "“", "»": "”", "‹": "“", "›": "”", "＂": '"',
    "「": " “", "」": "” ", "『": " “", "』": "” ", "《": " “", "》": "” ", "〈": " “", "〉": "” ",
    "【": " (", "】": ") ", "〔": " (", "〕": ") ", "（": " (", "）": ") ", "［": " (", "］": ") ",
    "、": ", ", "，": ", ", "。": ". ", "｡": ". ", "．": ".", "！": "! ", "？": "? ", "：": ": ", "；": "; ",
    "।": ". ", "॥": ". ", "‥": "…", "⋯": "…", "・": " ", "·": " ", "•": " ", "〜": "—", "～": "—",
    "‐": "-", "‑": "-", "‒": "-", "―": "—", "﹣": "-", "－": "-", "−": "-", "⁃": "-",
    "\u2028": "\n", "\u2029": "\n\n", "\u0085": "\n", "\x0b": "\n", "\x0c": "\n", "\r": "\n", "\t": " ",
    "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "￥": "¥", "￡": "£",
}  # fmt: skip
_JOINERS = frozenset("\u200c\u200d")  # they shape conjuncts in Indic scripts, and emoji elsewhere
_SPACES = re.compile(r"[^\S\n]+")
_REPEATS = re.compile(r"([!?,;:])\1{2,}|\.{3,}|(?:\. ){2,}\.")
_INDIC = re.compile(r"[\u0900-\u0dff]")


def sanitize(text: str) -> str:
    """`text` with plain quotes, ASCII or CJK-free punctuation, no control characters, no emoji and single spaces.

    Letters and digits of every script stay (full-width ones become ordinary), and so do line breaks.
    """
    text = _few_marks(unicodedata.normalize("NFC", _few_marks(text)))
    keep_joiners = _INDIC.search(text) is not None
    pieces = [c if c in _JOINERS and keep_joiners else _character(c) for c in text.replace("\r\n", "\n")]
    text = _REPEATS.sub(lambda match: match[1] or "…", "".join(pieces))
    return _SPACES.sub(" ", text).strip(" ")


def speakable(text: str) -> bool:
    """Whether `text` has a letter, a digit or a named symbol: something that a voice can say."""
    return any(character.isalnum() or character in "%&+@=€£$¥₹°½¼¾<>#" for character in text)


def stretches(text: str, most: int) -> Iterator[str]:
    """`text` in consecutive stretches of at most `most` characters, each cut after white space where there is any."""
    start = 0
    while len(text) - start > most:
        stop = start + most
        cut = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop)) + 1
        yield text[start : cut if cut > start else stop]
        start = cut if cut > start else stop
    if start < len(text):
        yield text[start:]


def _few_marks(text: str) -> str:
    """`text` without the combining marks beyond the first MOST_MARKS of each run."""
    if text.isascii() or not any(map(unicodedata.combining, text)):
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=4_096)
def _character(character: str) -> str:
    """The replacement of a single character."""
    if character in _REPLACED:
        return _REPLACED[character]
    if character == "\n" or " " <= character <= "~":
        return character
    category = unicodedata.category(character)
    if category in {"Cc", "Cf", "Cs", "Co", "Cn", "So", "Sk"}:
        return "" if category in {"Cf", "Cs"} or "\ufe00" <= character <= "\ufe0f" else _symbol(character)
    if category in {"Zs", "Zl", "Zp"}:
        return " "
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return ""
    if "\uff01" <= character <= "\uff5e":
        return unicodedata.normalize("NFKC", character)
    return character


def _symbol(character: str) -> str:
    """Keep symbols with a spoken name; replace pictures and private-use characters by a space."""
    return character if character in "°©®™№" else " "
