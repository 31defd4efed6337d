"""Text as it is spoken: clean characters first, then numbers, symbols and abbreviations in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kokoro_lab.errors import EmptyTextError
from kokoro_lab.text.expand import expand
from kokoro_lab.text.lexicon import Lexicon
from kokoro_lab.text.links import LINK
from kokoro_lab.text.sanitize import sanitize, speakable

__all__ = ["LONGEST_WORD", "normalize", "spoken"]

LONGEST_WORD = (
    40  # letters; espeak drops the end of longer words, and misaki's search for known parts grows with the cube
)
MOST_HUMPS = 6  # capitals inside a word: "iPhoneXR" has two; "aBcDeFgHiJkLmN" is not a word
_LONG = re.compile(r"[^\s—]{14,}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINTS = re.compile(r"[-_./']+")
_UNSPACED = frozenset({"ja", "zh"})


def normalize(text: str, lang: str = "en-us") -> str:
    """`text` sanitised and written out in words for `lang`. Raises EmptyTextError when nothing speakable is left."""
    clean = sanitize(text)
    if not speakable(clean):
        raise EmptyTextError("the text has nothing to speak; give it a letter or a digit")
    return spoken(clean, lang)


def spoken(text: str, lang: str, lexicon: Lexicon | None = None) -> str:
    """Sanitised text written out in words for `lang`, which must be canonical.

    Words of the user's lexicon become `[word](/ipa/)` links, and the content of links is left alone. Only English is
    written out here: espeak and the packages for Japanese and Mandarin read numbers themselves. Overlong words are
    broken up.
    """
    if lexicon:
        text = _outside_links(text, lexicon.link)
    if lang in {"en-us", "en-gb"}:
        text = _outside_links(text, lambda part: expand(part, british=lang == "en-gb"))
    return text if lang in _UNSPACED else _outside_links(text, _broken)


def _outside_links(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to all of `text` except its links; the white space around the links stays."""
    if "](" not in text:
        return change(text)
    pieces = []
    position = 0
    for match in LINK.finditer(text):
        pieces += [_core(text[position : match.start()], change), match[0]]
        position = match.end()
    return "".join(pieces) + _core(text[position:], change)


def _core(part: str, change: Callable[[str], str]) -> str:
    core = part.strip()
    if not core:
        return part
    start = part.index(core)
    return part[:start] + change(core) + part[start + len(core) :]


def _broken(text: str) -> str:
    """`text` with spaces inserted into words that are too long or whose case is too mixed to be real words."""
    return _LONG.sub(lambda match: " ".join(_parts(match[0])), text)


def _parts(word: str) -> Iterator[str]:
    """The parts of a long compound; parts that are still too long are cut into stretches."""
    humps = _HUMP.split(word)
    if len(humps) > MOST_HUMPS:
        for hump in humps:
            yield from _parts(hump)
    elif len(word) <= LONGEST_WORD:
        yield word
    else:
        for part in _JOINTS.split(word):
            yield from (part[start : start + LONGEST_WORD] for start in range(0, len(part), LONGEST_WORD))
