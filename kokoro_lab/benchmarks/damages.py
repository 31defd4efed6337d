"""Known damages to a rendering, each of a given strength, on which the gate is calibrated (docs/audio-gate.md).

Every damage keeps the length, so that nothing but the samples tells it. The same arguments give the same samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.units import SAMPLE_RATE

__all__ = ["DAMAGES", "HARMLESS", "Damage"]

CLICK_EVERY_S = 0.1
GAP_DBFS = -40.0  # a place louder than this counts as sounding; silencing a pause damages nothing
SEED = 5  # of the noises
TAPS = 32  # samples that an interpolated one is made of

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Damage:
    """A damage whose strength is a number: the larger, the worse."""

    name: str
    unit: str
    """Of the strength, as in "% of the text"."""
    low: float
    """A strength that changes next to nothing, where the search for the smallest caught one begins."""
    high: float
    """The strength at which the gate must notice it."""
    apply: Callable[[Samples, float], Samples]
    """float32[S] and a strength -> float32[S]."""


def _noise(size: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(SEED).standard_normal(size)


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.sum(np.square(samples, dtype=np.float64)) / max(1, len(samples))))


def _part(samples: Samples, percent: float) -> slice:
    """The loudest stretch that has `percent` of the samples: a damage to a pause would be none."""
    size = min(len(samples), round(len(samples) * percent / 100.0))
    power = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    start = int(np.argmax(power[size:] - power[: len(power) - size]))
    return slice(start, start + size)


def _replaced(samples: Samples, place: slice, sound: npt.NDArray[np.floating]) -> Samples:
    damaged = samples.copy()
    damaged[place] = sound
    return damaged


def _white_noise(samples: Samples, percent: float) -> Samples:
    place = _part(samples, percent)
    return _replaced(samples, place, _noise(place.stop - place.start) * _level(samples[place]))


def _other_sound(samples: Samples, percent: float) -> Samples:
    """What is spoken elsewhere in the rendering, at the same level."""
    place = _part(samples, percent)
    other = np.roll(samples, len(samples) // 2)[place]
    return _replaced(samples, place, other * (_level(samples[place]) / max(_level(other), 1e-6)))


def _reversed(samples: Samples, percent: float) -> Samples:
    place = _part(samples, percent)
    return _replaced(samples, place, samples[place][::-1])


def _silenced(samples: Samples, milliseconds: float) -> Samples:
    place = _part(samples, 100.0 * milliseconds / 1e3 * SAMPLE_RATE / len(samples))
    return _replaced(samples, place, np.zeros(place.stop - place.start))


def _end_zeroed(samples: Samples, percent: float) -> Samples:
    """The last part of what sounds; the silence after it stays silent anyway."""
    loud = np.flatnonzero(np.abs(samples) > 10.0 ** (GAP_DBFS / 20.0))
    end = int(loud[-1]) + 1 if len(loud) else len(samples)
    damaged = samples.copy()
    damaged[max(0, end - round(len(samples) * percent / 100.0)) :] = 0.0
    return damaged


def _clicks(samples: Samples, height: float) -> Samples:
    damaged = samples.copy()
    places = np.arange(int(CLICK_EVERY_S * SAMPLE_RATE) // 2, len(samples), int(CLICK_EVERY_S * SAMPLE_RATE))
    damaged[places] += np.float32(height)
    return damaged


def _one_click(samples: Samples, height: float) -> Samples:
    damaged = samples.copy()
    damaged[len(samples) // 3] += np.float32(height)
    return damaged


def _inverted(samples: Samples, percent: float) -> Samples:
    place = _part(samples, percent)
    return _replaced(samples, place, -samples[place])


def _attenuated(samples: Samples, decibels: float) -> Samples:
    return np.asarray(samples * 10.0 ** (-decibels / 20.0), dtype=np.float32)


def _dip(samples: Samples, decibels: float) -> Samples:
    """200 ms quieter than they were."""
    place = _part(samples, 100.0 * 0.2 * SAMPLE_RATE / len(samples))
    return _replaced(samples, place, samples[place] * 10.0 ** (-decibels / 20.0))


def _resampled(samples: Samples, cents: float) -> Samples:
    """Played faster by that much, the length kept: the pitch and all formants are higher. Windowed sinc, 32 taps."""
    places = np.arange(len(samples)) * 2.0 ** (cents / 1200.0)
    first = np.floor(places).astype(np.int64)
    padded = np.pad(samples.astype(np.float64), (TAPS, TAPS))
    made = np.zeros(len(samples))
    for tap in range(1 - TAPS // 2, TAPS // 2 + 1):
        away = places - (first + tap)
        weight = np.sinc(away) * np.cos(np.pi * away / (TAPS + 2)) ** 2
        made += weight * padded[np.clip(first + tap + TAPS, 0, len(padded) - 1)]
    return made.astype(np.float32)


def _shifted(samples: Samples, milliseconds: float) -> Samples:
    by = round(milliseconds / 1e3 * SAMPLE_RATE)
    return np.concatenate([np.zeros(by, np.float32), samples])[: len(samples)]


def _noisy(samples: Samples, decibels: float) -> Samples:
    """White noise under everything; the strength is its level relative to the speech, dB."""
    noise = _noise(len(samples)) * _level(samples) * 10.0 ** (decibels / 20.0)
    return np.asarray(samples + noise, dtype=np.float32)


def _band_limited(samples: Samples, share: float) -> Samples:
    """Without the upper `share` percent of the spectrum, as after resampling to a lower rate and back."""
    spectrum = np.fft.rfft(samples)
    spectrum[round(len(spectrum) * (1.0 - share / 100.0)) :] = 0.0
    return np.asarray(np.fft.irfft(spectrum, len(samples)), dtype=np.float32)


def _coarse(samples: Samples, lost: float) -> Samples:
    """Rounded to 16 bits less `lost`."""
    step = np.float32(2.0 ** (lost - 15.0))
    return np.asarray(np.round(samples / step) * step, dtype=np.float32)


DAMAGES = (
    Damage("white noise instead of a part", "% of the length", 1e-3, 10.0, _white_noise),
    Damage("another sound instead of a part", "% of the length", 1e-3, 20.0, _other_sound),
    Damage("a part reversed", "% of the length", 1e-3, 20.0, _reversed),
    Damage("a part silenced", "ms", 0.01, 2_000.0, _silenced),
    Damage("the end zeroed", "% of the length", 1e-3, 2.0, _end_zeroed),
    Damage("a click every 100 ms", "of full scale", 1e-4, 0.25, _clicks),
    Damage("one click", "of full scale", 1e-4, 0.5, _one_click),
    Damage("polarity inverted", "% of the length", 1e-3, 100.0, _inverted),
    Damage("quieter throughout", "dB", 0.01, 6.0, _attenuated),
    Damage("200 ms quieter", "dB", 0.01, 12.0, _dip),
    Damage("pitch raised", "cents", 1e-3, 17.2, _resampled),
    Damage("delayed", "ms", 0.01, 20.0, _shifted),
    Damage("white noise added", "dB relative to the speech", -100.0, -10.0, _noisy),
    Damage("high frequencies cut", "% of the spectrum", 0.5, 60.0, _band_limited),
    Damage("coarser samples", "bits fewer than 16", 0.0, 11.0, _coarse),
)
"""Damages that the gate must notice at their `high` strength."""

HARMLESS = (
    Damage("gain", "dB", 0.0, 0.0087, _attenuated),
    Damage("dither and 16 bits", "bits fewer than 16", 0.0, 0.0, _coarse),
    Damage("noise at -80 dB", "dB", -100.0, -80.0, _noisy),
)
"""Changes that nobody hears, whose `high` strength must remain equivalent."""
