"""Pre-warming: frequently requested texts are synthesised into the audio cache again before their next request.

A text that was requested at least `uses` times within a day, and has since left the cache (for room, or for age), is
synthesised again while the engine is idle. The specification (docs/claims.md) has three uses, 100 MB and 24 hours.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.runtime.workers import start_worker

__all__ = ["BUDGET_BYTES", "PrewarmStatus", "Prewarmer"]

WINDOW_S = 24 * 3600.0  # s; how long a use counts
BUDGET_BYTES = 100 * 10**6  # total size of the texts kept in the cache
TRACKED = 1000  # texts whose uses are counted; the least recently used is dropped
IDLE_S = 0.05  # s; wait before checking a busy engine again

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class PrewarmStatus:
    """Frequently requested texts, and what was done about them."""

    tracked: int
    """Requests whose uses are counted."""
    popular: int
    """Requests that were frequent enough and fit into the budget."""
    rendered: int
    """Number of texts synthesised ahead."""
    helped: int
    """Number of those that were then requested and answered from the cache."""
    failed: int


class Prewarmer(Generic[K]):
    """Counts uses, and synthesises popular texts that have left the cache on its own thread."""

    def __init__(
        self,
        uses: int,
        render: Callable[[K], int],
        is_there: Callable[[K], bool],
        is_busy: Callable[[], bool],
        *,
        budget: int = BUDGET_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """render: synthesises a request into the cache and returns its bytes. is_there: whether the cache has it."""
        self._uses = uses
        self._render = render
        self._is_there = is_there
        self._is_busy = is_busy
        self._budget = budget
        self._now = now
        self._lock = threading.Lock()
        self._times: dict[K, deque[float]] = {}
        self._bytes: dict[K, int] = {}
        self._warm: set[K] = set()
        self._rendered = self._helped = self._failed = 0
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start rendering."""
        self._thread = start_worker("kokoro-prewarm", self._work, self._wake_up)

    def stop(self) -> None:
        """Stop rendering; returns when the current rendering has ended."""
        self._wake_up()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def used(self, key: K, size: int, *, cached: bool) -> None:
        """Count an answered request and its size in bytes; `cached`: whether it was answered from the cache."""
        with self._lock:
            times = self._times.pop(key, None) or deque(maxlen=self._uses)
            times.append(self._now())
            self._times[key] = times
            self._bytes[key] = size
            self._helped += cached and key in self._warm
            self._warm.discard(key)
            while len(self._times) > TRACKED:
                oldest = next(iter(self._times))
                del self._times[oldest], self._bytes[oldest]
        self._wake.set()

    def forget(self) -> None:
        """Reset the counts: a caller that clears a cache does not want it refilled at once."""
        with self._lock:
            self._times.clear()
            self._bytes.clear()
            self._warm.clear()

    def missing(self) -> list[K]:
        """Popular requests that are not in the cache, the most recently used first."""
        return [key for key in self._popular() if not self._is_there(key)]

    def status(self) -> PrewarmStatus:
        """The current counters."""
        popular = len(self._popular())
        with self._lock:
            return PrewarmStatus(len(self._times), popular, self._rendered, self._helped, self._failed)

    def _wake_up(self) -> None:
        self._stopped.set()
        self._wake.set()

    def _popular(self) -> list[K]:
        with self._lock:
            since = self._now() - WINDOW_S
            popular, room = [], self._budget
            for key, times in reversed(self._times.items()):
                if len(times) >= self._uses and times[0] >= since and self._bytes[key] <= room:
                    popular.append(key)
                    room -= self._bytes[key]
            return popular

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(timeout=1.0)  # also checks by itself: entries expire without a request
            self._wake.clear()
            for key in self.missing():
                while self._is_busy() and not self._stopped.wait(IDLE_S):
                    pass
                if self._stopped.is_set():
                    return
                self._warm_up(key)

    def _warm_up(self, key: K) -> None:
        try:
            size = self._render(key)
        except KokoroLabError:
            with self._lock:
                self._failed += 1
                self._times.pop(key, None)  # or it would be retried again and again
                self._bytes.pop(key, None)
            return
        with self._lock:
            self._rendered += 1
            self._warm.add(key)
            if key in self._bytes:
                self._bytes[key] = size
