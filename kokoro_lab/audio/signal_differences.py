"""Where and by how much a rendering differs from another one: figures of the worst place beside the mean.

A mean over an utterance hides what happens to a tenth of it, so every figure but the mean is that of the place where it
is worst, with its time. Only numpy is used; both signals are looked at in frames of 300 samples (12.5 ms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.spectrogram import HOP, frame_count, frame_distances, log_mel
from kokoro_lab.audio.speech_distance import f0_track, pitch_distance
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["WINDOW_FRAMES", "Differences", "Place", "differences"]

WINDOW_FRAMES = 16  # frames in a window: 200 ms, about a syllable
HIGH_PERCENTILE = 99.0  # of the frames: a second of speech has 80
QUIET_POWER = 1e-6  # -60 dBFS: what is quieter than that counts as this loud
JUMP_SAMPLES = 10  # looked at together for jumps
JUMPS_AROUND = 12  # times 10 samples: 5 ms on both sides
LONE = 6.0  # times what is usual around; calibrated on graphs that only reorder fp32 arithmetic
PITCH_FRAMES = 2  # pitch is looked at every other frame, 25 ms
GROSS = 0.2  # a pitch off by more than this share is another one, as in the gross pitch error of Rabiner et al. (1976)

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """A figure and where it was found."""

    value: float
    at_s: float
    """Start of the window or frame, seconds in the reference."""


@dataclass(frozen=True, slots=True)
class Differences:
    """A candidate compared with its reference."""

    mean_db: float
    """Log-mel distance, averaged over the frames in which at least one of the two sounds, dB."""
    worst_db: Place
    """Log-mel distance of the window of 200 ms where it is largest, dB."""
    frame_db: Place
    """99th percentile of the frames' log-mel distances, dB; the place is that of the largest."""
    level_db: Place
    """Level of the candidate minus the reference's in the window of 200 ms where they differ most, dB."""
    seam: Place
    """Largest lone jump between neighboring samples that the reference does not have, 1.0 is full scale."""
    polarity: Place | None
    """Lowest correlation of the waveforms in a window of 200 ms; None where the lengths differ or nothing sounds."""
    f0_cents: float | None
    """Root mean square difference of pitch over frames voiced in both; None where there are none."""
    voicing_error: float
    """Share of frames that are voiced in only one of the two, or with another pitch altogether (over 20 % off)."""


NOWHERE = Place(0.0, 0.0)
EQUAL = Differences(0.0, NOWHERE, NOWHERE, NOWHERE, NOWHERE, Place(1.0, 0.0), 0.0, 0.0)
"""Of two renderings with the same samples, as most blocks have them: no figure need be computed."""


def differences(reference: Samples, candidate: Samples, alignment: Indices | None = None) -> Differences:
    """Compare float32[S] with float32[S], both finite and at 24 kHz.

    alignment: the candidate's frame for each of the reference's; None where the two are equally long.
    """
    if alignment is None and np.array_equal(reference, candidate):
        return EQUAL
    ours, theirs = log_mel(reference), log_mel(candidate)
    there = np.arange(len(ours)) if alignment is None else alignment
    distance, active = frame_distances(ours, theirs[there])
    pitch_there = there[::PITCH_FRAMES] // PITCH_FRAMES
    cents, voicing = _pitch(reference, candidate, pitch_there)
    heard = distance[active]
    return Differences(
        mean_db=float(heard.mean()) if len(heard) else 0.0,
        worst_db=_largest(_windows(distance)),
        frame_db=Place(float(np.percentile(heard, HIGH_PERCENTILE)) if len(heard) else 0.0, _largest(distance).at_s),
        level_db=_level(reference, candidate, there),
        seam=_seam(reference, candidate),
        polarity=_polarity(reference, candidate) if len(reference) == len(candidate) else None,
        f0_cents=cents,
        voicing_error=voicing,
    )


def _level(reference: Samples, candidate: Samples, there: Indices) -> Place:
    levels = [
        10.0 * np.log10(np.maximum(_windows(power), QUIET_POWER))
        for power in (_products(reference, reference), _products(candidate, candidate)[there])
    ]
    change = levels[1] - levels[0]
    place = int(np.argmax(np.abs(change)))
    return Place(float(change[place]), _time(place))


def _seam(reference: Samples, candidate: Samples) -> Place:
    """The largest lone jump of the difference; where waveforms cannot be subtracted, the candidate's largest lone jump
    beyond the reference's.
    """
    if len(reference) == len(candidate):
        jumps, beyond = _lone_jumps(candidate - reference), 0.0
    else:
        jumps, beyond = _lone_jumps(candidate), float(_lone_jumps(reference).max())
    place = int(np.argmax(jumps))
    return Place(max(0.0, float(jumps[place]) - beyond), place * JUMP_SAMPLES / SAMPLE_RATE)


def _lone_jumps(samples: Samples) -> Curve:
    """Of every 10 samples, how far their largest jump exceeds six times what is usual 5 ms before and after: a click or
    a splice stands alone, while noise, drifting phases and speech itself have many jumps of a size.
    """
    steps = np.abs(np.diff(samples, prepend=samples[:1]))
    jumps = np.pad(steps, (0, -len(steps) % JUMP_SAMPLES)).reshape(-1, JUMP_SAMPLES).max(axis=1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(jumps, JUMPS_AROUND), 2 * JUMPS_AROUND + 1)
    third = int(1.5 * JUMPS_AROUND)  # third quartile: a few clicks together do not hide one another
    return np.asarray(np.maximum(jumps - LONE * np.partition(around, third, axis=1)[:, third], 0.0), dtype=np.float64)


def _polarity(reference: Samples, candidate: Samples) -> Place | None:
    both, ours, theirs = (
        _windows(_products(first, second))
        for first, second in ((reference, candidate), (reference, reference), (candidate, candidate))
    )
    power = np.sqrt(np.maximum(ours * theirs, 0.0))
    correlation = np.where(power > QUIET_POWER, both / np.maximum(power, QUIET_POWER), np.inf)
    place = int(np.argmin(correlation))
    lowest = float(correlation[place])
    return Place(lowest, _time(place)) if np.isfinite(lowest) else None


def _pitch(reference: Samples, candidate: Samples, there: Indices) -> tuple[float | None, float]:
    """(Root mean square in cents, share of frames in error)."""
    hop = PITCH_FRAMES * HOP
    ours, theirs = f0_track(reference, hop), f0_track(candidate, hop)
    return pitch_distance(ours, theirs[np.minimum(there[: len(ours)], len(theirs) - 1)], GROSS)


def _largest(curve: Curve) -> Place:
    place = int(np.argmax(curve))
    return Place(float(curve[place]), _time(place))


def _windows(curve: Curve) -> Curve:
    """Mean over every window of 200 ms, by its first frame; over the whole where it is shorter."""
    size = min(WINDOW_FRAMES, len(curve))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(curve, size).mean(axis=1))


def _products(a: Samples, b: Samples) -> Curve:
    """Mean product of the samples of each frame."""
    return np.asarray(np.mean(_frames(a) * _frames(b), axis=1))


def _frames(samples: Samples) -> Curve:
    count = frame_count(len(samples))
    padded = np.zeros(count * HOP)
    padded[: len(samples)] = samples
    return padded.reshape(count, HOP)


def _time(frame: int) -> float:
    return frame * HOP / SAMPLE_RATE
