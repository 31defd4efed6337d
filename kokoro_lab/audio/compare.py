"""Whether two renderings of one text sound the same: facts about a signal, a log-mel distance, and the gate over both.

The mel picture is taken every 300 samples (12.5 ms), half a duration frame of the model, so that two renderings with
different durations can be laid over one another token by token. 1,024 points (43 ms) separate the harmonics of a low
voice (23 Hz a bin); 80 bands from 0 to 12 kHz are what the vocoders of this family are trained on. Bands under -80
dBFS are raised to -80: they lie some 55 dB under speech of ordinary level, where nobody hears them and where dither
alone moves them. Only numpy is used, and nothing is computed at import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.wav import SAMPLE_RATE

__all__ = [
    "AudioFacts",
    "Gate",
    "GateLimits",
    "Verdict",
    "facts",
    "gate",
    "log_mel",
    "log_mel_distance_db",
]

FRAME_SAMPLES = 600  # one duration frame of the model, 25 ms
HOP = FRAME_SAMPLES // 2  # samples between two mel frames
N_FFT = 1_024  # samples under one window
N_MELS = 80
FLOOR_DB = -80.0  # dB relative to a full-scale sine in one band
SILENT_DBFS = -60.0  # RMS under which a rendering says nothing
CLIP_LEVEL = 1.0 - 1.0 / 32_768  # the last 16-bit step: at or beyond it a sample cannot be told from a clipped one

Samples = npt.NDArray[np.float32]
Durations = Sequence[int] | npt.NDArray[np.int64]
Verdict = Literal["equivalent", "close", "different"]


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What can be said of one signal alone."""

    duration_s: float
    """Length in seconds."""
    peak: float
    """Largest finite magnitude, 1.0 is full scale."""
    rms_dbfs: float
    """Root mean square in dB relative to 1.0; -inf for silence."""
    finite: bool
    """No NaN and no infinity."""
    silent: bool
    """RMS under -60 dBFS: nothing was said."""
    clipped_fraction: float
    """Share of samples at or beyond full scale, 0 to 1."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """Where "equivalent" ends and where "close" ends.

    The distances were set by what they mean, and hold for whole utterances. Reordered fp32 arithmetic moves the
    log-mel picture by hundredths of a dB. 1 dB is about the smallest change of level in one band that a listener
    notices, so a mean under it is not heard. Around 4 dB lies what a change of noise seed or a coarse quantisation
    does to a voice that is still plainly the same; beyond it timbre or content differ. On the model's own audio, noise
    at -60 dB moves 0.00 dB and a gain of 1 % 0.09 dB (equivalent), a shift of 20 ms 4 dB (not equivalent). One wrong
    convolution among several that are added moves 0.7 dB, which this gate lets pass: `variants.verify` does not.
    """

    equivalent_db: float = 1.0
    """Largest log-mel distance of an equivalent rendering, dB."""
    close_db: float = 4.0
    """Largest log-mel distance of a close rendering, dB."""
    close_duration_share: float = 0.05
    """Largest change of total length of a close rendering: 5 % is a speaking rate nobody remarks on."""
    clipped_excess: float = 1e-4
    """How much larger a share of clipped samples may be than the reference's: 2.4 samples a second."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate decided of one candidate, and why."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is not equivalent, a clause each; empty when it is."""
    duration_equal: bool
    """Every token got the same number of frames, and the signals are of one length."""
    log_mel_db: float
    """Log-mel distance in dB; infinite when one of the two is not finite or empty."""
    reference: AudioFacts
    candidate: AudioFacts


def facts(samples: Samples) -> AudioFacts:
    """Measure float32[S] at 24 kHz."""
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


