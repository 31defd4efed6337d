"""Memory use of the process, and a watchdog that releases memory under pressure.

Fragmentation is the allocator's own figure: the share of the heap that glibc holds unused (mallinfo2). Where the
platform has no such figure it is None, never a guess.
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

HISTORY = 100  # stored readings, as in the specification (docs/claims.md)
IN_A_ROW = 3  # consecutive readings over a limit before the watchdog acts, as in the specification
FRAGMENTED = 0.70  # share of the heap held unused that triggers a trim, as in the specification
FRAGMENTED_MIN_BYTES = 64 * 10**6  # unused bytes below which trimming is not worthwhile


@dataclass(frozen=True)
class MemoryReading:
    """Memory at a moment."""

    at_s: float
    """time.monotonic()."""
    rss_bytes: int
    """Resident memory of this process."""
    used_share: float
    """Share of the machine's memory that all processes use, 0 to 1."""
    unused_heap_bytes: int | None
    """Bytes of the heap that the allocator holds unused; None where the platform does not report it."""
    fragmentation: float | None
    """The same as a share of the heap, 0 to 1."""


@dataclass(frozen=True)
class Action:
    """A clean-up and its effect."""

    at_s: float
    reason: str
    rss_before: int
    rss_after: int

    @property
    def freed_bytes(self) -> int:
        """Resident memory released; negative when the process grew meanwhile."""
        return self.rss_before - self.rss_after


@dataclass(frozen=True)
class MemoryStatus:
    """The watchdog's readings and actions."""

    readings: tuple[MemoryReading, ...]
    """The last hundred readings, oldest first."""
    actions: tuple[Action, ...]
    growth_per_request: float | None
    """Growth of resident memory in bytes per request, over the stored readings; None before two readings with requests.
    """


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
    """Bytes that the heap holds unused, and their share of the heap; None where the allocator does not report them."""
    libc = _libc()
    if libc is None:
        return None
    info = libc.mallinfo2()
    return int(info.fordblks), info.fordblks / info.arena if info.arena else 0.0


def trim() -> bool:
    """Ask the allocator to return unused memory to the system; True if it returned any."""
    libc = _libc()
    return libc is not None and bool(libc.malloc_trim(0))


def read_memory() -> MemoryReading:
    """Read the current memory use."""
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
    """Reads memory use every `interval_s`, and cleans up when pressure or fragmentation lasts."""

    def __init__(
        self,
        clean: Callable[[], object],
        requests: Callable[[], int],
        *,
        interval_s: float,
        pressure: float,
        read: Callable[[], MemoryReading] = read_memory,
    ) -> None:
        """`clean` drops data that can be computed again; then the heap is trimmed. `requests` counts requests."""
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
        """Start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> MemoryReading:
        """Take a reading now, and clean up if it is the third in a row over a limit."""
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
        """Readings and actions so far."""
        with self._lock:
            readings, actions = list(self._readings), tuple(self._actions)
        growth = None
        if len(readings) > 1 and readings[-1][1] > readings[0][1]:
            growth = (readings[-1][0].rss_bytes - readings[0][0].rss_bytes) / (readings[-1][1] - readings[0][1])
        return MemoryStatus(tuple(reading for reading, _ in readings), actions, growth)

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
