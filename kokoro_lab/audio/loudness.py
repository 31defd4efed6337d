"""Integrated loudness of a signal (ITU-R BS.1770-4) and its true peak."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kokoro_lab.units import SAMPLE_RATE

__all__ = ["CEILING_DBTP", "TARGET_LUFS", "integrated_lufs", "level", "true_peak_dbtp"]

GATING_BLOCK_S = 0.4  # s; the block length of BS.1770: a shorter signal has no loudness
OVERSAMPLING = 4  # BS.1770-4, annex 2: a 4x oversampled peak is at most 0.69 dB low
TAPS = 24  # per phase, on each side: keeps the interpolator within 0.1 dB up to 0.45 of the sample rate
TARGET_LUFS = -16.0  # usual for podcasts and voice assistants
CEILING_DBTP = -1.0  # headroom that lossy encoders need
Samples = npt.NDArray[np.float32]


def integrated_lufs(samples: Samples, *, sample_rate: int = SAMPLE_RATE) -> float | None:
    """Integrated loudness of float32[S] in LUFS; None under 0.4 s, for silence, and if all is gated."""
    if len(samples) < GATING_BLOCK_S * sample_rate or not np.any(samples):
        return None
    import pyloudnorm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mean of no blocks and the logarithm of zero, when everything is gated
        loudness = float(pyloudnorm.Meter(sample_rate).integrated_loudness(np.asarray(samples, dtype=np.float64)))
    return loudness if math.isfinite(loudness) else None


def true_peak_dbtp(samples: Samples) -> float:
    """Peak of float32[S] between its samples, in dB relative to full scale; -inf for silence.

    The signal is interpolated four times, so a peak that falls between two samples is seen.
    """
    signal = np.asarray(samples, dtype=np.float64)
    if not len(signal):
        return -math.inf
    peak = float(np.abs(signal).max())
    for phase in _phases():
        peak = max(peak, float(np.abs(np.convolve(signal, phase)).max()))
    return 20.0 * math.log10(peak) if peak > 0.0 else -math.inf


def level(
    samples: Samples,
    *,
    target_lufs: float = TARGET_LUFS,
    ceiling_dbtp: float = CEILING_DBTP,
    sample_rate: int = SAMPLE_RATE,
) -> tuple[Samples, float]:
    """float32[S] at the target loudness, and the gain in dB that was applied.

    A single gain for the whole signal, reduced where the true peak would exceed the ceiling: speech is never limited or
    compressed. A signal without a loudness (too short, silent) is only kept under the ceiling.
    """
    loudness = integrated_lufs(samples, sample_rate=sample_rate)
    peak = true_peak_dbtp(samples)
    if peak == -math.inf:
        return np.array(samples, dtype=np.float32), 0.0
    gain_db = min(0.0 if loudness is None else target_lufs - loudness, ceiling_dbtp - peak)
    return (np.asarray(samples, dtype=np.float32) * np.float32(10.0 ** (gain_db / 20.0))), gain_db


@lru_cache(maxsize=1)
def _phases() -> tuple[npt.NDArray[np.float64], ...]:
    """Windowed-sinc filters that shift a signal by 1/4, 2/4 and 3/4 of a sample, float64[2 * TAPS] each."""
    positions = np.arange(-TAPS + 1, TAPS + 1)
    filters = []
    for step in range(1, OVERSAMPLING):
        shift = positions - step / OVERSAMPLING
        kernel = np.sinc(shift) * np.i0(6.0 * np.sqrt(np.clip(1.0 - (shift / TAPS) ** 2, 0.0, None))) / np.i0(6.0)
        filters.append(kernel / kernel.sum())
    return tuple(filters)
