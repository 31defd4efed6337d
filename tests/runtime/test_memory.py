"""Memory: real figures, and a watchdog that acts only when it must and records what that did."""

from __future__ import annotations

import time

import numpy as np
import psutil
from patience import until

from kokoro_lab.runtime.memory import MemoryReading, Watchdog, allocator_unused_share, read_memory, trim

MB = 10**6


def reading(
    used: float = 0.5, fragmentation: float | None = 0.1, unused: int = 0, rss: int = 100 * MB
) -> MemoryReading:
    return MemoryReading(time.monotonic(), rss, used, unused, fragmentation)


def watchdog(readings: list[MemoryReading], cleaned: list[int], requests: list[int] | None = None) -> Watchdog:
    source = iter(readings)
    asked = requests or [0]
    return Watchdog(
        lambda: cleaned.append(1), lambda: asked[-1], interval_s=0.01, pressure=0.85, read=lambda: next(source)
    )


def test_resident_memory_is_what_the_system_says() -> None:
    block = np.ones(20 * MB, np.float64)
    reading, system = read_memory(), psutil.Process().memory_info().rss
    assert abs(reading.rss_bytes - system) < 10 * MB
    assert reading.rss_bytes > block.nbytes
    assert 0 < reading.used_share < 1


def test_the_allocators_own_figure_sees_freed_memory_and_trim_returns_it() -> None:
    trim()
    small = [bytes(50_000) for _ in range(2_000)]  # below the size that malloc maps by itself
    keeper = bytes(50_000)
    del small
    unused = allocator_unused_share()
    assert unused is not None
    assert unused[0] > 80 * MB
    assert 0 < unused[1] <= 1
    before = read_memory().rss_bytes
    assert trim()
    assert before - read_memory().rss_bytes > 60 * MB
    assert len(keeper) == 50_000


def test_pressure_must_last_for_three_looks() -> None:
    cleaned: list[int] = []
    dog = watchdog([reading(0.9), reading(0.9), reading(0.5), reading(0.9), reading(0.9)], cleaned)
    for _ in range(5):
        dog.look()
    assert cleaned == []
    assert dog.status().actions == ()


def test_an_action_and_its_effect_are_recorded() -> None:
    cleaned: list[int] = []
    dog = watchdog([reading(0.9)] * 3 + [reading(0.8, rss=60 * MB), reading(0.9)], cleaned)
    for _ in range(4):
        dog.look()
    (action,) = dog.status().actions
    assert cleaned == [1]
    assert action.freed_bytes == 40 * MB
    assert "90% of the machine's memory" in action.reason


def test_a_fragmented_heap_counts_only_when_it_is_large_and_known() -> None:
    cleaned: list[int] = []
    small, unknown = reading(fragmentation=0.9, unused=MB), reading(fragmentation=None)
    large = reading(fragmentation=0.9, unused=100 * MB)
    dog = watchdog([small] * 3 + [unknown] * 3 + [large] * 3 + [reading()], cleaned)
    for _ in range(9):
        dog.look()
    assert cleaned == [1]
    assert "90% of the heap unused" in dog.status().actions[0].reason


def test_growth_is_told_by_request() -> None:
    requests = [0]
    dog = watchdog([reading(rss=100 * MB), reading(rss=130 * MB)], [], requests)
    dog.look()
    assert dog.status().growth_per_request is None
    requests.append(10)
    dog.look()
    assert dog.status().growth_per_request == 3 * MB


def test_the_thread_looks_by_itself_and_stops() -> None:
    dog = Watchdog(lambda: None, lambda: 0, interval_s=0.01, pressure=1.0)
    dog.start()
    assert until(lambda: len(dog.status().readings) >= 3)
    dog.stop()
    seen = len(dog.status().readings)
    time.sleep(0.05)
    assert len(dog.status().readings) == seen
