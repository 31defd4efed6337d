"""The nine languages of Kokoro-82M's voices."""

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
"""The letter that a voice's name begins with, and the language it speaks."""

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
    """The language that `name` means: "en" and "a" are "en-us", "PT_BR" is "pt-br".

    Raises LanguageError for a language that no voice speaks.
    """
    wanted = name.strip().lower().replace("_", "-")
    wanted = LANGUAGES.get(wanted, _ALIASES.get(wanted, wanted))
    if wanted not in LANGUAGES.values():
        raise LanguageError(f"language {name!r} is not spoken here; use one of {', '.join(LANGUAGES.values())}")
    return wanted


def language_of_voice(voice: str) -> str | None:
    """The language of a published voice, by the letter in front ("af_heart" is "en-us");

    None for names of another form.
    """
    match = _VOICE.match(voice)
    return LANGUAGES[match[1]] if match else None
