"""Adaptive pre-buffer: how much of a stream to hold back before its first chunk, and how long chunks should be.

Both are learnt from earlier streams, by comparing when chunks arrived with when they would be played. For each finished
stream the smallest number of chunks is computed that, held back, would have avoided every gap; the next stream holds
back the largest number that the last streams needed. A chunk lasts a few times the jitter of hand-overs, smoothed as in
RFC 3550 (section 6.4.1), within the 25 to 120 ms of the specification (docs/claims.md). The specification bounds the
pre-buffer at 2 to 3 chunks; here it may reach `MOST_CHUNKS`, because two or three chunks of a first segment arrive
together and protect against nothing.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["AdaptivePrebuffer", "ChunkArrival", "PrebufferStatus", "needed"]

SHORTEST_MS, LONGEST_MS = 25.0, 120.0  # length of a chunk, as in the specification
MOST_CHUNKS = 64  # largest pre-buffer; 64 chunks of 80 ms are five seconds
REMEMBERED = 20  # streams that are remembered
SMOOTHING = 1 / 16  # weight of the newest difference, as in RFC 3550
TIMES_JITTER = 4.0  # length of a chunk in units of the jitter, so that a late hand-over costs less than a chunk
TIE_S = 1e-9


@dataclass(frozen=True)
class ChunkArrival:
    """When a chunk was produced (seconds on the stream's clock, without waiting for the caller), and its length."""

    at_s: float
    duration_s: float
    segment: int


@dataclass(frozen=True)
class PrebufferStatus:
    """What the adaptive pre-buffer has learnt."""

    streams: int
    """Streams that were learnt from."""
    late_streams: int
    """Streams that would have had a gap with a pre-buffer of one chunk."""
    jitter_ms: float
    """Smoothed difference between hand-overs inside a segment."""
    chunk_ms: float
    """The settings for the next stream."""
    prebuffer: int


class AdaptivePrebuffer:
    """Learns from finished streams and advises new streams. Safe for any number of threads."""

    def __init__(self, chunk_ms: float, prebuffer: int) -> None:
        """The initial values; the pre-buffer never falls below its initial value."""
        self._least = max(1, prebuffer)
        self._lock = threading.Lock()
        self._needed: deque[float] = deque(maxlen=REMEMBERED)
        self._chunk_ms = chunk_ms
        self._jitter_s = 0.0
        self._streams = self._late = 0

    def advise(self) -> tuple[float, int]:
        """(milliseconds of a chunk, chunks to hold back) for the next stream."""
        with self._lock:
            return self._chunk_ms, self._prebuffer()

    def learn(self, arrived: Sequence[ChunkArrival]) -> None:
        """Learn from a stream that was consumed to its end."""
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

    def status(self) -> PrebufferStatus:
        """What has been learnt so far."""
        with self._lock:
            return PrebufferStatus(
                self._streams, self._late, 1000 * self._jitter_s, self._chunk_ms, self._prebuffer()
            )  # fmt: skip

    def _prebuffer(self) -> int:
        held_s = max(self._needed, default=0.0)
        chunks = math.ceil(held_s / (self._chunk_ms / 1000) - TIE_S) if self._chunk_ms else 0
        return min(max(self._least, chunks), max(self._least, MOST_CHUNKS))


def needed(arrived: Sequence[ChunkArrival]) -> int:
    """The smallest number of chunks that, held back before playing starts, avoids every gap."""
    starts = [0.0]
    for chunk in arrived[:-1]:
        starts.append(starts[-1] + chunk.duration_s)
    # Chunk k is in time when the player began at or after at_k - start_k.
    begin = max(chunk.at_s - start for chunk, start in zip(arrived, starts, strict=True))
    return next((at + 1 for at, chunk in enumerate(arrived) if chunk.at_s >= begin - TIE_S), len(arrived))
