"""The user's lexicon: pronunciations of words that no dictionary has, or that should differ from the dictionary's.

A lexicon is a text file with one word a line: the word, white space, its phonemes in IPA; `#` begins a comment. An
entry in small letters matches the word in any capitalization; an entry with a capital matches only that spelling.
A word has one pronunciation; the file is UTF-8 text. data/lexicon/<language>.txt comes with the project; entries of the
user's own file take precedence.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from kokoro_lab.errors import InputError
from kokoro_lab.files.reading import read_text
from kokoro_lab.paths import data_folder

__all__ = ["Lexicon", "load_lexicon", "project_lexicon"]

MOST_BYTES = 8 << 20
MOST_ENTRIES = 100_000
LONGEST_WORD = 100  # characters
SHOWN_CHARACTERS = 80  # of a wrong line in a message
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, format, private and unassigned characters

_WORD = re.compile(r"[^\W_]+(?:['.&-][^\W_]+)*")
_PHONEMES = re.compile(r"[^/()\[\]\n]{1,200}")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and their phonemes; false when it is empty."""

    entries: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def phonemes(self, word: str) -> str | None:
        """The phonemes of a word, None where the lexicon lacks it."""
        return self.entries.get(word) or self.entries.get(word.lower())

    def link(self, text: str) -> str:
        """`text` with each word of the lexicon replaced by a `[word](/ipa/)` link. A possessive keeps its ending."""
        return _WORD.sub(self._linked, text)

    def over(self, other: Lexicon) -> Lexicon:
        """This lexicon, with the entries that only the other has added."""
        return Lexicon({**other.entries, **self.entries})

    def _linked(self, match: re.Match[str]) -> str:
        word, ending = match[0], ""
        ipa = self.phonemes(word)
        if ipa is None and word.endswith("'s"):
            word, ending = word[:-2], "z"
            ipa = self.phonemes(word)
        return match[0] if ipa is None else f"[{match[0]}](/{ipa}{ending}/)"


def load_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon file, UTF-8 text of at most MOST_BYTES with at most MOST_ENTRIES words.

    Raises InputError with the number of the first line that is malformed, or that gives a word other phonemes than an
    earlier line.
    """
    entries: dict[str, str] = {}
    text = read_text(Path(path), what="lexicon", most=MOST_BYTES)
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        word, _, ipa = entry.partition(" ") if "\t" not in entry else entry.partition("\t")
        word, ipa = word.strip(), ipa.strip().strip("/")
        if not _sound(word, ipa):
            raise InputError(
                f"line {number} of the lexicon {path} is malformed: {_shown(line)}; "
                "write a word and its phonemes in IPA"
            )
        word = unicodedata.normalize("NFC", word)
        if entries.setdefault(word, ipa) != ipa:
            raise InputError(
                f"line {number} of the lexicon {path} gives {word!r} other phonemes than an earlier line; remove one"
            )
        if len(entries) > MOST_ENTRIES:
            raise InputError(f"the lexicon {path} has more than {MOST_ENTRIES:,} words; remove some")
    return Lexicon(entries)


def _sound(word: str, ipa: str) -> bool:
    """Whether an entry has the form of one, without characters that only control how text is shown."""
    return (
        len(word) <= LONGEST_WORD
        and _WORD.fullmatch(unicodedata.normalize("NFC", word)) is not None
        and _PHONEMES.fullmatch(ipa) is not None
        and not any(unicodedata.category(character) in UNSEEN for character in ipa)
    )


def _shown(line: str) -> str:
    words = repr(line.strip())
    return words if len(words) <= SHOWN_CHARACTERS else f"{words[:SHOWN_CHARACTERS]}..."


@lru_cache(maxsize=16)
def project_lexicon(lang: str) -> Lexicon:
    """The project's lexicon (data/lexicon) of a canonical language; empty for a language that has none."""
    path = data_folder() / "lexicon" / f"{lang}.txt"
    return load_lexicon(path) if path.is_file() else Lexicon()
