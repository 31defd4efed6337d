"""A bounded queue between two stages, which either side can cut, and clocks of how each stage spends its time."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Channel", "CutError", "StageClock", "StageTimes"]

T = TypeVar("T")


class CutError(Exception):
    """The channel was cut while a thread waited at it; never leaves the stream's own threads."""


class Channel(Generic[T]):
    """First in, first out, with room for `capacity` items; the sender waits while it is full."""

    def __init__(self, capacity: int) -> None:
        self.capacity: float = capacity
        self.most = 0
        """Largest number of items that waited at once."""
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._cut = False

    def put(self, item: T) -> None:
        """Append, waiting for room; CutError when the channel was cut."""
        with self._changed:
            self._changed.wait_for(lambda: self._cut or len(self._items) < self.capacity)
            if self._cut:
                raise CutError
            self._items.append(item)
            self.most = max(self.most, len(self._items))
            self._changed.notify_all()

    def lift(self) -> None:
        """Take the limit away: no sender waits any more."""
        with self._changed:
            self.capacity = math.inf
            self._changed.notify_all()

    def end(self) -> None:
        """Mark the end: no more items follow."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """Discard waiting items and release all waiting threads: every later put and get raises CutError."""
        with self._changed:
            self._cut = True
            self._items.clear()
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until `count` items are in the queue (at most the capacity), or until no more can follow."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._cut or self._ended or len(self._items) >= min(count, self.capacity),
            )

    def get(self) -> T:
        """Take the next item, waiting if necessary. EOFError after the last; CutError when the channel was cut."""
        with self._changed:
            self._changed.wait_for(lambda: self._cut or self._ended or self._items)
            if self._cut:
                raise CutError
            if not self._items:
                raise EOFError
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        try:
            while True:
                yield self.get()
        except EOFError:
            return

    def __len__(self) -> int:
        return len(self._items)


@dataclass(frozen=True)
class StageTimes:
    """How a stage's thread spent its wall time, in seconds."""

    busy_s: float
    """Working."""
    waiting_s: float
    """Waiting at its two channels."""
    wall_s: float
    """From the thread's first line to its last."""
    items: int
    """Pieces of work done."""


class StageClock:
    """Splits the time of a stage's thread into waiting at its channels and working."""

    def __init__(self) -> None:
        self._busy = 0.0
        self._waiting = 0.0
        self._items = 0
        self._start = self._mark = self._end = 0.0

    def start(self) -> None:
        """The thread has started, and works."""
        self._start = self._mark = time.perf_counter()

    def stop(self) -> None:
        """The thread is about to end."""
        self._end = time.perf_counter()
        self._busy += self._end - self._mark

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting."""
        began = time.perf_counter()
        self._busy += began - self._mark
        try:
            yield
        finally:
            self._mark = time.perf_counter()
            self._waiting += self._mark - began

    def shift(self, seconds: float) -> None:
        """Move seconds from working to waiting: for a wait inside a piece of work."""
        self._busy -= seconds
        self._waiting += seconds

    def count(self) -> None:
        """Count a finished piece of work."""
        self._items += 1

    def times(self) -> StageTimes:
        """The times so far; complete when the thread has ended."""
        if not self._start:
            return StageTimes(0.0, 0.0, 0.0, 0)
        wall = (self._end or time.perf_counter()) - self._start
        return StageTimes(self._busy, self._waiting, wall, self._items)
