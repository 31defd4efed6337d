"""Simulated playback of a stream: when a listener would have heard each part, and where playback would have stalled.

A stream is a list of arrivals on the caller's clock. A player starts when its pre-buffer is full and plays
without a break as long as every chunk arrives in time; when one is late, it is silent until the chunk arrives: an
underrun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kokoro_lab.units import SAMPLE_RATE

__all__ = ["AUDIBLE", "Arrival", "Listening", "arrival", "first_audible", "listen", "rechunk", "sweep", "ttfa_s"]


AUDIBLE = 10.0 ** (-50.0 / 20.0)
"""Amplitude of -50 dBFS, which a sample must exceed to count as sound (measurement rule 9)."""

CHUNK_SIZES_MS = (30.0, 50.0, 80.0, 120.0)
PREBUFFERS = (1, 2, 3)
"""The player settings of the specification (docs/claims.md)."""

TIE_S = 1e-9
"""A chunk this late counts as in time: the delay is rounding."""


@dataclass(frozen=True)
class Arrival:
    """One delivery: when it arrived (seconds from the call), how long it plays, where its sound begins."""

    at_s: float
    duration_s: float
    audible_s: float | None = 0.0
    """Seconds from the start of the delivery to its first audible sample; None without one."""


@dataclass(frozen=True)
class Listening:
    """The playback that one listener would have had; all times in seconds from the call."""

    chunk_ms: float | None
    """Length of the chunks that the player waits for; None: as delivered."""
    prebuffer: int
    started_s: float
    """When the player started."""
    ended_s: float
    ttfa_s: float | None
    """When the first audible sample was played; None when there is none."""
    underruns: int
    stalled_s: float
    """Seconds of silence after the start that are not in the stream."""
    longest_stall_s: float
    gap_median_s: float
    """Between two deliveries; 0 with fewer than two."""
    gap_max_s: float


def first_audible(samples: npt.NDArray[np.float32]) -> int | None:
    """Index of the first sample of float32[S] above -50 dBFS; None when there is none."""
    loud = np.abs(samples) > AUDIBLE
    index = int(loud.argmax()) if loud.size else 0
    return index if loud.size and bool(loud[index]) else None


def arrival(at_s: float, samples: npt.NDArray[np.float32], sample_rate: int = SAMPLE_RATE) -> Arrival:
    """The arrival of float32[S]."""
    index = first_audible(samples)
    return Arrival(at_s, len(samples) / sample_rate, None if index is None else index / sample_rate)


def ttfa_s(arrivals: Sequence[Arrival]) -> float | None:
    """Time to first audio (measurement rule 9): from the call to the first audible sample, after anything queued before
    it.

    A header, silence or keep-alive sent early does not shorten it, and lengthens it if still playing when the speech
    arrives. None when nothing is audible.
    """
    return listen(arrivals).ttfa_s


def rechunk(arrivals: Sequence[Arrival], chunk_ms: float) -> tuple[Arrival, ...]:
    """The same samples for a player that takes chunks of `chunk_ms`: each arrives with its last sample."""
    size = chunk_ms / 1000.0
    ends = np.cumsum([delivery.duration_s for delivery in arrivals])
    starts = np.concatenate(([0.0], ends[:-1]))
    times = np.maximum.accumulate([delivery.at_s for delivery in arrivals])
    sounds = [
        start + delivery.audible_s
        for start, delivery in zip(starts, arrivals, strict=True)
        if delivery.audible_s is not None
    ]
    total = float(ends[-1])
    chunks = []
    for number in range(max(1, int(np.ceil(total / size - TIE_S)))):
        begin, end = number * size, min((number + 1) * size, total)
        delivery = min(int(np.searchsorted(ends, end - TIE_S)), len(ends) - 1)
        sound = next((at - begin for at in sounds if begin - TIE_S <= at < end - TIE_S), None)
        chunks.append(Arrival(float(times[delivery]), end - begin, sound))
    return tuple(chunks)


def listen(arrivals: Sequence[Arrival], *, chunk_ms: float | None = None, prebuffer: int = 1) -> Listening:
    """Play a stream; the player starts once `prebuffer` chunks (or the whole stream, if shorter) have arrived.

    Raises ValueError for a stream without arrivals or a pre-buffer under 1.
    """
    if not arrivals or prebuffer < 1:
        raise ValueError("a listener needs at least one arrival and a pre-buffer of at least one chunk")
    chunks = tuple(arrivals) if chunk_ms is None else rechunk(arrivals, chunk_ms)
    times = np.maximum.accumulate([chunk.at_s for chunk in chunks]).tolist()
    clock = started = times[min(prebuffer, len(chunks)) - 1]
    first_audio: float | None = None
    stalls = []
    for chunk, at in zip(chunks, times, strict=True):
        if at > clock + TIE_S:
            stalls.append(at - clock)
            clock = at
        if first_audio is None and chunk.audible_s is not None:
            first_audio = clock + chunk.audible_s
        clock += chunk.duration_s
    gaps = np.diff([delivery.at_s for delivery in arrivals])
    return Listening(
        chunk_ms=chunk_ms,
        prebuffer=prebuffer,
        started_s=started,
        ended_s=clock,
        ttfa_s=first_audio,
        underruns=len(stalls),
        stalled_s=float(sum(stalls)),
        longest_stall_s=max(stalls, default=0.0),
        gap_median_s=float(np.median(gaps)) if gaps.size else 0.0,
        gap_max_s=float(gaps.max()) if gaps.size else 0.0,
    )


def sweep(
    arrivals: Sequence[Arrival],
    chunk_sizes_ms: Iterable[float] = CHUNK_SIZES_MS,
    prebuffers: Iterable[int] = PREBUFFERS,
) -> tuple[Listening, ...]:
    """One recorded stream, played with every combination of chunk size and pre-buffer."""
    depths = tuple(prebuffers)
    return tuple(listen(arrivals, chunk_ms=size, prebuffer=depth) for size in chunk_sizes_ms for depth in depths)
