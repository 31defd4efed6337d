"""Rewriting rules: a pattern, and the words that replace a match."""

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
    """A rule, compiled from its pattern."""
    return Rule(re.compile(pattern, flags), words)


def apply(rules: Iterable[Rule], text: str, *, british: bool) -> str:
    """`text` after applying the rules in order."""
    for pattern, words in rules:
        text = pattern.sub(partial(_replaced, words, british), text)
    return text


def _replaced(words: Callable[[re.Match[str], bool], str], british: bool, match: re.Match[str]) -> str:
    return words(match, british)