def log_mel(samples: Samples) -> Samples:
    """float32[S] at 24 kHz as float32[frames, 80] in dB, one frame every 300 samples, centred, floored at -80 dB."""
    signal = np.asarray(samples, dtype=np.float32)
    frames = max(1, -(-len(signal) // HOP))
    padded = np.zeros(frames * HOP + N_FFT, dtype=np.float32)
    padded[N_FFT // 2 : N_FFT // 2 + len(signal)] = signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:frames]
    window, bank = _window(), _mel_bank()
    mel = np.empty((frames, N_MELS), dtype=np.float32)
    for start in range(0, frames, 1_024):  # blocks: an article at once would take hundreds of megabytes
        spectrum = np.fft.rfft(windows[start : start + 1_024] * window, axis=1)
        mel[start : start + 1_024] = (np.abs(spectrum) ** 2) @ bank
    decibels = 10.0 * np.log10(np.maximum(mel, 10.0 ** (FLOOR_DB / 10.0)))
    return np.asarray(np.maximum(decibels, FLOOR_DB), dtype=np.float32)


def log_mel_distance_db(a: Samples, b: Samples) -> float:
    """Log-spectral distance of two signals, float32[S] each, in dB.

    The root mean square difference over the 80 bands of a frame, averaged over the frames in which at least one of the
    two is above the floor. A signal that ends first is silence from there on. Infinite when one holds a value that is
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

    Durations are int[T] frames of 600 samples a token; None when a model does not tell them (lengths are compared
    then). Where they differ, the two mel pictures are laid over one another before they are compared: token by token
    when the signals consist of their tokens alone, else stretched as a whole. Silent, non-finite, additionally clipped
    or much longer or shorter candidates are different, whatever the distance.
    """
    bounds = limits or GateLimits()
    ours, theirs = facts(reference), facts(candidate)
    told = reference_durations is not None and durations is not None
    equal = len(reference) == len(candidate) and (not told or _equal(reference_durations, durations))
    faults = _faults(ours, theirs, bounds)
    if not (ours.finite and theirs.finite and len(reference) and len(candidate)):
        return Gate("different", tuple(faults), equal, math.inf, ours, theirs)
    picture, other = log_mel(reference), log_mel(candidate)
    if len(picture) != len(other) or not equal:
        other = other[_alignment(len(picture), len(other), reference_durations, durations)]
    distance = _distance(picture, other)
    reasons = list(faults)
    if not equal:
        reasons.append("its durations differ from the reference's")
    if distance > bounds.equivalent_db:
        reasons.append(f"its log-mel distance is {distance:.2f} dB")
    if faults or distance > bounds.close_db:
        verdict: Verdict = "different"
    else:
        verdict = "close" if reasons else "equivalent"
    return Gate(verdict, tuple(reasons), equal, distance, ours, theirs)


def _faults(reference: AudioFacts, candidate: AudioFacts, limits: GateLimits) -> list[str]:
    """What makes a candidate different without listening to it."""
    faults = []
    if not candidate.finite:
        faults.append("it holds NaN or infinite samples")
    if not reference.finite:
        faults.append("the reference holds NaN or infinite samples")
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
    """For each of the reference's mel frames the candidate's frame that belongs to it, int64[frames]."""
    per_token = FRAME_SAMPLES // HOP
    if reference is not None and candidate is not None and len(reference) == len(candidate):
        edges = np.concatenate(([0], np.cumsum(np.asarray(reference, dtype=np.int64)))) * per_token
        other_edges = np.concatenate(([0], np.cumsum(np.asarray(candidate, dtype=np.int64)))) * per_token
        if edges[-1] == frames and other_edges[-1] == other_frames:
            return _indices(np.interp(np.arange(frames) + 0.5, edges, other_edges), other_frames)
    return _indices((np.arange(frames) + 0.5) * other_frames / frames, other_frames)


def _indices(places: npt.NDArray[np.float64], frames: int) -> npt.NDArray[np.int64]:
    return np.minimum(places.astype(np.int64), np.int64(frames - 1))


def _distance(a: Samples, b: Samples) -> float:
    active = (a.max(axis=1) > FLOOR_DB) | (b.max(axis=1) > FLOOR_DB)
    if not active.any():
        return 0.0
    difference = (a[active] - b[active]).astype(np.float64)
    return float(np.sqrt(np.mean(difference**2, axis=1)).mean())


def _lengthened(picture: Samples, frames: int) -> Samples:
    return np.asarray(np.pad(picture, ((0, frames - len(picture)), (0, 0)), constant_values=FLOOR_DB))


@lru_cache(maxsize=1)
def _window() -> Samples:
    """A periodic Hann window, scaled so that a full-scale sine has power 1 in its bin, float32[1024]."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)
    return np.asarray(window * 2.0 / window.sum(), dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_bank() -> Samples:
    """Triangles of equal height on the mel scale 2595 log10(1 + f / 700) (O'Shaughnessy 1987), float32[513, 80]."""
    top = 2_595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    centres = 700.0 * (10.0 ** (np.linspace(0.0, top, N_MELS + 2) / 2_595.0) - 1.0)
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    lower, centre, upper = centres[:-2], centres[1:-1], centres[2:]
    rising = (bins[:, None] - lower) / (centre - lower)
    falling = (upper - bins[:, None]) / (upper - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    nearest = np.rint(centre * N_FFT / SAMPLE_RATE).astype(np.int64)
    narrow = bank.sum(axis=0) == 0.0  # a low band can fall between two bins: it takes the nearest
    bank[nearest[narrow], np.flatnonzero(narrow)] = 1.0
    return np.asarray(bank, dtype=np.float32)
