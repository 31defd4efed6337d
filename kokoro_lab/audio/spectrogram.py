"""The log-mel spectrogram of a rendering, and the distance of two of them frame by frame.

A mel frame is taken every 300 samples (12.5 ms), half a duration frame of the model, so that two renderings with
different durations can be aligned token by token. 1,024 points (43 ms) separate the harmonics of a low voice (23 Hz a
bin); 80 bands from 0 to 12 kHz are what the vocoders of this family are trained on. Bands under -80 dBFS are raised to
-80: they lie some 55 dB under speech of ordinary level, where nobody hears them and where dither alone moves them. Only
numpy is used, and nothing is computed at import.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kokoro_lab.units import FRAME_SAMPLES, SAMPLE_RATE

__all__ = ["FLOOR_DB", "HOP", "frame_count", "frame_distances", "log_mel"]

HOP = FRAME_SAMPLES // 2  # samples between two mel frames
N_FFT = 1_024  # samples in a window
N_MELS = 80
FLOOR_DB = -80.0  # dB relative to a full-scale sine in one band

Samples = npt.NDArray[np.float32]


def frame_count(samples: int, hop: int = HOP) -> int:
    """Number of frames, one every `hop` samples, of so many samples: at least 1."""
    return max(1, -(-samples // hop))


def log_mel(samples: Samples) -> Samples:
    """Log-mel spectrogram of float32[S] at 24 kHz: float32[frames, 80] in dB, a centred frame every 300 samples, at
    least -80 dB.
    """
    signal = np.asarray(samples, dtype=np.float32)
    frames = frame_count(len(signal))
    padded = np.zeros(frames * HOP + N_FFT, dtype=np.float32)
    padded[N_FFT // 2 : N_FFT // 2 + len(signal)] = signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:frames]
    window, bank = _window(), _mel_bank()
    mel = np.empty((frames, N_MELS), dtype=np.float32)
    for start in range(0, frames, 1_024):  # in blocks: a long article would take hundreds of megabytes
        spectrum = np.fft.rfft(windows[start : start + 1_024] * window, axis=1)
        mel[start : start + 1_024] = (np.abs(spectrum) ** 2) @ bank
    decibels = 10.0 * np.log10(np.maximum(mel, 10.0 ** (FLOOR_DB / 10.0)))
    return np.asarray(np.maximum(decibels, FLOOR_DB), dtype=np.float32)


def frame_distances(a: Samples, b: Samples) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Of two log-mel spectrograms [frames, 80]: the root mean square difference over the bands of each frame in dB, and
    whether at least one of the two is above the floor there.
    """
    active = (a.max(axis=1) > FLOOR_DB) | (b.max(axis=1) > FLOOR_DB)
    return np.sqrt(np.mean((a - b).astype(np.float64) ** 2, axis=1)), active


@lru_cache(maxsize=1)
def _window() -> Samples:
    """A periodic Hann window, scaled so that a full-scale sine has power 1 in its bin: float32[1024]."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)
    return np.asarray(window * 2.0 / window.sum(), dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_bank() -> Samples:
    """Triangles of equal height on the mel scale 2595 log10(1 + f / 700) (O'Shaughnessy 1987): float32[513, 80]."""
    top = 2_595.0 * math.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    centres = 700.0 * (10.0 ** (np.linspace(0.0, top, N_MELS + 2) / 2_595.0) - 1.0)
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    lower, centre, upper = centres[:-2], centres[1:-1], centres[2:]
    rising = (bins[:, None] - lower) / (centre - lower)
    falling = (upper - bins[:, None]) / (upper - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    nearest = np.rint(centre * N_FFT / SAMPLE_RATE).astype(np.int64)
    narrow = bank.sum(axis=0) == 0.0  # a low band that falls between two bins takes the nearest
    bank[nearest[narrow], np.flatnonzero(narrow)] = 1.0
    return np.asarray(bank, dtype=np.float32)
