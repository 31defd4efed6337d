"""Least-recently-used caches with exact counters of their hits and misses."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Cache", "CacheStatus"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class CacheStatus:
    """Counters of a cache since the engine was loaded."""

    entries: int
    size: int
    """Total weight of the entries by the cache's own `weigh`: bytes, or the number of entries where each weighs 1."""
    limit: int
    """Limit of `size`."""
    hits: int
    misses: int
    evictions: int
    """Entries evicted for room."""
    expirations: int
    """Entries evicted for age."""
    refusals: int
    """Values that were too large to be stored."""

    @property
    def hit_rate(self) -> float | None:
        """Hits over look-ups; None before the first look-up."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else None


class Cache(Generic[K, V]):
    """Least-recently-used cache with limits on total weight and on age. Safe for any number of threads."""

    def __init__(
        self,
        limit: int,
        *,
        ttl_s: float = float("inf"),
        weigh: Callable[[V], int] = lambda _: 1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self._ttl_s = ttl_s
        self._weigh = weigh
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, tuple[V, int, float]] = OrderedDict()
        self._size = 0
        self._hits = self._misses = self._evictions = self._expirations = self._refusals = 0

    def get(self, key: K) -> V | None:
        """The value of the key, None where it is missing or too old; counts as a hit or a miss."""
        with self._lock:
            entry = self._kept.get(key)
            if entry is not None and self._now() - entry[2] >= self._ttl_s:
                self._drop(key)
                self._expirations += 1
                entry = None
            if entry is None:
                self._misses += 1
                return None
            self._kept.move_to_end(key)
            self._hits += 1
            return entry[0]

    def put(self, key: K, value: V) -> bool:
        """Store the value, evicting the least recently used entries; False when the value alone exceeds the limit."""
        weight = self._weigh(value)
        with self._lock:
            if key in self._kept:
                self._drop(key)
            if weight > self.limit:
                self._refusals += 1
                return False
            while self._size + weight > self.limit:
                self._drop(next(iter(self._kept)))
                self._evictions += 1
            self._kept[key] = (value, weight, self._now())
            self._size += weight
            return True

    def holds(self, key: K) -> bool:
        """Whether a look-up would find the key now; changes neither counters nor order."""
        with self._lock:
            entry = self._kept.get(key)
            return entry is not None and self._now() - entry[2] < self._ttl_s

    def resize(self, limit: int) -> None:
        """Change the limit, evicting the least recently used entries that no longer fit."""
        with self._lock:
            self.limit = limit
            while self._size > limit:
                self._drop(next(iter(self._kept)))
                self._evictions += 1

    def clear(self) -> int:
        """Remove all entries and return their number; counters stay."""
        with self._lock:
            count = len(self._kept)
            self._kept.clear()
            self._size = 0
            return count

    def keys(self) -> list[K]:
        """The keys, least recently used first."""
        with self._lock:
            return list(self._kept)

    def status(self) -> CacheStatus:
        """The current counters."""
        with self._lock:
            return CacheStatus(
                len(self._kept), self._size, self.limit,
                self._hits, self._misses, self._evictions, self._expirations, self._refusals,
            )  # fmt: skip

    def _drop(self, key: K) -> None:
        _, weight, _ = self._kept.pop(key)
        self._size -= weight
