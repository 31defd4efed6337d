"""Which of a block's calls gave the same samples, so that the gate can look at every rendering and not at the last."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.measure.block.calls import Call
from kokoro_lab.measure.records.cell import RenderingReading

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

    The last call's is first; the others follow in the order of their first call.
    """
    numbers: dict[bytes, list[int]] = {}
    for number, call in enumerate(calls):
        numbers.setdefault(hashlib.sha256(call.samples.tobytes()).digest(), []).append(number)
    groups = sorted(numbers.values(), key=lambda group: (group[-1] != len(calls) - 1, group[0]))
    kept = tuple(
        Rendering(calls[group[0]], RenderingReading(group[0], len(group), calls[group[0]].durations))
        for group in groups[:MOST_RENDERINGS]
    )
    return kept, len(groups)


def audio_paths(audio: Path) -> tuple[Path, ...]:
    """The files of a block's renderings, in order; `audio` is that of the first."""
    return (audio, *(audio.with_name(f"{audio.stem}-{number}{audio.suffix}") for number in range(1, MOST_RENDERINGS)))
