"""When each phoneme and each word is heard, from the durations that the model gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.errors import InferenceError

if TYPE_CHECKING:
    from kokoro_lab.engine.speech import SpokenSegment

__all__ = ["FRAME_SAMPLES", "PhonemeTime", "WordTime", "phoneme_times", "word_times"]

FRAME_SAMPLES = 600  # samples of one duration frame, 25 ms


@dataclass(frozen=True)
class PhonemeTime:
    """One phoneme symbol (a space or a mark of punctuation too) and when it is heard."""

    phoneme: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class WordTime:
    """One word, or mark of punctuation, and when it is heard."""

    text: str
    phonemes: str
    start_s: float
    end_s: float
    segment: int
    """Number of the segment it belongs to."""


def phoneme_times(segments: Sequence[SpokenSegment]) -> tuple[PhonemeTime, ...]:
    """Seconds from the beginning of the speech, in steps of 25 ms. InferenceError when the model gives no durations."""
    times = []
    for spoken in segments:
        edges = _edges(spoken)
        times += [
            PhonemeTime(symbol, float(edges[at]), float(edges[at + 1]))
            for at, symbol in enumerate(spoken.segment.phonemes)
        ]
    return tuple(times)


def word_times(segments: Sequence[SpokenSegment]) -> tuple[WordTime, ...]:
    """Seconds from the beginning of the speech; a word without phonemes is left out."""
    times = []
    for number, spoken in enumerate(segments):
        edges = _edges(spoken)
        for word in spoken.segment.words:
            if word.phonemes:
                start, end = edges[word.start], edges[word.start + len(word.phonemes)]
                times.append(WordTime(word.text, word.phonemes, float(start), float(end), number))
    return tuple(times)


def _edges(spoken: SpokenSegment) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Where each phoneme token begins, and where the last one ends, in seconds: float64 [tokens + 1]."""
    if spoken.durations is None:
        raise InferenceError("this model file gives no durations, and so no times; use one that does")
    ends = np.cumsum(spoken.durations, dtype=np.int64)[:-1]
    return np.asarray(np.maximum(spoken.start + ends * FRAME_SAMPLES, 0) / SAMPLE_RATE, np.float64)
