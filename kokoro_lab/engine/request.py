"""A caller's request, checked before any work is done."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from kokoro_lab.engine.audio_cache import RenderedKey
from kokoro_lab.engine.config import SPEED_RANGE
from kokoro_lab.errors import EmptyTextError, SettingError
from kokoro_lab.field_checks import shown
from kokoro_lab.models.voices import Voice
from kokoro_lab.text.phonemize import canonical_language, language_of_voice

__all__ = ["SpeechRequest", "check", "key_of", "within_range"]

FALLBACK_LANGUAGE = "en-us"  # language of a voice whose name does not give it
SEED_LIMIT = 2**63  # the model's seed is an int64


@dataclass(frozen=True)
class SpeechRequest:
    """A call of the engine."""

    text: str
    voice: Voice
    speed: float
    lang: str
    seed: int


def check(
    text: str, voice: Callable[[str], Voice], name: str, speed: float, lang: str | None, seed: int
) -> SpeechRequest:
    """The checked request; an InputError names the mistake.

    voice: loads a voice by name. lang: None takes the voice's own language, by the first letter of its name.
    """
    if not isinstance(text, str):
        raise SettingError(f"the text has the type {type(text).__name__}; give a str")
    if not text.strip():
        raise EmptyTextError("the text has nothing to speak; give it a letter or a digit")
    low, high = SPEED_RANGE
    try:
        factor = float(speed)
    except (TypeError, ValueError):
        raise SettingError(f"the speed is {shown(speed)}; use a number from {low} to {high}") from None
    if not (math.isfinite(factor) and low <= factor <= high):
        raise SettingError(f"the speed is {shown(speed)}; use {low} to {high}")
    try:
        number = operator.index(seed)
    except TypeError:
        raise SettingError(f"the seed is {shown(seed)}; use a whole number") from None
    if not -SEED_LIMIT <= number < SEED_LIMIT:
        raise SettingError(f"the seed is {seed}; use a seed that fits into 64 bits")
    loaded = voice(name)
    language = canonical_language(lang) if lang is not None else language_of_voice(loaded.name) or FALLBACK_LANGUAGE
    return SpeechRequest(text, loaded, factor, language, number)


def key_of(request: SpeechRequest) -> RenderedKey:
    """The key of the whole text in the audio cache."""
    return RenderedKey((request.text,), request.voice.sha256, request.speed, request.lang, request.seed)


def within_range(speed: float) -> float:
    """The nearest speed that the model supports: markup may request more on top of the call's speed."""
    low, high = SPEED_RANGE
    return min(max(speed, low), high)
