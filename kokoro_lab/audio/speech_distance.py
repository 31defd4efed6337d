"""Distance of two renderings as speech: pitch, voicing, spectral envelope and level.

Pitch is estimated from the signal (autocorrelation after Boersma 1993, 60 ms every 12.5 ms, 60 to 420 Hz); where a
model has an F0 output, `variants.verify` compares that instead. Mel-cepstral distortion follows Kubichek (1993): 13
cepstral coefficients without the zeroth, 10 / ln 10 sqrt(2 sum d^2) dB. Both expect renderings of equal length: the
longer rendering is cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.audio.spectrogram import HOP, frame_count, log_mel
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["SpeechDistance", "f0_track", "mel_cepstral_distortion_db", "pitch_distance", "snr_db", "speech_distance"]

WINDOW = 1440  # samples, 60 ms: more than three periods of the lowest pitch
LOWEST_HZ, HIGHEST_HZ = 60.0, 420.0
LEAST_HZ = 10.0  # of a pitch in a curve; what a model gives for an unvoiced frame is near 0
VOICED = 0.5  # share of the autocorrelation at lag 0
NEAR = 0.9  # share of the highest peak
QUIET = 1e-3  # RMS of a frame that has no pitch, -60 dBFS
COEFFICIENTS = 13
BLOCK = 1_024  # windows that are transformed at once

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpeechDistance:
    """A candidate compared with its reference; None where either is too short, silent or unvoiced."""

    f0_cents: float | None
    """Root mean square difference in cents over the frames voiced in both."""
    voicing_error: float
    """Share of frames voiced in only one of the two."""
    mcd_db: float
    loudness_lu: float | None
    """Candidate minus reference; None under 0.4 s. A limit on it is meaningful from 3 s."""
    true_peak_db: float
    """Candidate minus reference."""


def speech_distance(reference: Samples, candidate: Samples) -> SpeechDistance:
    """Compare float32[S] with float32[S], both at 24 kHz."""
    length = min(len(reference), len(candidate))
    ours, theirs = reference[:length], candidate[:length]
    cents, voicing = pitch_distance(f0_track(ours), f0_track(theirs))
    first, second = integrated_lufs(ours), integrated_lufs(theirs)
    loudness = None if first is None or second is None else second - first
    peaks = true_peak_dbtp(ours), true_peak_dbtp(theirs)
    peak = peaks[1] - peaks[0] if all(map(math.isfinite, peaks)) else 0.0
    return SpeechDistance(cents, voicing, mel_cepstral_distortion_db(ours, theirs), loudness, peak)


def snr_db(reference: Samples, candidate: Samples) -> float:
    """Energy of the reference over energy of the difference, in dB; inf for equal signals, -inf for unequal lengths."""
    if len(reference) != len(candidate):
        return -math.inf
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(reference.astype(np.float64) - candidate)))
    if not math.isfinite(noise):
        return -math.inf
    return math.inf if noise == 0.0 else 10.0 * math.log10(max(signal, 1e-300) / noise)


def pitch_distance(
    reference: npt.NDArray[np.floating], candidate: npt.NDArray[np.floating], gross: float = math.inf
) -> tuple[float | None, float]:
    """Compare two F0 curves in Hz of equal length; a frame without a pitch is at most 10 Hz.

    gross: share of the reference's pitch by which another pitch is off that is no longer the same one.

    Returns the root mean square in cents over the frames with the same pitch in both, None without any; and the share
    of frames that are voiced in one only, or with another pitch altogether.
    """
    voiced = reference > LEAST_HZ, candidate > LEAST_HZ
    both = voiced[0] & voiced[1]
    same = both & (np.abs(candidate - reference) <= gross * np.where(both, reference, 1.0))
    error = float(np.mean((voiced[0] | voiced[1]) & ~same)) if len(same) else 0.0
    if not same.any():
        return None, error
    cents = 1200.0 * np.log2(candidate[same].astype(np.float64) / reference[same])
    return float(np.sqrt(np.mean(cents**2))), error


def f0_track(samples: Samples, hop: int = HOP) -> npt.NDArray[np.float64]:
    """F0 in Hz every `hop` samples, 0 where the frame is unvoiced: float64[frames]."""
    frames = frame_count(len(samples), hop)
    padded = np.zeros(frames * hop + WINDOW)
    padded[WINDOW // 2 : WINDOW // 2 + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop][:frames]
    # in blocks: the windows of a long article would take gigabytes
    return np.concatenate([_f0(windows[start : start + BLOCK]) for start in range(0, frames, BLOCK)])


def _f0(windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """F0 in Hz of each window of 60 ms: [frames, 1440] -> [frames]."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    windows = (windows - windows.mean(axis=1, keepdims=True)) * hann
    energy = np.sum(windows**2, axis=1)
    correlation = _autocorrelation(windows) / np.maximum(energy, 1e-12)[:, None]
    shortest, longest = int(SAMPLE_RATE / HIGHEST_HZ), int(SAMPLE_RATE / LOWEST_HZ)
    shape = _autocorrelation(hann[None])[0]
    part = (correlation / (shape / shape[0]))[:, shortest - 1 : longest + 2]
    inner = part[:, 1:-1]
    peak = (inner >= part[:, :-2]) & (inner >= part[:, 2:])
    top = np.where(peak, inner, -1.0).max(axis=1)
    # multiples of a period are peaks too: the period is the first peak that comes near the highest
    best = (peak & (inner >= NEAR * top[:, None])).argmax(axis=1)
    rows = np.arange(len(windows))
    left, middle, right = part[rows, best], part[rows, best + 1], part[rows, best + 2]
    bend = left - 2 * middle + right
    shift = np.where(np.abs(bend) > 1e-12, 0.5 * (left - right) / np.where(bend == 0, 1.0, bend), 0.0)
    f0 = SAMPLE_RATE / (shortest + best + np.clip(shift, -0.5, 0.5))
    loud = np.sqrt(energy / np.sum(hann**2)) > QUIET
    return np.where(loud & (top > VOICED), f0, 0.0)


def _autocorrelation(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Autocorrelation of each row, lag 0 first: [rows, n] -> [rows, n]."""
    power = np.abs(np.fft.rfft(rows, 2 * rows.shape[1], axis=1)) ** 2
    return np.asarray(np.fft.irfft(power, axis=1)[:, : rows.shape[1]])


def mel_cepstral_distortion_db(reference: Samples, candidate: Samples) -> float:
    """Mean over the frames of the shorter signal; infinite when either signal has a value that is not finite."""
    if not (np.isfinite(reference).all() and np.isfinite(candidate).all()):
        return math.inf
    first, second = log_mel(reference), log_mel(candidate)
    frames = min(len(first), len(second))
    difference = (first[:frames] - second[:frames]).astype(np.float64) * (math.log(10) / 20)
    bands = difference.shape[1]
    order = np.arange(1, COEFFICIENTS + 1)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(bands) + 0.5) / bands) * math.sqrt(2 / bands)
    cepstra = difference @ cosines.T
    return float(np.mean(10 / math.log(10) * np.sqrt(2 * np.sum(cepstra**2, axis=1)) / math.sqrt(bands / 2)))
