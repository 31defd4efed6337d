"""Whether two renderings of a text sound the same: facts about a signal, a log-mel distance, and a gate over both.

The gate looks at the whole and at the worst place (`signal_differences`): a mean alone lets pass whatever befalls a
tenth of an utterance. docs/audio-gate.md has the damages that its limits are calibrated on, and the smallest of each
kind that it catches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.signal_differences import Differences, Place, differences
from kokoro_lab.audio.spectrogram import FLOOR_DB, HOP, frame_count, frame_distances, log_mel
from kokoro_lab.units import FRAME_SAMPLES, SAMPLE_RATE, SILENT_DBFS

__all__ = [
    "AudioFacts",
    "Gate",
    "GateLimits",
    "Limit",
    "Verdict",
    "facts",
    "gate",
    "log_mel_distance_db",
]

CLIP_LEVEL = 1.0 - 1.0 / 32_768  # the last 16-bit step: a sample at or beyond it may be clipped

Samples = npt.NDArray[np.float32]
Durations = Sequence[int] | npt.NDArray[np.int64]
Verdict = Literal["equivalent", "close", "different"]


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """Properties of a single signal."""

    duration_s: float
    """Length in seconds."""
    peak: float
    """Largest finite magnitude, 1.0 is full scale."""
    rms_dbfs: float
    """Root mean square in dB relative to 1.0; -inf for silence."""
    finite: bool
    """Whether it is free of NaN and infinity."""
    silent: bool
    """Whether its RMS is under -60 dBFS."""
    clipped_fraction: float
    """Share of samples at or beyond full scale, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value of an equivalent and of a close rendering."""

    equivalent: float
    close: float


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Limits of "equivalent" and of "close".

    Calibrated on renderings of the tiny and the full architecture (docs/audio-gate.md). The limits of "equivalent" lie
    between what reordered arithmetic and 16-bit multiplications do and the least that a damaged graph does; those of
    "close" above what another noise seed does to a voice that is plainly the same.
    """

    mean_db: Limit = Limit(0.35, 4.0)
    """Log-mel distance over the whole, dB."""
    worst_db: Limit = Limit(0.6, 8.0)
    """Log-mel distance of the worst 200 ms, dB."""
    frame_db: Limit = Limit(1.0, 10.0)
    """Log-mel distance of the 99th percentile of the frames, dB."""
    level_db: Limit = Limit(0.3, 3.0)
    """Change of level of the worst 200 ms, dB."""
    seam: Limit = Limit(0.01, 0.2)
    """Jump between neighboring samples that the reference does not have, 1.0 is full scale."""
    inversion: Limit = Limit(0.5, math.inf)
    """Correlation of the waveforms in the worst 200 ms, its sign reversed: an inverted place has 1. Phases that drift
    apart lower the correlation without inverting all harmonics at once."""
    f0_cents: Limit = Limit(5.0, 50.0)
    """Difference of pitch, cents. 5 are just noticeable (Moore 1973: 0.2 to 0.3 %), 50 are half a semitone."""
    voicing_error: Limit = Limit(0.02, 0.1)
    """Share of frames voiced in only one of the two."""
    close_duration_share: float = 0.05
    """Largest change in total length of a close rendering: a speaking rate 5 % different goes unnoticed."""
    clipped_excess: float = 1e-4
    """How far the share of clipped samples may exceed the reference's: 2.4 samples a second."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate's verdict on a candidate, with its reasons."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is not equivalent, a clause each; empty when it is equivalent."""
    duration_equal: bool
    """Whether every token has the same number of frames and the signals are equally long."""
    differences: Differences | None
    """None when either signal is empty or not finite."""
    reference: AudioFacts
    candidate: AudioFacts

    @property
    def log_mel_db(self) -> float:
        """Log-mel distance in dB; infinite when either signal is empty or not finite."""
        return math.inf if self.differences is None else self.differences.mean_db


def facts(samples: Samples) -> AudioFacts:
    """Facts about float32[S] at 24 kHz."""
    signal = np.asarray(samples, dtype=np.float64)
    finite = np.isfinite(signal)
    magnitude = np.abs(signal[finite])
    if not len(magnitude):
        return AudioFacts(len(signal) / SAMPLE_RATE, 0.0, -math.inf, bool(finite.all()), True, 0.0)
    power = float(np.mean(magnitude**2))
    rms_dbfs = 10.0 * math.log10(power) if power > 0.0 else -math.inf
    return AudioFacts(
        duration_s=len(signal) / SAMPLE_RATE,
        peak=float(magnitude.max()),
        rms_dbfs=rms_dbfs,
        finite=bool(finite.all()),
        silent=rms_dbfs < SILENT_DBFS,
        clipped_fraction=float(np.count_nonzero(magnitude >= CLIP_LEVEL)) / len(signal),
    )


