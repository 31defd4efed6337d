"""Which of a block's calls gave the same samples, so that the gate can look at every rendering and not at the last."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kokoro_lab.measure.block.calls import Call
from kokoro_lab.measure.records.cell import RenderingReading
from kokoro_lab.units import SILENT_DBFS

__all__ = ["MOST_RENDERINGS", "Rendering", "audio_paths", "distinct_renderings"]

MOST_RENDERINGS = 4
"""Distinct renderings of a block that are kept. A deterministic engine has one; one with noise that nobody seeded has
as many as calls."""


@dataclass(frozen=True)
class Rendering:
    """A call's samples, and which calls had the same."""

    call: Call
    reading: RenderingReading


def distinct_renderings(calls: Sequence[Call]) -> tuple[tuple[Rendering, ...], int]:
    """The distinct renderings of the calls, at most `MOST_RENDERINGS` of them, and how many there are.

    The last call's is first. The others follow by how likely they are wrong: those with values that are no numbers,
    then silent ones, then those whose level is farthest from the median of all; equal ones in the order of their first
    call.
    """
    numbers: dict[bytes, list[int]] = {}
    for number, call in enumerate(calls):
        numbers.setdefault(hashlib.sha256(call.samples.tobytes()).digest(), []).append(number)
    levels = {group[0]: _level_db(calls[group[0]].samples) for group in numbers.values()}
    middle = float(np.median([level for level in levels.values() if math.isfinite(level)] or [0.0]))

    def place(group: list[int]) -> tuple[bool, bool, float, int]:
        level = levels[group[0]]
        return group[-1] != len(calls) - 1, level > SILENT_DBFS, -abs(level - middle), group[0]

    groups = sorted(numbers.values(), key=place)
    kept = tuple(
        Rendering(calls[group[0]], RenderingReading(group[0], len(group), calls[group[0]].durations))
        for group in groups[:MOST_RENDERINGS]
    )
    return kept, len(groups)


def _level_db(samples: npt.NDArray[np.float32]) -> float:
    """RMS of float32[S], dBFS; minus infinity without a sample, and where one is no number."""
    with np.errstate(all="ignore"):
        power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else math.nan
    return 10.0 * math.log10(max(power, 1e-20)) if math.isfinite(power) else -math.inf


def audio_paths(audio: Path) -> tuple[Path, ...]:
    """The files of a block's renderings, in order; `audio` is that of the first."""
    return (audio, *(audio.with_name(f"{audio.stem}-{number}{audio.suffix}") for number in range(1, MOST_RENDERINGS)))
