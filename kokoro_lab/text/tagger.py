"""English tokens and rule-based Penn Treebank tags: those that misaki looks at.

misaki looks at the tag of articles, "to", "in", "used", capitals that are spelled out, and of words with two
pronunciations (record, live, use, read). Words of the closed classes are listed; words with two pronunciations take
the tag that their neighbours suggest. All other words are untagged, which misaki treats as its default. Where a
statistical tagger is installed, it is better.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Token", "rule_tags", "tokens"]

_TOKEN = re.compile(
    r"(?P<word>(?:'(?=(?:em|tis|twas|til|cause|round|bout|n)\b))?[^\W_]+(?:['.&·\-_/][^\W_]+)*(?:(?<=s)'(?=\s))?)"
    r"|(?P<mark>(?:\.{2,}|[^\w\s]|_))",
    re.IGNORECASE,
)
_BREAK = re.compile(r"[.!?;:…—]")

_CLOSED = {
    "DT": "the a an this that these those each every some any no another either neither",
    "PRP": "i you he she it we they me him us them myself yourself himself herself itself ourselves themselves who",
    "PRP$": "my your his her its our their whose",
    "MD": "can could will would shall should may might must cannot can't won't don't doesn't didn't couldn't wouldn't "
    "shouldn't i'll you'll he'll she'll it'll we'll they'll i'd you'd he'd she'd we'd they'd let's do does did",
    "IN": "in of on at by for from with about into onto over under after before between through during without within "
    "against among across behind beyond near since until upon than as if because although though while",
    "CC": "and or but nor yet",
    "HAVE": "have has had having i've you've we've they've he's she's it's",
    "BE": "am is are was were be been being isn't aren't wasn't weren't i'm you're we're they're get gets got getting",
    "RB": "not never always often usually really also just still only ever already soon now then",
}
_CLASS = {word: tag for tag, words in _CLOSED.items() for word in words.split()}


class Token(NamedTuple):
    """A word or a mark, and the white space that follows it."""

    text: str
    whitespace: str
    is_word: bool


def tokens(text: str) -> list[Token]:
    """Words and punctuation marks of `text`, in order.

    Leading white space belongs to no token; every other character belongs to exactly one token.
    """
    matches = list(_TOKEN.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)][: len(matches)]
    return [
        Token(match[0], " " if end > match.end() else "", match.lastgroup == "word")
        for match, end in zip(matches, ends, strict=True)
    ]


def rule_tags(words: Sequence[Token]) -> list[str]:
    """A tag for each token, "" where no rule applies."""
    shouting = not any(word.text.islower() for word in words if word.is_word)
    return [_tag(words, index, shouting) for index in range(len(words))]


def _tag(words: Sequence[Token], index: int, shouting: bool) -> str:
    word = words[index]
    text, lower = word.text, word.text.lower()
    if not word.is_word:
        return ":" if text in "-–—" else ""
    if text[0].isdigit():
        return "CD"
    if lower == "to":
        return "TO"
    if lower == "used":
        return _used(words, index)
    if not shouting and _capitals(word) and not any(map(_capitals, _neighbours(words, index))):
        return "NNP"
    if lower in {"a", "an", "the"}:
        return "NNP" if text == "A" and index and not _opens(words, index) else "DT"
    if lower in {"in", "by"} and (index + 1 == len(words) or not words[index + 1].is_word):
        return "RB" if lower == "by" else "RP"
    closed = _CLASS.get(lower)
    if closed is not None:
        return {"HAVE": "VBP", "BE": "VBP"}.get(closed, closed)
    return _open_class(words, index)


def _used(words: Sequence[Token], index: int) -> str:
    """Distinguish "used to go" and "was used to the noise" from "was used to close it"."""
    after = [word.text.lower() for word in words[index + 1 : index + 3]]
    accustomed = len(after) == 2 and (after[1].endswith("ing") or _CLASS.get(after[1]) in {"DT", "PRP", "PRP$"})
    return "VBN" if _before(words, index) == "BE" and not accustomed else "VBD"


def _capitals(word: Token) -> bool:
    return len(word.text) > 1 and word.text.isupper() and word.text.isalpha()


def _neighbours(words: Sequence[Token], index: int) -> list[Token]:
    """The words on both sides. Capitals beside other capitals are emphasis; alone they are an acronym."""
    return [*words[max(0, index - 1) : index], *words[index + 1 : index + 2]]


def _open_class(words: Sequence[Token], index: int) -> str:
    """Noun or verb, by the word before: "to record", "a record", "has read", "they live"."""
    before = _before(words, index)
    if before == "RB":
        before = _before(words, index - 1)
    if before in {"TO", "MD"}:
        return "VB"
    if before == "PRP":
        return "VBP"
    if before in {"HAVE", "BE"}:
        return "VBN"
    if before in {"DT", "PRP$", "IN", "CD"}:
        return "NN" if not _before_noun(words, index) else "JJ"
    if _opens(words, index) and _followed_by(words, index, {"DT", "PRP$"}):
        return "VB"
    return ""


def _before(words: Sequence[Token], index: int) -> str:
    """The class of the word before; "" at the beginning of a clause or after an open-class word."""
    if index < 1 or not words[index - 1].is_word:
        return ""
    previous = words[index - 1].text.lower()
    return "TO" if previous == "to" else _CLASS.get(previous, "CD" if previous[0].isdigit() else "")


def _before_noun(words: Sequence[Token], index: int) -> bool:
    """Whether another open-class word follows, so that this word modifies it like an adjective."""
    if index + 1 >= len(words) or not words[index + 1].is_word:
        return False
    following = words[index + 1].text.lower()
    return following not in _CLASS and following != "to" and not following.endswith(("s", "ed", "ly"))


def _followed_by(words: Sequence[Token], index: int, classes: set[str]) -> bool:
    return index + 1 < len(words) and _CLASS.get(words[index + 1].text.lower()) in classes


def _opens(words: Sequence[Token], index: int) -> bool:
    """Whether the token is the first word of its sentence."""
    return not any(word.is_word for word in words[:index]) or bool(_BREAK.search(words[index - 1].text))
