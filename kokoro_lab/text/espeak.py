"""espeak-ng phonemization, with the library and data of the wheel espeakng_loader.

espeak keeps its state in globals. Each `Espeak` therefore loads its own copy of the library (phonemizer sees to that)
and holds a lock; without the lock, phonemes of two threads would mix.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from kokoro_lab.errors import LanguageError, PhonemizeError
from kokoro_lab.process.forks import after_fork
from kokoro_lab.text.links import spans
from kokoro_lab.text.words import Phonemized, Piece, assemble

__all__ = ["VOICES", "Espeak", "EspeakPhonemizer", "espeak"]

VOICES = {"en-us": "en-us", "en-gb": "en-gb", "es": "es", "fr-fr": "fr-fr", "hi": "hi", "it": "it", "pt-br": "pt-br"}
"""Languages phonemized by espeak, with espeak's names for them."""

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
    """One espeak voice: text to IPA with ties and stress marks. Safe to call from any thread."""

    def __init__(self, voice: str) -> None:
        try:
            import espeakng_loader
            from phonemizer.backend.espeak.wrapper import EspeakWrapper
        except ImportError as error:
            raise LanguageError(f"phonemizing {voice} needs the package {error.name}; install it with pip") from error
        self.voice = voice
        self._renew()
        after_fork(self, type(self)._renew)
        try:
            EspeakWrapper.set_library(espeakng_loader.get_library_path())
            EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
            self._wrapper: Any = EspeakWrapper()
            self._wrapper.set_voice(voice)
        except (RuntimeError, OSError) as error:
            raise PhonemizeError(
                f"cannot start espeak-ng with voice {voice}: {error}; reinstall espeakng_loader"
            ) from error

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def ipa(self, text: str) -> str:
        """IPA of a stretch of text without punctuation: words separated by single spaces, ties as U+0361.

        Raises PhonemizeError.
        """
        try:
            with self._lock:
                phonemes: str = self._wrapper.text_to_phonemes(text, True)
        except (RuntimeError, ValueError) as error:
            raise PhonemizeError(f"espeak-ng cannot phonemize {text[:40]!r}: {error}; check the text") from error
        return " ".join(_FLAGS.sub("", phonemes.replace("_", "")).split())


@lru_cache(maxsize=16)
def espeak(voice: str) -> Espeak:
    """The process's espeak for a voice, started on first use (about 20 ms)."""
    return Espeak(voice)


class EspeakPhonemizer:
    """A language phonemized by espeak, in the symbols that the voices were trained with."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._espeak = espeak(VOICES[lang])

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text; punctuation keeps its place. Raises PhonemizeError."""
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
        """The words of a stretch without punctuation; a single piece where espeak joins or splits words."""
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
    """IPA with ties, in the model's symbols."""
    for pair, symbol in _SYMBOLS.items():
        ipa = ipa.replace(pair, symbol)
    return ipa.replace("\u0361", "").replace("-", "")
