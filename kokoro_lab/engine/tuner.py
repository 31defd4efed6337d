"""Changing a setting while the engine runs, watching what that does, and taking it back when it does not help.

A look is taken every `interval_s`, or when the last ten calls took 1.2 times as long as the forty before them. It
measures the baseline (median seconds a token of the last calls), lets the first knob that has a reason take one step,
and compares the calls after it: the step is kept when they are at least 5 % faster, else undone, and that knob rests.

Knobs never change samples. Of the documents' four, two can be turned while sessions live: concurrency (1 to 8) and
the cache (100 to 2000 entries). The arena (256 to 2048 MB) stays with the session it was opened with, and this engine
has no timeouts.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["CACHE_BOUNDS", "CONCURRENCY_BOUNDS", "Decision", "Knob", "Tuner", "TunerStatus"]

CONCURRENCY_BOUNDS = (1, 8)
CACHE_BOUNDS = (100, 2000)  # entries
RECENT, EARLIER = 10, 40  # calls compared, as the documents have it
SLOWER = 1.2  # their ratio at which a look is due before its time
HELPS = 0.95  # a step is kept when calls take at most this part of the baseline; the documents ask for 5 %
RESTING_LOOKS = 3  # looks for which a knob that did not help is left alone
KEPT_DECISIONS = 100


@dataclass(frozen=True)
class Knob:
    """One setting that can be changed while the engine runs."""

    name: str
    bounds: tuple[int, int]
    read: Callable[[], int]
    turn: Callable[[int], None]
    reason: Callable[[], str]
    """Why it should be raised now; empty when it should not."""


@dataclass(frozen=True)
class Decision:
    """One step and what came of it."""

    knob: str
    before: int
    after: int
    reason: str
    baseline: float
    """Median seconds a token before it."""
    effect: float
    """Median seconds a token after it."""
    kept: bool


@dataclass(frozen=True)
class TunerStatus:
    """What the tuner saw and did."""

    state: Literal["idle", "active"]
    """active: a step was taken, and its effect is being measured."""
    looks: int
    baseline: float | None
    """Median seconds a token at the last look; None before it."""
    decisions: tuple[Decision, ...]
    """The last hundred, oldest first."""


@dataclass(frozen=True)
class _Step:
    knob: Knob
    before: int
    after: int
    reason: str
    baseline: float


class Tuner:
    """Is told of every call, on the caller's thread, and does its work there. Safe for any number of threads."""

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
        """A call was finished that came from no cache."""
        with self._lock:
            self._costs.append(seconds_per_token)
            if self._step is not None:
                self._since_step.append(seconds_per_token)
                if len(self._since_step) >= RECENT:
                    self._judge(self._step)
            elif len(self._costs) >= RECENT and self._due():
                self._look()

    def status(self) -> TunerStatus:
        """What was seen and done so far."""
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
        self._costs.clear()  # nothing to do: what is slow now is what later calls are compared with

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
