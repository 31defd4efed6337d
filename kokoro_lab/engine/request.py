"""What a caller asks for, checked before any work is done."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from kokoro_lab.engine.config import SPEED_RANGE
from kokoro_lab.engine.rendered import RenderedKey
from kokoro_lab.errors import EmptyTextError, SettingError
from kokoro_lab.models.voices import Voice
from kokoro_lab.text.phonemize import canonical_language, language_of_voice

__all__ = ["Request", "check", "key_of", "within_range"]

FALLBACK_LANGUAGE = "en-us"  # of a voice whose name does not say its language
SEED_LIMIT = 2**63  # the model's seed is an int64


@dataclass(frozen=True)
class Request:
    """One call of the engine."""

    text: str
    voice: Voice
    speed: float
    lang: str
    seed: int


def check(text: str, voice: Callable[[str], Voice], name: str, speed: float, lang: str | None, seed: int) -> Request:
    """The request, or an InputError that says what is wrong with it.

    voice: loads a voice by name. lang: None takes the voice's own language, by the first letter of its name.
    """
    if not isinstance(text, str):
        raise SettingError(f"the text is of type {type(text).__name__}; give a str")
    if not text.strip():
        raise EmptyTextError("there is nothing to speak in the text; give it a letter or a digit")
    low, high = SPEED_RANGE
    try:
        factor = float(speed)
    except (TypeError, ValueError):
        raise SettingError(f"the speed is {speed!r}; use a number from {low} to {high}") from None
    if not (math.isfinite(factor) and low <= factor <= high):
        raise SettingError(f"the speed is {speed!r}; use {low} to {high}")
    try:
        number = operator.index(seed)
    except TypeError:
        raise SettingError(f"the seed is {seed!r}; use a whole number") from None
    if not -SEED_LIMIT <= number < SEED_LIMIT:
        raise SettingError(f"the seed is {seed}; use one that fits into 64 bits")
    loaded = voice(name)
    language = canonical_language(lang) if lang is not None else language_of_voice(loaded.name) or FALLBACK_LANGUAGE
    return Request(text, loaded, factor, language, number)


def key_of(request: Request) -> RenderedKey:
    """Under which the whole text is kept in the audio cache."""
    return RenderedKey((request.text,), request.voice.sha256, request.speed, request.lang, request.seed)


def within_range(speed: float) -> float:
    """The nearest speed that the model can speak at: markup may ask for more on top of the call's."""
    low, high = SPEED_RANGE
    return min(max(speed, low), high)
