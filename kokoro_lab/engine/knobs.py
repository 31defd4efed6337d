"""What the tuner may turn in an engine, and when there is a reason to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kokoro_lab.engine.tuner import CACHE_BOUNDS, CONCURRENCY_BOUNDS, Knob

if TYPE_CHECKING:
    from kokoro_lab.engine.caches import Cache
    from kokoro_lab.runtime.pool import SessionPool

__all__ = ["knobs_of"]

WAITING = 0.10  # part of the time that calls take which, spent waiting for a turn, is a reason to let more in


def knobs_of(pool: SessionPool, phonemes: Cache[Any, Any] | None) -> list[Knob]:
    """Concurrency, and the phoneme cache where there is one."""
    knobs = [
        Knob(
            "concurrency",
            CONCURRENCY_BOUNDS,
            lambda: pool.concurrency,
            lambda value: setattr(pool, "concurrency", value),
            _waiting(pool),
        )
    ]
    if phonemes is not None:
        knobs.append(
            Knob("phoneme_cache", CACHE_BOUNDS, lambda: phonemes.limit, phonemes.resize, _evicting(phonemes))
        )  # fmt: skip
    return knobs


def _waiting(pool: SessionPool) -> Callable[[], str]:
    """Reads counters since the last look, so that what was long ago does not count."""
    seen = [0.0, 0.0]

    def reason() -> str:
        waited, worked = pool.waited_s, sum(member.seconds for member in pool.members)
        waiting, working = waited - seen[0], worked - seen[1]
        seen[:] = [waited, worked]
        share = waiting / (waiting + working) if waiting + working > 0 else 0.0
        return f"calls spent {share:.0%} of their time waiting for a turn" if share > WAITING else ""

    return reason


def _evicting(cache: Cache[Any, Any]) -> Callable[[], str]:
    seen = [0]

    def reason() -> str:
        evictions = cache.status().evictions
        dropped = evictions - seen[0]
        seen[0] = evictions
        return f"{dropped} entries were dropped for room" if dropped > 0 else ""

    return reason
