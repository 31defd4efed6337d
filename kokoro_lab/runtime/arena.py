"""The arena from which a session allocates memory: how far it may grow, and in which steps.

onnxruntime's default arena of a session has no size limit. An arena registered with the environment can have one, and a
session created with `session.use_env_allocators` permanently uses the arena that was registered last at that moment:
sessions created after another registration have their own. So each session that requests a limit gets an arena of its
own, and a call that needs more fails with a specific error (tests/runtime/test_arena.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from kokoro_lab.units import MIB

__all__ = ["ArenaExtend", "ArenaStatus", "registered", "size_for_machine_mib"]

ArenaExtend = Literal["double", "requested"]

EXTENDING: Mapping[ArenaExtend, int] = {"double": 0, "requested": 1}
"""Our names of onnxruntime's kNextPowerOfTwo and kSameAsRequested."""

_registering = threading.Lock()


def _renew() -> None:
    global _registering
    _registering = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@dataclass(frozen=True)
class ArenaStatus:
    """The settings of the sessions' arenas, and how often the limit was exceeded."""

    limit_mib: int
    """MiB (2**20 bytes) that each session's arena may hold; 0 for no limit."""
    extend: str
    """Steps in which it grows."""
    refusals: int
    """Calls that needed more than the limit, and failed."""


@contextmanager
def registered(limit_mib: int, extend: ArenaExtend) -> Iterator[None]:
    """Sessions created inside this context use a new arena; one thread at a time."""
    import onnxruntime as ort

    with _registering:
        options: dict[str, Any] = {"arena_extend_strategy": EXTENDING[extend]}
        if limit_mib:
            options["max_mem"] = limit_mib * MIB
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(options))
        yield


def size_for_machine_mib(total_gib: float, cores: int, tokens: int, used_share: float) -> int:
    """The size of an arena in MiB by the specification's formula: a base for the machine's memory, times three factors.

    The specification gives the base, the pressure factors and the ranges of the other two (hardware 0.5 to 2, workload
    0.7 to 2); that these are cores / 8 and the longest segment's tokens / 255 is our choice. used_share: memory in use,
    0 to 1.
    """
    base = 1024 if total_gib >= 32 else 768 if total_gib >= 16 else 384 if total_gib <= 8 else 512
    hardware = min(max(cores / 8, 0.5), 2.0)
    workload = min(max(tokens / 255, 0.7), 2.0)
    pressure = 0.6 if used_share > 0.9 else 0.8 if used_share > 0.8 else 0.9 if used_share > 0.7 else 1.0
    return round(base * hardware * workload * pressure)
