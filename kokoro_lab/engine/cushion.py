"""How much of a stream to hold back before its first chunk, and how long chunks should be, learnt from earlier streams.

What a listener needs depends on when chunks arrive against when they would be played. For each finished stream the
smallest number of chunks is worked out that, held back, would have left no gap; the next stream holds back the
largest number that the last streams needed. A chunk lasts a few times the jitter of hand-overs, smoothed as RFC 3550
(section 6.4.1) smooths it, within the documents' 25 to 120 ms. The documents bound the pre-buffer at 2 to 3 chunks;
ours may reach `MOST_CHUNKS`, since two or three chunks of a first segment arrive at once and protect nobody.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Arrived", "Cushion", "CushionStatus", "needed"]

SHORTEST_MS, LONGEST_MS = 25.0, 120.0  # of a chunk, as the documents have it
MOST_CHUNKS = 64  # held back at most; 64 of 80 ms are five seconds
REMEMBERED = 20  # streams
SMOOTHING = 1 / 16  # weight of the newest difference, as in RFC 3550
TIMES_JITTER = 4.0  # a hand-over that is late by this many mean differences costs less than a chunk
TIE_S = 1e-9


@dataclass(frozen=True)
class Arrived:
    """One chunk as it was made: when (seconds on the stream's clock, waiting for the caller taken out), how long."""

    at_s: float
    duration_s: float
    segment: int


@dataclass(frozen=True)
class CushionStatus:
    """What the cushion has learnt."""

    streams: int
    """Streams it learnt from."""
    late_streams: int
    """Those that would have had a gap with one chunk held back."""
    jitter_ms: float
    """Smoothed difference between hand-overs inside a segment."""
    chunk_ms: float
    """What the next stream will use."""
    prebuffer: int


class Cushion:
    """Advises streams, and learns from them. Safe for any number of threads."""

    def __init__(self, chunk_ms: float, prebuffer: int) -> None:
        """The values to begin with; the pre-buffer never falls below its own."""
        self._least = max(1, prebuffer)
        self._lock = threading.Lock()
        self._needed: deque[float] = deque(maxlen=REMEMBERED)
        self._chunk_ms = chunk_ms
        self._jitter_s = 0.0
        self._streams = self._late = 0

    def advise(self) -> tuple[float, int]:
        """Milliseconds of a chunk, and chunks to hold back, for the next stream."""
        with self._lock:
            return self._chunk_ms, self._prebuffer()

    def learn(self, arrived: Sequence[Arrived]) -> None:
        """Take in a stream that was heard to its end."""
        if not arrived:
            return
        count = needed(arrived)
        with self._lock:
            self._streams += 1
            self._late += count > 1
            self._needed.append(sum(chunk.duration_s for chunk in arrived[:count]) if count > 1 else 0.0)
            pairs = [(before, after) for before, after in pairwise(arrived) if before.segment == after.segment]
            for before, after in pairs:
                self._jitter_s += SMOOTHING * (abs(after.at_s - before.at_s) - self._jitter_s)
            if pairs and self._chunk_ms:
                self._chunk_ms = min(max(1000 * TIMES_JITTER * self._jitter_s, SHORTEST_MS), LONGEST_MS)

    def status(self) -> CushionStatus:
        """What was learnt so far."""
        with self._lock:
            return CushionStatus(
                self._streams, self._late, 1000 * self._jitter_s, self._chunk_ms, self._prebuffer()
            )  # fmt: skip

    def _prebuffer(self) -> int:
        held_s = max(self._needed, default=0.0)
        chunks = math.ceil(held_s / (self._chunk_ms / 1000) - TIE_S) if self._chunk_ms else 0
        return min(max(self._least, chunks), max(self._least, MOST_CHUNKS))


def needed(arrived: Sequence[Arrived]) -> int:
    """The smallest number of chunks that, held back before the first is played, leave no gap in the playing."""
    starts = [0.0]
    for chunk in arrived[:-1]:
        starts.append(starts[-1] + chunk.duration_s)
    # Chunk k is in time when the player began at or after at_k - start_k.
    begin = max(chunk.at_s - start for chunk, start in zip(arrived, starts, strict=True))
    return next((at + 1 for at, chunk in enumerate(arrived) if chunk.at_s >= begin - TIE_S), len(arrived))
