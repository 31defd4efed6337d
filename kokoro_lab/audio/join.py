"""Segments of speech, joined without clicks.

A cut in a waveform is a step, and a step is heard as a click. At every seam the sound before it fades out and the sound
after it fades in, over a raised cosine of 5 ms: a fade longer than one period of a voice's first harmonics would smear
consonants, a shorter fade is audible. Segments do not overlap, so lengths add up exactly, and a stream assembled piece
by piece has the same samples as the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kokoro_lab.errors import SettingError
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["FADE_S", "fade_edges", "join", "silence"]

FADE_S = 0.005  # s
Samples = npt.NDArray[np.float32]


def silence(seconds: float, *, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Zeros, float32[round(seconds * sample_rate)]."""
    return np.zeros(max(0, round(seconds * sample_rate)), dtype=np.float32)


def fade_edges(
    samples: Samples, *, start: bool, end: bool, fade_s: float = FADE_S, sample_rate: int = SAMPLE_RATE
) -> Samples:
    """A copy of float32[S] with its start faded in and its end faded out as requested; the length stays.

    A segment shorter than two fades gets two fades of half its length.
    """
    faded = np.array(samples, dtype=np.float32)
    length = min(round(fade_s * sample_rate), len(faded) // 2)
    if length:
        ramp = _ramp(length)
        if start:
            faded[:length] *= ramp
        if end:
            faded[-length:] *= ramp[::-1]
    return faded


def join(
    segments: Sequence[Samples],
    pauses_s: Sequence[float],
    *,
    fade_s: float = FADE_S,
    sample_rate: int = SAMPLE_RATE,
) -> Samples:
    """One signal, float32[sum of segments and pauses]: each segment is followed by its pause in seconds.

    `pauses_s` has as many numbers as there are segments, or one fewer (no pause after the last). The outer ends are not
    faded, so a single segment comes back unchanged. Raises SettingError when the counts do not match or a pause is
    negative.
    """
    if len(pauses_s) not in (len(segments), max(0, len(segments) - 1)):
        raise SettingError(
            f"{len(segments)} segments cannot have {len(pauses_s)} pauses; give a pause per segment, or one fewer"
        )
    if any(not 0.0 <= pause < float("inf") for pause in pauses_s):
        raise SettingError("a pause is negative or not finite; give seconds, 0 or more")
    last = len(segments) - 1
    pieces: list[Samples] = []
    for index, segment in enumerate(segments):
        pieces.append(fade_edges(segment, start=index > 0, end=index < last, fade_s=fade_s, sample_rate=sample_rate))
        if index < len(pauses_s):
            pieces.append(silence(pauses_s[index], sample_rate=sample_rate))
    return np.concatenate(pieces) if pieces else silence(0.0)


@lru_cache(maxsize=8)
def _ramp(length: int) -> Samples:
    """A raised cosine from just above 0 to just below 1, float32[length]."""
    phase = (np.arange(length) + 0.5) / length
    ramp = (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)
    ramp.setflags(write=False)
    return ramp
