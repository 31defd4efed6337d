"""Online tuning: changes a setting while the engine runs, measures the effect, and undoes a change that does not help.

The tuner checks every `interval_s`, or when the last ten calls took 1.2 times as long as the forty before them. A check
measures the baseline (median seconds per token of the last calls), lets the first knob that has a reason take a step,
and compares the calls after it: a step that makes them at least 5 % faster stays, another is undone, and that knob
pauses.

Knobs never change samples. Of the specification's four knobs (docs/claims.md), two can change while sessions live:
concurrency (1 to 8) and the cache (100 to 2000 entries). The arena (256 to 2048 MB) is fixed when its session is
opened, and this engine has no timeouts.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kokoro_lab.engine.caches import Cache
    from kokoro_lab.runtime.pool import SessionPool

__all__ = ["CACHE_BOUNDS", "CONCURRENCY_BOUNDS", "Decision", "Knob", "Tuner", "TunerStatus", "knobs_of"]

CONCURRENCY_BOUNDS = (1, 8)
CACHE_BOUNDS = (100, 2000)  # entries
RECENT, EARLIER = 10, 40  # calls compared, as in the specification
SLOWER = 1.2  # their ratio that makes a check due early
HELPS = 0.95  # a step stays when calls take at most this share of the baseline; the specification requires 5 %
RESTING_LOOKS = 3  # checks for which a knob that did not help is left unchanged
KEPT_DECISIONS = 100
WAITING = 0.10  # share of their time that calls wait for a turn from which concurrency is raised


@dataclass(frozen=True)
class Knob:
    """A setting that can be changed while the engine runs."""

    name: str
    bounds: tuple[int, int]
    read: Callable[[], int]
    turn: Callable[[int], None]
    reason: Callable[[], str]
    """Why it should be raised now; empty where it should not."""


@dataclass(frozen=True)
class Decision:
    """A step and its result."""

    knob: str
    before: int
    after: int
    reason: str
    baseline: float
    """Median seconds per token before it."""
    effect: float
    """Median seconds per token after it."""
    kept: bool


@dataclass(frozen=True)
class TunerStatus:
    """Measurements and decisions of the tuner."""

    state: Literal["idle", "active"]
    """active: a step was taken, and its effect is being measured."""
    looks: int
    baseline: float | None
    """Median seconds per token at the last check; None before it."""
    decisions: tuple[Decision, ...]
    """The last hundred decisions, oldest first."""


@dataclass(frozen=True)
class _Step:
    knob: Knob
    before: int
    after: int
    reason: str
    baseline: float


class Tuner:
    """Runs after every call of the engine, on the caller's thread. Safe for any number of threads."""

    def __init__(
        self, knobs: Sequence[Knob], *, interval_s: float = 300.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._knobs = tuple(knobs)
        self._interval_s = interval_s
        self._now = now
        self._lock = threading.Lock()
        self._costs: deque[float] = deque(maxlen=RECENT + EARLIER)
        self._since_step: list[float] = []
        self._step: _Step | None = None
        self._looked = now()
        self._looks = 0
        self._baseline: float | None = None
        self._decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
        self._rests: dict[str, int] = {}

    def called(self, seconds_per_token: float) -> None:
        """Report a finished call that did not come from a cache."""
        with self._lock:
            self._costs.append(seconds_per_token)
            if self._step is not None:
                self._since_step.append(seconds_per_token)
                if len(self._since_step) >= RECENT:
                    self._judge(self._step)
            elif len(self._costs) >= RECENT and self._due():
                self._look()

    def status(self) -> TunerStatus:
        """The state so far."""
        with self._lock:
            state: Literal["idle", "active"] = "idle" if self._step is None else "active"
            return TunerStatus(state, self._looks, self._baseline, tuple(self._decisions))

    def _due(self) -> bool:
        if self._now() - self._looked >= self._interval_s:
            return True
        if len(self._costs) < RECENT + EARLIER:
            return False
        costs = list(self._costs)
        return statistics.median(costs[-RECENT:]) > SLOWER * statistics.median(costs[:-RECENT])

    def _look(self) -> None:
        self._looked = self._now()
        self._looks += 1
        self._baseline = statistics.median(list(self._costs)[-RECENT:])
        for knob in self._knobs:
            if self._rests.get(knob.name, 0) > self._looks:
                continue
            reason = knob.reason()
            before = knob.read()
            after = min(max(2 * before, knob.bounds[0]), knob.bounds[1])
            if reason and after > before:
                knob.turn(after)
                self._step = _Step(knob, before, after, reason, self._baseline)
                self._since_step = []
                return
        self._costs.clear()  # nothing to change: later calls are compared with the present speed

    def _judge(self, step: _Step) -> None:
        effect = statistics.median(self._since_step)
        kept = effect <= HELPS * step.baseline
        if not kept:
            step.knob.turn(step.before)
            self._rests[step.knob.name] = self._looks + RESTING_LOOKS
        self._decisions.append(
            Decision(step.knob.name, step.before, step.after, step.reason, step.baseline, effect, kept)
        )
        self._step = None
        self._looked = self._now()
        self._costs.clear()


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
    """Compares counters with those of the last check, so that only recent waiting counts."""
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
