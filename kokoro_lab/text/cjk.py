"""Japanese and Mandarin phonemization by misaki's optional packages.

Words in Latin letters are phonemized as English, because misaki would pass their letters on as if they were phonemes.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

from kokoro_lab.errors import LanguageError, PhonemizeError
from kokoro_lab.process.forks import after_fork
from kokoro_lab.text.english import EnglishPhonemizer
from kokoro_lab.text.links import spans
from kokoro_lab.text.words import Phonemized, Piece, assemble

__all__ = ["CjkPhonemizer"]

_LATIN = re.compile(r"([A-Za-z]+(?:['’ -][A-Za-z]+)*)")


class CjkPhonemizer:
    """Phonemizer of "ja" or "zh": works on whole stretches of text, since these scripts put no spaces between words."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._renew()
        after_fork(self, type(self)._renew)
        self._english = EnglishPhonemizer("en-us")
        try:
            if lang == "ja":
                from misaki.ja import JAG2P

                self._g2p: Any = JAG2P()
            else:
                from misaki.zh import ZHG2P

                self._g2p = ZHG2P()
        except ImportError as error:
            name = {"ja": "Japanese", "zh": "Mandarin"}[lang]
            extra = "" if lang == "zh" else ", and unidic-lite for its dictionary"
            raise LanguageError(
                f"{name} needs the package {error.name}; pip install 'misaki[{lang}]'{extra}"
            ) from error
        except RuntimeError as error:  # raised by fugashi: unidic is installed without its dictionary
            raise LanguageError(
                "Japanese needs a dictionary; pip install unidic-lite and pip uninstall unidic, or run "
                "`python -m unidic download`"
            ) from error
        logging.getLogger("jieba").setLevel(logging.WARNING)  # its INFO messages go to standard error

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def phonemize(self, text: str) -> Phonemized:
        """Phonemes of normalised text. Raises PhonemizeError."""
        return assemble(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[Piece]:
        for span in spans(text):
            if span.ipa is not None:
                yield Piece(span.text, span.ipa, "user", False)
                continue
            for index, part in enumerate(_LATIN.split(span.text)):
                if index % 2:
                    words = self._english.phonemize(part).words
                    yield from (Piece(word.text, word.phonemes, word.path, True) for word in words)
                elif part.strip():
                    yield Piece(part, self._phonemes(part.strip()), "package", part[0].isspace() or index > 0)

    def _phonemes(self, text: str) -> str:
        try:
            with self._lock:
                phonemes, _ = self._g2p(text)
        except Exception as error:  # these packages let any exception of their dictionaries through
            raise PhonemizeError(
                f"cannot phonemize {self.lang} text {text[:40]!r}: {error!r}; check the text or reinstall misaki"
            ) from error
        return str(phonemes).strip()
