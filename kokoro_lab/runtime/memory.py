"""How much memory the process holds, and a watchdog that gives some back when it is under pressure.

Fragmentation is the allocator's own figure: the part of the heap that glibc holds and nothing uses (mallinfo2). Where
the platform gives no such figure it is None, never a guess.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Action", "MemoryReading", "MemoryStatus", "Watchdog", "allocator_unused_share", "read_memory", "trim"]

HISTORY = 100  # readings kept, as the documents have it
IN_A_ROW = 3  # readings over a limit before the watchdog acts, as the documents have it
FRAGMENTED = 0.70  # part of the heap that is held and unused, as the documents have it
FRAGMENTED_MIN_BYTES = 64 * 10**6  # below it a fragmented heap is not worth a trim


@dataclass(frozen=True)
class MemoryReading:
    """Memory at one moment."""

    at_s: float
    """time.monotonic()."""
    rss_bytes: int
    """Resident memory of this process."""
    used_share: float
    """Part of the machine's memory that is in use by anybody, 0 to 1."""
    unused_heap_bytes: int | None
    """Bytes of the heap that the allocator holds and nothing uses; None where the platform does not say."""
    fragmentation: float | None
    """The same as a part of the heap, 0 to 1."""


@dataclass(frozen=True)
class Action:
    """One clean-up and what it did."""

    at_s: float
    reason: str
    rss_before: int
    rss_after: int

    @property
    def freed_bytes(self) -> int:
        """What the process gave back; negative when it grew meanwhile."""
        return self.rss_before - self.rss_after


@dataclass(frozen=True)
class MemoryStatus:
    """What the watchdog saw and did."""

    readings: tuple[MemoryReading, ...]
    """The last hundred, oldest first."""
    actions: tuple[Action, ...]
    growth_per_request: float | None
    """Bytes of resident memory a request, over the readings that are kept; None before two readings with requests."""


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


@functools.cache
def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        libc.mallinfo2.restype = _MallInfo
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError, TypeError):
        return None
    return libc


def allocator_unused_share() -> tuple[int, float] | None:
    """Bytes the heap holds unused, and their part of the heap; None where the allocator does not say."""
    libc = _libc()
    if libc is None:
        return None
    info = libc.mallinfo2()
    return int(info.fordblks), info.fordblks / info.arena if info.arena else 0.0


def trim() -> bool:
    """Ask the allocator to give unused memory back; whether it gave any."""
    libc = _libc()
    return libc is not None and bool(libc.malloc_trim(0))


def read_memory() -> MemoryReading:
    """Memory now."""
    import psutil

    unused = allocator_unused_share()
    machine = psutil.virtual_memory()
    return MemoryReading(
        time.monotonic(),
        psutil.Process().memory_info().rss,
        1 - machine.available / machine.total,
        None if unused is None else unused[0],
        None if unused is None else unused[1],
    )


class Watchdog:
    """Looks at memory every `interval_s`, and cleans up when pressure or fragmentation lasts."""

    def __init__(
        self,
        clean: Callable[[], object],
        requests: Callable[[], int],
        *,
        interval_s: float,
        pressure: float,
        read: Callable[[], MemoryReading] = read_memory,
    ) -> None:
        """`clean` drops what can be made again (caches); the heap is trimmed after it. `requests` counts requests."""
        self._clean = clean
        self._requests = requests
        self._interval_s = interval_s
        self._pressure = pressure
        self._read = read
        self._lock = threading.Lock()
        self._readings: deque[tuple[MemoryReading, int]] = deque(maxlen=HISTORY)
        self._actions: list[Action] = []
        self._over = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="kokoro-memory", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> MemoryReading:
        """Take a reading now, and act on it if it is the third in a row over a limit."""
        reading = self._read()
        reason = self._reason(reading)
        with self._lock:
            self._readings.append((reading, self._requests()))
            self._over = self._over + 1 if reason else 0
            due = self._over >= IN_A_ROW
            if due:
                self._over = 0
        if due:
            self._act(reason, reading)
        return reading

    def status(self) -> MemoryStatus:
        """What was seen and done."""
        with self._lock:
            kept, actions = list(self._readings), tuple(self._actions)
        growth = None
        if len(kept) > 1 and kept[-1][1] > kept[0][1]:
            growth = (kept[-1][0].rss_bytes - kept[0][0].rss_bytes) / (kept[-1][1] - kept[0][1])
        return MemoryStatus(tuple(reading for reading, _ in kept), actions, growth)

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.look()

    def _reason(self, reading: MemoryReading) -> str:
        if reading.used_share >= self._pressure:
            return f"{reading.used_share:.0%} of the machine's memory in use"
        if (
            reading.fragmentation is not None
            and reading.fragmentation >= FRAGMENTED
            and (reading.unused_heap_bytes or 0) >= FRAGMENTED_MIN_BYTES
        ):
            return f"{reading.fragmentation:.0%} of the heap unused"
        return ""

    def _act(self, reason: str, before: MemoryReading) -> None:
        self._clean()
        trim()
        action = Action(time.monotonic(), reason, before.rss_bytes, self._read().rss_bytes)
        with self._lock:
            self._actions.append(action)
