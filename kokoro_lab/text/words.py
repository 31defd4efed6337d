"""Result types of phonemization: phonemes, and the words that they belong to with the path each word took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

__all__ = ["Phonemized", "Phonemizer", "Piece", "Word", "WordPath", "assemble"]

WordPath = Literal["user", "lexicon", "rules", "espeak", "graphemes", "package", "punctuation"]
"""How a word got its phonemes. user: the user's lexicon or an inline /ipa/; lexicon: misaki's dictionaries; rules:
misaki's rules (endings, spelling out); espeak: espeak-ng; graphemes: the letters themselves, when all else failed;
package: a G2P package that reads whole sentences (ja, zh)."""


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word or a punctuation mark."""

    text: str
    phonemes: str
    path: WordPath
    start: int = 0
    """Index of its first phoneme in the phonemes of the whole text."""


@dataclass(frozen=True, slots=True)
class Phonemized:
    """The phonemes of a text and its words in order; spaces belong to no word."""

    phonemes: str
    words: tuple[Word, ...]


class Phonemizer(Protocol):
    """Turns normalised text of one language into phonemes."""

    @property
    def lang(self) -> str:
        """The language it phonemizes."""

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text. Raises PhonemizeError."""


class Piece(NamedTuple):
    """A word before it is placed in a Phonemized."""

    text: str
    phonemes: str
    path: WordPath
    spaced: bool
    """Whether a space comes before it."""


def assemble(pieces: Iterable[Piece]) -> Phonemized:
    """Join pieces, with single spaces where requested and none at the ends."""
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
