"""Computed hit rates of a cache by its size: requests drawn from Zipf distributions, replayed through the engine's own
cache.

How often users request the same text depends on the workload, not on this machine. What an engine's caches really did
is counted by the engine itself, and stored with each block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokoro_lab.engine.caches import Cache

__all__ = ["Workload", "hit_rate"]


@dataclass(frozen=True)
class Workload:
    """Requests for `texts` different texts; the r-th most popular text is requested in proportion to r ** -exponent."""

    texts: int = 1000
    requests: int = 5000
    seed: int = 20

    def draw(self, exponent: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        """int64 [requests]: which text each request is for, 0 the most popular (Zipf 1949)."""
        weights = np.arange(1, self.texts + 1, dtype=np.float64) ** -exponent
        return np.random.default_rng(self.seed).choice(self.texts, self.requests, p=weights / weights.sum())


def hit_rate(requests: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]], entries: int) -> float:
    """Hit rate of the engine's own cache with a capacity of `entries`; the cache starts empty."""
    if entries < 1:
        return 0.0
    cache: Cache[int, bool] = Cache(entries, now=lambda: 0.0)
    for text in requests:
        if cache.get(int(text)) is None:
            cache.put(int(text), True)
    return cache.status().hit_rate or 0.0
