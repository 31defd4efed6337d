"""The listener's clock: when would somebody with a plain player have heard what, and where would it have stuttered?

A stream is a list of arrivals on the caller's clock. A player starts when its pre-buffer is full, plays without a break
as long as the next chunk is there in time, and falls silent until it comes when it is not: that is an underrun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["AUDIBLE", "Arrival", "Listening", "arrival", "first_audible", "listen", "rechunk", "sweep", "ttfa_s"]

SAMPLE_RATE = 24_000  # Hz

AUDIBLE = 10.0 ** (-50.0 / 20.0)
"""Amplitude of -50 dBFS: what a sample must exceed to count as sound (rule 9)."""

CHUNK_SIZES_MS = (30.0, 50.0, 80.0, 120.0)
PREBUFFERS = (1, 2, 3)
"""The grid of the documents: what a player may be set to."""

TIE_S = 1e-9
"""A chunk that arrives this little after the last one ended is in time: rounding, not waiting."""


@dataclass(frozen=True)
class Arrival:
    """One delivery: when it came (seconds from the call), how long it plays, where in it sound begins."""

    at_s: float
    duration_s: float
    audible_s: float | None = 0.0
    """Seconds into the delivery of its first audible sample; None when it has none."""


@dataclass(frozen=True)
class Listening:
    """What one listener went through; all times in seconds from the call."""

    chunk_ms: float | None
    """Chunks the player waits for; None: as they were delivered."""
    prebuffer: int
    started_s: float
    """When the player started."""
    ended_s: float
    ttfa_s: float | None
    """When the first audible sample was played; None when there was none."""
    underruns: int
    stalled_s: float
    """Silence after the start that was not in the stream."""
    longest_stall_s: float
    gap_median_s: float
    """Between two deliveries; 0 with fewer than two."""
    gap_max_s: float


def first_audible(samples: npt.NDArray[np.float32]) -> int | None:
    """Index of the first sample of float32[S] above -50 dBFS; None when there is none."""
    loud = np.abs(samples) > AUDIBLE
    index = int(loud.argmax()) if loud.size else 0
    return index if loud.size and bool(loud[index]) else None


def arrival(at_s: float, samples: npt.NDArray[np.float32]) -> Arrival:
    """The arrival of float32[S] at 24 kHz."""
    index = first_audible(samples)
    return Arrival(at_s, len(samples) / SAMPLE_RATE, None if index is None else index / SAMPLE_RATE)


def ttfa_s(arrivals: Sequence[Arrival]) -> float | None:
    """Time to first audio by rule 9: call to the first audible sample, with what was queued before it played first.

    A header, silence or keep-alive sent early does not make it smaller, and makes it larger if it still plays when the
    speech arrives. None when nothing is audible.
    """
    return listen(arrivals).ttfa_s


def rechunk(arrivals: Sequence[Arrival], chunk_ms: float) -> tuple[Arrival, ...]:
    """The same samples as a player sees them that takes chunks of `chunk_ms`: each arrives with its last sample."""
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
    """Play a stream; `prebuffer` chunks (or the whole stream, if shorter) are there before the player starts.

    Raises ValueError for a stream without arrivals or a pre-buffer under 1.
    """
    if not arrivals or prebuffer < 1:
        raise ValueError("A listener needs at least one arrival and a pre-buffer of at least one chunk.")
    chunks = tuple(arrivals) if chunk_ms is None else rechunk(arrivals, chunk_ms)
    times = np.maximum.accumulate([chunk.at_s for chunk in chunks]).tolist()
    clock = started = times[min(prebuffer, len(chunks)) - 1]
    heard: float | None = None
    stalls = []
    for chunk, at in zip(chunks, times, strict=True):
        if at > clock + TIE_S:
            stalls.append(at - clock)
            clock = at
        if heard is None and chunk.audible_s is not None:
            heard = clock + chunk.audible_s
        clock += chunk.duration_s
    gaps = np.diff([delivery.at_s for delivery in arrivals])
    return Listening(
        chunk_ms=chunk_ms,
        prebuffer=prebuffer,
        started_s=started,
        ended_s=clock,
        ttfa_s=heard,
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
    """One recorded stream, heard by every player of the grid: underruns by chunk size and pre-buffer."""
    depths = tuple(prebuffers)
    return tuple(listen(arrivals, chunk_ms=size, prebuffer=depth) for size in chunk_sizes_ms for depth in depths)
