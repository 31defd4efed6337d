"""Final processing of a signal: trimming silence at the ends, loudness, sample rate; each is off by default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.loudness import CEILING_DBTP, integrated_lufs, level, true_peak_dbtp
from kokoro_lab.errors import SettingError
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["KEPT_SILENCE_S", "Finish", "Finished", "finish", "resample", "trim"]

SILENCE_DBFS = -50.0  # dB; level above which speech counts as started
KEPT_SILENCE_S = 0.1  # s; silence left at each end, so that no onset is cut off
WINDOW_S = 0.005  # s; window of the level, so that a single noisy sample does not count as speech
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Finish:
    """Settings of the final processing."""

    trim: bool = False
    """Shorten silence at both ends to 100 ms."""
    target_lufs: float | None = None
    """Target of integrated loudness; TARGET_LUFS (-16) is usual for speech. None leaves the level alone."""
    ceiling_dbtp: float = CEILING_DBTP
    """Largest true peak after the loudness is set, dB."""
    sample_rate: int = SAMPLE_RATE
    """Sample rate of the result, Hz."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A processed signal, and what was done to it."""

    samples: Samples
    sample_rate: int
    trimmed_start_s: float
    trimmed_end_s: float
    gain_db: float
    lufs: float | None
    """Integrated loudness of the result; None under 0.4 s."""
    true_peak_dbtp: float
    """True peak of the result; -inf for silence."""


def finish(samples: Samples, policy: Finish | None = None) -> Finished:
    """Process float32[S] at 24 kHz: trim, then resample, then set the loudness (resampling changes the peak).

    Raises SettingError for a sample rate or a loudness out of range.
    """
    policy = policy or Finish()
    start = end = 0.0
    if policy.trim:
        samples, start, end = trim(samples)
    samples = resample(samples, SAMPLE_RATE, policy.sample_rate)
    gain = 0.0
    if policy.target_lufs is not None:
        if not -70.0 <= policy.target_lufs <= 0.0 or policy.ceiling_dbtp > 0.0:
            raise SettingError("loudness is out of range; use -70 to 0 LUFS, and a ceiling of at most 0 dBTP")
        samples, gain = level(
            samples,
            target_lufs=policy.target_lufs,
            ceiling_dbtp=policy.ceiling_dbtp,
            sample_rate=policy.sample_rate,
        )
    loudness = integrated_lufs(samples, sample_rate=policy.sample_rate)
    return Finished(samples, policy.sample_rate, start, end, gain, loudness, true_peak_dbtp(samples))


def trim(
    samples: Samples,
    *,
    threshold_dbfs: float = SILENCE_DBFS,
    keep_s: float = KEPT_SILENCE_S,
    sample_rate: int = SAMPLE_RATE,
) -> tuple[Samples, float, float]:
    """float32[S] with silence at its ends shortened to `keep_s`, and the seconds removed from the start and the end.

    A signal that is silent throughout is returned whole: nothing in it marks what to keep.
    """
    window = max(1, round(WINDOW_S * sample_rate))
    count = -(-len(samples) // window)
    power = np.zeros(count * window, dtype=np.float64)
    power[: len(samples)] = np.square(samples, dtype=np.float64)
    loud = np.flatnonzero(power.reshape(count, window).mean(axis=1) > 10.0 ** (threshold_dbfs / 10.0))
    if not len(loud):
        return samples, 0.0, 0.0
    keep = round(keep_s * sample_rate)
    first = max(0, int(loud[0]) * window - keep)
    last = min(len(samples), (int(loud[-1]) + 1) * window + keep)
    return samples[first:last], first / sample_rate, (len(samples) - last) / sample_rate


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resample float32[S] to float32[S * to / from] with soxr at high quality. Raises SettingError."""
    for rate in (from_rate, to_rate):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise SettingError(f"a sample rate of {rate} Hz is out of range; use {LOWEST_RATE} to {HIGHEST_RATE}")
    if from_rate == to_rate:
        return np.asarray(samples, dtype=np.float32)
    import soxr

    return np.asarray(soxr.resample(np.asarray(samples, dtype=np.float32), from_rate, to_rate, quality="HQ"))
