"""A rule of writing out: a pattern, and what a match becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

__all__ = ["Rule", "apply", "rule"]


class Rule(NamedTuple):
    """Every match of `pattern` is replaced by `words(match, british)`."""

    pattern: re.Pattern[str]
    words: Callable[[re.Match[str], bool], str]


def rule(pattern: str, words: Callable[[re.Match[str], bool], str], flags: int = 0) -> Rule:
    """A rule from the text of its pattern."""
    return Rule(re.compile(pattern, flags), words)


def apply(rules: Iterable[Rule], text: str, *, british: bool) -> str:
    """`text` after each rule in turn."""
    for pattern, words in rules:
        text = pattern.sub(partial(_replaced, words, british), text)
    return text


def _replaced(words: Callable[[re.Match[str], bool], str], british: bool, match: re.Match[str]) -> str:
    return words(match, british)