def log_mel_distance_db(a: Samples, b: Samples) -> float:
    """Log-spectral distance of two signals, float32[S] each, in dB.

    The root mean square difference over the 80 bands of a frame, averaged over the frames in which at least one of the
    signals is above the floor. A shorter signal is padded with silence. Infinite when either signal has a value that is
    not finite.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.inf
    first, second = log_mel(a), log_mel(b)
    frames = max(len(first), len(second))
    return _distance(_lengthened(first, frames), _lengthened(second, frames))


def gate(
    reference: Samples,
    candidate: Samples,
    reference_durations: Durations | None = None,
    durations: Durations | None = None,
    *,
    limits: GateLimits | None = None,
) -> Gate:
    """Compare a candidate, float32[S], with the reference rendering of the same text.

    Durations are int[T] frames of 600 samples per token; None for a model without a durations output, in which case the
    lengths are compared. Where durations differ, the spectrograms are aligned before they are compared: token by token
    when the signals consist of their tokens alone, else by stretching the whole. Candidates that are silent, not
    finite, more clipped, or much longer or shorter than the reference are different, whatever the distance.
    """
    bounds = limits or GateLimits()
    ours, theirs = facts(reference), facts(candidate)
    has_durations = reference_durations is not None and durations is not None
    equal = len(reference) == len(candidate) and (not has_durations or _equal(reference_durations, durations))
    faults = _faults(ours, theirs, bounds)
    if not (ours.finite and theirs.finite and len(reference) and len(candidate)):
        return Gate("different", tuple(faults), equal, None, ours, theirs)
    alignment = None
    if not equal:
        frames = [frame_count(len(signal)) for signal in (reference, candidate)]
        alignment = _alignment(frames[0], frames[1], reference_durations, durations)
    found = differences(reference, candidate, alignment)
    graded = _graded(found, bounds)
    reasons = [*faults, *(["its durations differ from the reference's"] if not equal else [])]
    reasons += [words for value, limit, words in graded if value > limit.equivalent]
    if faults or any(value > limit.close for value, limit, _ in graded):
        verdict: Verdict = "different"
    else:
        verdict = "close" if reasons else "equivalent"
    return Gate(verdict, tuple(reasons), equal, found, ours, theirs)


def _graded(found: Differences, limits: GateLimits) -> list[tuple[float, Limit, str]]:
    """Each figure that has a limit, the larger the worse; its limit; and what to say when it is over it."""
    louder = "louder" if found.level_db.value > 0.0 else "quieter"
    level = Place(abs(found.level_db.value), found.level_db.at_s)
    graded = [
        (found.mean_db, limits.mean_db, f"its log-mel distance is {found.mean_db:.2f} dB"),
        _placed(found.worst_db, limits.worst_db, "200 ms differ by {:.1f} dB"),
        _placed(found.frame_db, limits.frame_db, "1% of all frames, of which this is the worst, differ by {:.1f} dB"),
        _placed(level, limits.level_db, f"200 ms are {{:.1f}} dB {louder}"),
        _placed(found.seam, limits.seam, "a jump by {:.3f} of full scale that the reference does not have"),
        (found.voicing_error, limits.voicing_error, f"{found.voicing_error:.1%} of its frames are voiced differently"),
    ]
    if found.polarity is not None:
        inverted = Place(-found.polarity.value, found.polarity.at_s)
        graded.append(_placed(inverted, limits.inversion, "the waveform of 200 ms is inverted"))
    if found.f0_cents is not None:
        graded.append((found.f0_cents, limits.f0_cents, f"its pitch differs by {found.f0_cents:.1f} cents"))
    return graded


def _placed(place: Place, limit: Limit, words: str) -> tuple[float, Limit, str]:
    return place.value, limit, f"{place.at_s:.1f} s: {words.format(place.value)}"


def _faults(reference: AudioFacts, candidate: AudioFacts, limits: GateLimits) -> list[str]:
    """Reasons for "different" that need no spectral comparison."""
    faults = []
    if not candidate.finite:
        faults.append("it contains NaN or infinite samples")
    if not reference.finite:
        faults.append("the reference contains NaN or infinite samples")
    if candidate.silent and not reference.silent:
        faults.append("it is silent")
    if candidate.clipped_fraction > reference.clipped_fraction + limits.clipped_excess:
        faults.append(f"{candidate.clipped_fraction:.2%} of its samples are clipped")
    if abs(candidate.duration_s - reference.duration_s) > limits.close_duration_share * reference.duration_s:
        faults.append(f"it lasts {candidate.duration_s:.2f} s, not {reference.duration_s:.2f} s")
    return faults


def _equal(a: Durations | None, b: Durations | None) -> bool:
    return a is not None and b is not None and np.array_equal(np.asarray(a), np.asarray(b))


def _alignment(
    frames: int, other_frames: int, reference: Durations | None, candidate: Durations | None
) -> npt.NDArray[np.int64]:
    """Index of the candidate's mel frame for each mel frame of the reference, int64[frames]."""
    per_token = FRAME_SAMPLES // HOP
    if reference is not None and candidate is not None and len(reference) == len(candidate):
        edges = np.concatenate(([0], np.cumsum(np.asarray(reference, dtype=np.int64)))) * per_token
        other_edges = np.concatenate(([0], np.cumsum(np.asarray(candidate, dtype=np.int64)))) * per_token
        if edges[-1] == frames and other_edges[-1] == other_frames:
            return _indices(np.interp(np.arange(frames) + 0.5, edges, other_edges), other_frames)
    return _indices((np.arange(frames) + 0.5) * other_frames / frames, other_frames)


def _indices(positions: npt.NDArray[np.float64], frames: int) -> npt.NDArray[np.int64]:
    return np.minimum(positions.astype(np.int64), np.int64(frames - 1))


def _distance(a: Samples, b: Samples) -> float:
    distances, active = frame_distances(a, b)
    return float(distances[active].mean()) if active.any() else 0.0


def _lengthened(mel: Samples, frames: int) -> Samples:
    return np.asarray(np.pad(mel, ((0, frames - len(mel)), (0, 0)), constant_values=FLOOR_DB))
