"""How long a call keeps the processor busy, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from kokoro_lab.errors import KokoroLabError

__all__ = ["growth", "processor_s"]


def processor_s(call: Callable[[], object]) -> float:
    """Seconds of processor time of a call; an error of the package ends it like a result."""
    began = time.process_time()
    with suppress(KokoroLabError):
        call()
    return time.process_time() - began


def growth(call: Callable[[str], object], make: Callable[[int], str], size: int, factor: int = 4) -> float:
    """Processor time at `factor` times the size over that at the size: `factor` if linear, its square if quadratic.

    The smallest of three tries counts for each; below 2 ms, a difference is not told from noise.
    """
    small, large = make(size), make(factor * size)
    shortest = min(processor_s(lambda: call(small)) for _ in range(3))
    longest = processor_s(lambda: call(large))
    for _ in range(2):
        if longest > 1.5 * factor * max(shortest, 0.002):
            longest = min(longest, processor_s(lambda: call(large)))
    return longest / max(shortest, 0.002)
