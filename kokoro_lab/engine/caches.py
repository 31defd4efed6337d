"""What is kept so that it need not be computed again, and true counters of how often that helped."""

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
    """Counters of one cache since the engine was loaded."""

    entries: int
    size: int
    """Bytes held, as measured by the cache's own `weigh`; entries where each weighs 1."""
    limit: int
    """What `size` may reach."""
    hits: int
    misses: int
    evictions: int
    """Entries dropped for room."""
    expirations: int
    """Entries dropped for age."""
    refusals: int
    """Values that were too large to be kept at all."""

    @property
    def hit_rate(self) -> float | None:
        """Hits over look-ups; None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class Cache(Generic[K, V]):
    """Least recently used first out, with a limit on the sum of weights and on age. Safe for any number of threads."""

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
        """The value kept under the key, None when there is none or it is too old; counts as a hit or a miss."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and self._now() - kept[2] >= self._ttl_s:
                self._drop(key)
                self._expirations += 1
                kept = None
            if kept is None:
                self._misses += 1
                return None
            self._kept.move_to_end(key)
            self._hits += 1
            return kept[0]

    def put(self, key: K, value: V) -> bool:
        """Keep the value, dropping the least recently used ones for room; False when it alone is over the limit."""
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
        """Whether a look-up would find the key now; counts as nothing and changes no order."""
        with self._lock:
            kept = self._kept.get(key)
            return kept is not None and self._now() - kept[2] < self._ttl_s

    def resize(self, limit: int) -> None:
        """Change the limit, dropping the least recently used entries that no longer fit."""
        with self._lock:
            self.limit = limit
            while self._size > limit:
                self._drop(next(iter(self._kept)))
                self._evictions += 1

    def clear(self) -> int:
        """Drop everything and return how many entries that were; counters stay."""
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
        """Counters as they are now."""
        with self._lock:
            return CacheStatus(
                len(self._kept), self._size, self.limit,
                self._hits, self._misses, self._evictions, self._expirations, self._refusals,
            )  # fmt: skip

    def _drop(self, key: K) -> None:
        _, weight, _ = self._kept.pop(key)
        self._size -= weight
