"""The tuner: it looks when it is time, takes one step, keeps what helps and takes back what does not."""

from __future__ import annotations

import threading

import pytest
from patience import PATIENCE_S

from kokoro_lab.engine.caches import Cache
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.tuner import Knob, Tuner
from kokoro_lab.runtime.pool import ConcurrencyLimit


class Bench:
    """A clock, and one knob that changes what calls cost, by a script."""

    def __init__(self, gain: float, value: int = 1, bounds: tuple[int, int] = (1, 8)) -> None:
        self.clock = 0.0
        self.value = value
        self.gain = gain
        self.reason = "scripted"
        knob = Knob("knob", bounds, lambda: self.value, self.turn, lambda: self.reason)
        self.tuner = Tuner([knob], interval_s=300, now=lambda: self.clock)
        self.start = value

    def turn(self, value: int) -> None:
        self.value = value

    def calls(self, count: int, cost: float = 1.0) -> None:
        for _ in range(count):
            self.tuner.called(cost if self.value == self.start else cost * self.gain)


def test_nothing_is_done_before_it_is_time() -> None:
    bench = Bench(gain=0.5)
    bench.calls(100)
    assert bench.value == 1
    assert bench.tuner.status().looks == 0


def test_a_step_that_helps_is_kept() -> None:
    bench = Bench(gain=0.9)
    bench.clock = 301
    bench.calls(10)
    assert (bench.value, bench.tuner.status().state) == (2, "active")
    bench.calls(10)
    (decision,) = bench.tuner.status().decisions
    assert (decision.kept, decision.before, decision.after, bench.value) == (True, 1, 2, 2)
    assert decision.effect == pytest.approx(0.9 * decision.baseline)
    assert bench.tuner.status().state == "idle"


@pytest.mark.parametrize("gain", [0.97, 1.0, 1.5])
def test_a_step_that_does_not_help_is_taken_back_and_the_knob_rests(gain: float) -> None:
    bench = Bench(gain=gain)
    bench.clock = 301
    bench.calls(20)
    (decision,) = bench.tuner.status().decisions
    assert not decision.kept
    assert bench.value == 1
    for _ in range(2):
        bench.clock += 301
        bench.calls(20)
    assert len(bench.tuner.status().decisions) == 1
    for _ in range(2):
        bench.clock += 301
        bench.calls(20)
    assert len(bench.tuner.status().decisions) == 2


def test_ten_slower_calls_are_a_reason_to_look_early() -> None:
    bench = Bench(gain=0.5)
    bench.calls(40)
    bench.calls(10, cost=1.15)
    assert bench.tuner.status().looks == 0
    bench = Bench(gain=0.5)
    bench.calls(40)
    bench.calls(10, cost=1.3)
    assert bench.tuner.status().looks == 1


def test_bounds_are_kept_and_without_a_reason_nothing_is_turned() -> None:
    bench = Bench(gain=0.5, value=8)
    bench.clock = 301
    bench.calls(30)
    assert (bench.value, bench.tuner.status().decisions) == (8, ())
    bench = Bench(gain=0.5)
    bench.reason = ""
    bench.clock = 301
    bench.calls(30)
    assert bench.value == 1


def test_a_limit_on_turns_can_be_raised_and_lowered_while_callers_wait() -> None:
    turns = ConcurrencyLimit(1)
    entered = threading.Semaphore(0)
    leave = threading.Event()

    def caller() -> None:
        with turns:
            entered.release()
            leave.wait(PATIENCE_S)

    callers = [threading.Thread(target=caller) for _ in range(3)]
    for one in callers:
        one.start()
    assert entered.acquire(timeout=PATIENCE_S)
    assert not entered.acquire(timeout=0.05)
    turns.limit = 2
    assert entered.acquire(timeout=PATIENCE_S)
    assert not entered.acquire(timeout=0.05)
    turns.limit = 1
    leave.set()
    for one in callers:
        one.join(PATIENCE_S)
    assert entered.acquire(timeout=PATIENCE_S)


def test_a_cache_that_shrinks_drops_its_oldest() -> None:
    cache = Cache[str, int](3)
    for number, key in enumerate("abc"):
        cache.put(key, number)
    cache.resize(1)
    assert cache.keys() == ["c"]
    assert cache.status().evictions == 2


def test_an_engine_under_load_tries_more_at_once_and_says_what_came_of_it() -> None:
    with Engine.load(EngineConfig(model="tiny", tune_s=0.001, phoneme_cache=100)) as engine:
        callers = [threading.Thread(target=lambda: [engine.synthesize("Hello.") for _ in range(12)]) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
        status = engine.status()
    assert status.tuner is not None
    assert status.tuner.looks > 0
    step = status.tuner.decisions[0]
    assert (step.knob, step.before, step.after) == ("concurrency", 1, 2)
    assert "waiting for a turn" in step.reason
    assert 1 <= status.concurrency <= 8
