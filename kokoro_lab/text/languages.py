"""The nine languages that Kokoro-82M's voices speak."""

from __future__ import annotations

import re

from kokoro_lab.errors import LanguageError

__all__ = ["LANGUAGES", "canonical_language", "language_of_voice"]

LANGUAGES = {
    "a": "en-us",
    "b": "en-gb",
    "e": "es",
    "f": "fr-fr",
    "h": "hi",
    "i": "it",
    "j": "ja",
    "p": "pt-br",
    "z": "zh",
}
"""First letter of a voice's name -> the language that the voice speaks."""

_ALIASES = {
    "en": "en-us",
    "english": "en-us",
    "en-uk": "en-gb",
    "es-es": "es",
    "es-mx": "es",
    "es-419": "es",
    "fr": "fr-fr",
    "hi-in": "hi",
    "it-it": "it",
    "ja-jp": "ja",
    "jp": "ja",
    "pt": "pt-br",
    "cmn": "zh",
    "zh-cn": "zh",
    "zh-hans": "zh",
}
_VOICE = re.compile(r"([abefhijpz])[fm]_")


def canonical_language(name: str) -> str:
    """The canonical code of a language name: "en" and "a" are "en-us", "PT_BR" is "pt-br".

    Raises LanguageError for a language that no voice speaks.
    """
    wanted = name.strip().lower().replace("_", "-")
    wanted = LANGUAGES.get(wanted, _ALIASES.get(wanted, wanted))
    if wanted not in LANGUAGES.values():
        raise LanguageError(f"unknown language {name!r}; choose one of {', '.join(LANGUAGES.values())}")
    return wanted


def language_of_voice(voice: str) -> str | None:
    """The language of a published voice by its first letter ("af_heart" is "en-us"); None for other names."""
    match = _VOICE.match(voice)
    return LANGUAGES[match[1]] if match else None
