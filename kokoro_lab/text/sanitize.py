"""Characters: whatever comes in leaves as text that a reader of the language would type.

Curly apostrophes and CJK punctuation are what makes dictionaries miss words that they hold; control characters, lone
surrogates and variation selectors are what makes phonemizers crash. Emoji are not read aloud.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["sanitize", "speakable"]

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
    text = unicodedata.normalize("NFC", text)
    keep_joiners = _INDIC.search(text) is not None
    pieces = [c if c in _JOINERS and keep_joiners else _character(c) for c in text.replace("\r\n", "\n")]
    text = _REPEATS.sub(lambda match: match[1] or "…", "".join(pieces))
    return _SPACES.sub(" ", text).strip(" ")


def speakable(text: str) -> bool:
    """Whether there is a letter, a digit or a sign with a name in `text`: something that a voice can say."""
    return any(character.isalnum() or character in "%&+@=€£$¥₹°½¼¾<>#" for character in text)


@lru_cache(maxsize=4_096)
def _character(character: str) -> str:
    """What one character becomes."""
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
    """Signs with a spoken name are kept; pictures and private characters are a gap between words."""
    return character if character in "°©®™№" else " "
