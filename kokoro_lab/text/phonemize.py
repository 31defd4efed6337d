"""The phonemizer of each language; an error names the package that a language is missing."""

from __future__ import annotations

from functools import lru_cache

from kokoro_lab.text.cjk import CjkPhonemizer
from kokoro_lab.text.english import EnglishPhonemizer
from kokoro_lab.text.espeak import EspeakPhonemizer
from kokoro_lab.text.languages import LANGUAGES, canonical_language, language_of_voice
from kokoro_lab.text.words import Phonemized, Phonemizer, Word, WordPath

__all__ = [
    "LANGUAGES",
    "Phonemized",
    "Phonemizer",
    "Word",
    "WordPath",
    "canonical_language",
    "language_of_voice",
    "phonemizer_for",
]


def phonemizer_for(lang: str) -> Phonemizer:
    """The phonemizer of a language, loaded once a process.

    Raises LanguageError for a language that no voice speaks, and when a package it needs is not installed.
    """
    return _phonemizer(canonical_language(lang))


@lru_cache(maxsize=len(LANGUAGES))
def _phonemizer(lang: str) -> Phonemizer:
    if lang in {"en-us", "en-gb"}:
        return EnglishPhonemizer(lang)
    if lang in {"ja", "zh"}:
        return CjkPhonemizer(lang)
    return EspeakPhonemizer(lang)
