"""The user's lexicon: how words are to be pronounced that no dictionary knows, or knows differently.

A lexicon is a text file, one word a line: the word, white space, its phonemes in IPA; `#` begins a comment. A word
written in small letters is found however the text writes it; one with a capital only as it is written.
data/lexicon/<language>.txt comes with the project; a file of the user's own is laid over it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from kokoro_lab.errors import InputError

__all__ = ["LEXICONS", "Lexicon", "load_lexicon", "project_lexicon"]

LEXICONS = Path(__file__).resolve().parents[2] / "data" / "lexicon"
_WORD = re.compile(r"[^\W_]+(?:['.&-][^\W_]+)*")
_PHONEMES = re.compile(r"[^/()\[\]\n]{1,200}")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and their phonemes; false when it holds none."""

    entries: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def phonemes(self, word: str) -> str | None:
        """What the lexicon says of a word, if anything."""
        return self.entries.get(word) or self.entries.get(word.lower())

    def link(self, text: str) -> str:
        """`text` with every word that the lexicon holds made a `[word](/ipa/)` link. A possessive keeps its ending."""
        return _WORD.sub(self._linked, text)

    def over(self, other: Lexicon) -> Lexicon:
        """This lexicon, and what it does not say from the other."""
        return Lexicon({**other.entries, **self.entries})

    def _linked(self, match: re.Match[str]) -> str:
        word, ending = match[0], ""
        ipa = self.phonemes(word)
        if ipa is None and word.endswith("'s"):
            word, ending = word[:-2], "z"
            ipa = self.phonemes(word)
        return match[0] if ipa is None else f"[{match[0]}](/{ipa}{ending}/)"


def load_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon file. Raises InputError with the number of the first line that is no entry."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the lexicon {path} cannot be read: {error}") from error
    entries = {}
    for number, line in enumerate(lines, 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        word, _, ipa = entry.partition(" ") if "\t" not in entry else entry.partition("\t")
        ipa = ipa.strip().strip("/")
        if not (_WORD.fullmatch(word) and _PHONEMES.fullmatch(ipa)):
            raise InputError(f"line {number} of the lexicon {path} is not a word and its phonemes: {line.strip()!r}")
        entries[word] = ipa
    return Lexicon(entries)


@lru_cache(maxsize=16)
def project_lexicon(lang: str) -> Lexicon:
    """The lexicon in data/lexicon for a canonical language; an empty one where there is none."""
    path = LEXICONS / f"{lang}.txt"
    return load_lexicon(path) if path.is_file() else Lexicon()
