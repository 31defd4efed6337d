"""Something done after a silence: once for each, never during one, and never when that is off."""

from __future__ import annotations

import threading
import time

from patience import PATIENCE_S, in_some_attempt, until

from kokoro_lab.runtime.idle import IdleTimer


def test_it_acts_once_after_each_silence() -> None:
    times: list[float] = []
    idle = IdleTimer(0.02, lambda: times.append(time.monotonic()))
    for count in (1, 2):
        touched = time.monotonic()
        idle.touch()
        assert until(lambda count=count: len(times) == count)
        assert times[-1] - touched >= 0.02
    time.sleep(0.1)
    assert len(times) == 2
    idle.stop()


def test_a_touch_begins_the_silence_anew() -> None:
    def anew() -> bool:
        acted = threading.Event()
        idle = IdleTimer(0.5, acted.set)
        last = 0.0
        for _ in range(4):
            last = time.monotonic()
            idle.touch()
            time.sleep(0.05)
        assert acted.wait(PATIENCE_S)
        silence_s = time.monotonic() - last
        idle.stop()
        return silence_s >= 0.5

    # A silence that counted from the first touch would be too short in every attempt; one is too short, too, where
    # this thread got no turn for half a second between two touches.
    assert in_some_attempt(anew)


def test_without_a_touch_and_with_no_time_given_nothing_is_done_and_no_thread_runs() -> None:
    before = set(threading.enumerate())
    acted: list[int] = []
    off, untouched = IdleTimer(0.0, lambda: acted.append(1)), IdleTimer(0.01, lambda: acted.append(2))
    off.touch()
    time.sleep(0.05)
    assert set(threading.enumerate()) <= before
    assert not acted
    for idle in (off, untouched):
        idle.stop()


def test_stopping_waits_for_what_is_being_done_and_nothing_follows() -> None:
    began, ended, acts = threading.Event(), threading.Event(), []

    def act() -> None:
        acts.append(1)
        began.set()
        time.sleep(0.1)
        ended.set()

    idle = IdleTimer(0.01, act)
    idle.touch()
    assert began.wait(PATIENCE_S)
    idle.stop()
    assert ended.is_set()
    idle.touch()
    time.sleep(0.05)
    assert len(acts) == 1
