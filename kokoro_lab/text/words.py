"""What phonemizing gives: phonemes, and which word they came from by which path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

__all__ = ["Phonemized", "Phonemizer", "Piece", "Word", "WordPath", "assemble"]

WordPath = Literal["user", "lexicon", "rules", "espeak", "graphemes", "package", "punctuation"]
"""user: the user's lexicon or an inline /ipa/; lexicon: misaki's dictionaries; rules: misaki's rules (endings,
spelling out); espeak: espeak-ng; graphemes: the letters themselves, when all else failed; package: a whole-sentence
G2P package (ja, zh)."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, or one mark of punctuation."""

    text: str
    phonemes: str
    path: WordPath
    start: int = 0
    """Where its phonemes begin in the phonemes of the whole."""


@dataclass(frozen=True, slots=True)
class Phonemized:
    """The phonemes of a text, and its words in order; spaces belong to no word."""

    phonemes: str
    words: tuple[Word, ...]


class Phonemizer(Protocol):
    """Anything that turns normalised text of one language into phonemes."""

    @property
    def lang(self) -> str:
        """The language it phonemises."""

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text. Raises PhonemizeError."""


class Piece(NamedTuple):
    """A word on its way into a Phonemized."""

    text: str
    phonemes: str
    path: WordPath
    spaced: bool
    """Whether a space comes before it."""


def assemble(pieces: Iterable[Piece]) -> Phonemized:
    """Put pieces in a row, with single spaces where they were asked for and none at the ends."""
    phonemes = ""
    words = []
    space = False
    for text, symbols, path, spaced in pieces:
        space = space or spaced
        if symbols:
            phonemes += " " if space and phonemes else ""
            space = False
        words.append(Word(text, symbols, path, len(phonemes)))
        phonemes += symbols
    return Phonemized(phonemes, tuple(words))
