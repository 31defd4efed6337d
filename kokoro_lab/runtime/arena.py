"""The arena that a session takes its memory from: how far it may grow, and in which steps.

onnxruntime's own arena of a session takes no size. An arena registered with its environment does, and a session that
is created with `session.use_env_allocators` keeps the one that was registered last at that moment, for good: sessions
created later, over another registration, have their own. So each session that asks for a limit gets one, and a call
that needs more fails with an error of its own (proved in tests/runtime/test_arena.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["EXTENDING", "MEBIBYTE", "ArenaStatus", "documented_size_mb", "registered", "worth_changing"]

MEBIBYTE = 2**20
EXTENDING = {"double": 0, "requested": 1}
"""Our names of onnxruntime's kNextPowerOfTwo and kSameAsRequested."""

SMALLEST_CHANGE = (0.10, 64)  # part of the present size, and MB, that a change must reach, as the documents have it
_registering = threading.Lock()


@dataclass(frozen=True)
class ArenaStatus:
    """How the sessions' arenas were made, and how often the limit was met."""

    limit_mb: int
    """MB (2**20 bytes) that each session's arena may hold; 0 for no limit."""
    extend: str
    """Steps in which it grows."""
    refusals: int
    """Calls that needed more than the limit, and failed."""


@contextmanager
def registered(limit_mb: int, extend: str) -> Iterator[None]:
    """Have the sessions created inside take their memory from a new arena; one thread at a time."""
    import onnxruntime as ort

    with _registering:
        options: dict[str, Any] = {"arena_extend_strategy": EXTENDING[extend]}
        if limit_mb:
            options["max_mem"] = limit_mb * MEBIBYTE
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(options))
        yield


def documented_size_mb(total_gb: float, cores: int, tokens: int, used_share: float) -> int:
    """The documents' size of an arena in MB: a base by the machine's memory, times three factors.

    The documents give the base, the pressure factors and the ranges of the other two (hardware 0.5 to 2, workload 0.7
    to 2); that these are cores / 8 and the longest segment's tokens / 255 is ours. used_share: memory in use, 0 to 1.
    """
    base = 1024 if total_gb >= 32 else 768 if total_gb >= 16 else 384 if total_gb <= 8 else 512
    hardware = min(max(cores / 8, 0.5), 2.0)
    workload = min(max(tokens / 255, 0.7), 2.0)
    pressure = 0.6 if used_share > 0.9 else 0.8 if used_share > 0.8 else 0.9 if used_share > 0.7 else 1.0
    return round(base * hardware * workload * pressure)


def worth_changing(present_mb: int, wanted_mb: int) -> bool:
    """Whether a change is large enough to be made: at least 10 % and 64 MB."""
    share, least = SMALLEST_CHANGE
    change = abs(wanted_mb - present_mb)
    return change >= least and change >= share * present_mb
