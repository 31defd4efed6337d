"""espeak-ng, from the library and data that the wheel espeakng_loader carries.

espeak keeps its state in globals. Each `Espeak` therefore has a copy of the library of its own (phonemizer sees to
that) and a lock, without which phonemes of two threads mix.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from kokoro_lab.errors import LanguageError, PhonemizeError
from kokoro_lab.text.links import spans
from kokoro_lab.text.words import Phonemized, Piece, assemble

__all__ = ["VOICES", "Espeak", "EspeakPhonemizer", "espeak"]

VOICES = {"en-us": "en-us", "en-gb": "en-gb", "es": "es", "fr-fr": "fr-fr", "hi": "hi", "it": "it", "pt-br": "pt-br"}
"""Languages that espeak phonemises here, and its names for them."""

_FLAGS = re.compile(r"\([a-z]{2,3}(?:-[a-z0-9]+)*\)")  # espeak announces a switch of language: (en)ˈɛlm(de)
_MARKS = re.compile(r"(?<![^\W_])[;:,.]+|[;:,.]+(?![^\W_])|[!?—…\"“”()]+")  # not the dot of 3.5 or the colon of 12:30
_SYMBOLS = {
    "a͡ɪ": "I",
    "a͡ʊ": "W",
    "d͡z": "ʣ",
    "d͡ʒ": "ʤ",
    "e͡ɪ": "A",
    "o͡ʊ": "O",
    "ə͡ʊ": "Q",
    "s͡s": "S",
    "t͡s": "ʦ",
    "t͡ʃ": "ʧ",
    "ɔ͡ɪ": "Y",
}
"""Pairs that are one symbol for the model: the table of misaki's EspeakG2P, with which the voices were trained."""


class Espeak:
    """One espeak voice: text to IPA with ties and stress, safe to call from any thread."""

    def __init__(self, voice: str) -> None:
        try:
            import espeakng_loader
            from phonemizer.backend.espeak.wrapper import EspeakWrapper
        except ImportError as error:
            raise LanguageError(f"phonemising {voice} needs the package {error.name}; install it") from error
        self.voice = voice
        self._lock = threading.Lock()
        try:
            EspeakWrapper.set_library(espeakng_loader.get_library_path())
            EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
            self._wrapper: Any = EspeakWrapper()
            self._wrapper.set_voice(voice)
        except (RuntimeError, OSError) as error:
            raise PhonemizeError(f"espeak-ng did not start with voice {voice}: {error}") from error

    def ipa(self, text: str) -> str:
        """IPA of one stretch of text without punctuation:

        words apart by single spaces, ties U+0361. Raises PhonemizeError.
        """
        try:
            with self._lock:
                phonemes: str = self._wrapper.text_to_phonemes(text, True)
        except (RuntimeError, ValueError) as error:
            raise PhonemizeError(f"espeak-ng could not phonemise {text[:40]!r}: {error}") from error
        return " ".join(_FLAGS.sub("", phonemes.replace("_", "")).split())


@lru_cache(maxsize=16)
def espeak(voice: str) -> Espeak:
    """The process's espeak for that voice, started on first use (about 20 ms)."""
    return Espeak(voice)


class EspeakPhonemizer:
    """A language phonemised by espeak, in the symbols that the voices were trained with."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._espeak = espeak(VOICES[lang])

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text; punctuation stays where it is. Raises PhonemizeError."""
        return assemble(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[Piece]:
        spaced = False
        for span in spans(text):
            if span.ipa is not None:
                yield Piece(span.text, _symbols(span.ipa).replace(".", ""), "user", spaced)
                spaced = span.text[-1:].isspace()
                continue
            position = 0
            for mark in _MARKS.finditer(span.text):
                before = span.text[position : mark.start()]
                yield from self._words(before, spaced)
                yield Piece(mark[0], mark[0], "punctuation", before[-1:].isspace() or (spaced and not before))
                spaced = False
                position = mark.end()
            rest = span.text[position:]
            yield from self._words(rest, spaced)
            spaced = rest[-1:].isspace() or (spaced and not rest)

    def _words(self, part: str, spaced: bool) -> Iterator[Piece]:
        """The words of a stretch without punctuation;

        one piece for all of it where espeak joins words or splits them.
        """
        source = part.split()
        if not source:
            return
        phonemes = _symbols(self._espeak.ipa(" ".join(source))).split(" ")
        spaced = spaced or part[0].isspace()
        if len(phonemes) != len(source):
            yield Piece(" ".join(source), " ".join(phonemes), "espeak", spaced)
            return
        for index, (word, symbols) in enumerate(zip(source, phonemes, strict=True)):
            yield Piece(word, symbols, "espeak", spaced or index > 0)


def _symbols(ipa: str) -> str:
    """IPA with ties, in the symbols of the model."""
    for pair, symbol in _SYMBOLS.items():
        ipa = ipa.replace(pair, symbol)
    return ipa.replace("\u0361", "").replace("-", "")
