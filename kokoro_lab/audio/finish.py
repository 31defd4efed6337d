"""What is done to speech on its way out: silence trimmed at the ends, level, sample rate.

All of it off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.audio.loudness import CEILING_DBTP, integrated_lufs, level, true_peak_dbtp
from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.errors import SettingError

__all__ = ["KEPT_SILENCE_S", "Finish", "Finished", "finish", "resample", "trim"]

SILENCE_DBFS = -50.0  # dB; the level at which a listener begins to hear speech start
KEPT_SILENCE_S = 0.1  # s; what stays at each end, so that no onset is clipped
WINDOW_S = 0.005  # s; level is judged over this much, so that a single sample of noise is not speech
LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000  # Hz
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Finish:
    """How a signal is to leave."""

    trim: bool = False
    """Shorten silence at both ends to 100 ms."""
    target_lufs: float | None = None
    """Integrated loudness to bring it to; TARGET_LUFS (-16) is usual for speech. None leaves the level alone."""
    ceiling_dbtp: float = CEILING_DBTP
    """True peak that levelling may not pass, dB."""
    sample_rate: int = SAMPLE_RATE
    """Hz."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A signal as it leaves, and what was done to it."""

    samples: Samples
    sample_rate: int
    trimmed_start_s: float
    trimmed_end_s: float
    gain_db: float
    lufs: float | None
    """Integrated loudness afterwards; None for less than 0.4 s."""
    true_peak_dbtp: float
    """Afterwards; -inf for silence."""


def finish(samples: Samples, policy: Finish | None = None) -> Finished:
    """Apply a policy to float32[S] at 24 kHz: trim, then resample, then level (a peak moves with the rate).

    Raises SettingError for a sample rate or a level out of range.
    """
    policy = policy or Finish()
    start = end = 0.0
    if policy.trim:
        samples, start, end = trim(samples)
    samples = resample(samples, SAMPLE_RATE, policy.sample_rate)
    gain = 0.0
    if policy.target_lufs is not None:
        if not -70.0 <= policy.target_lufs <= 0.0 or policy.ceiling_dbtp > 0.0:
            raise SettingError("loudness is -70 to 0 LUFS, with a ceiling of 0 dBTP or less")
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
    """float32[S] with silence at its ends shortened to `keep_s`, and the seconds taken off the start and the end.

    A signal that is silent all through comes back whole: nothing in it says what to keep.
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
    """float32[S] at one rate as float32[S * to / from] at another, by soxr at its high quality. Raises SettingError."""
    for rate in (from_rate, to_rate):
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise SettingError(f"a sample rate of {rate} Hz is out of range; use {LOWEST_RATE} to {HIGHEST_RATE}")
    if from_rate == to_rate:
        return np.asarray(samples, dtype=np.float32)
    import soxr

    return np.asarray(soxr.resample(np.asarray(samples, dtype=np.float32), from_rate, to_rate, quality="HQ"))
