from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

from kokoro_lab.measure.block.load_generator import closed_loop, open_loop, poisson, ramp, throughput
from kokoro_lab.measure.statistics.drift import drift


@given(st.floats(1.0, 50.0), st.floats(1.0, 60.0), st.integers(0, 1000))
@settings(max_examples=40)
def test_poisson_arrivals_are_in_order_in_time_and_repeatable(rate: float, duration: float, seed: int) -> None:
    arrivals = poisson(rate, duration, seed)
    assert list(arrivals) == sorted(arrivals)
    assert all(0.0 <= at <= duration for at in arrivals)
    assert poisson(rate, duration, seed) == arrivals


def test_poisson_arrivals_come_at_their_rate_and_know_nothing_of_one_another() -> None:
    gaps = np.diff(poisson(20.0, 500.0, 1))
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.05


def test_a_ramp_rises_holds_and_falls() -> None:
    arrivals = np.array(ramp(50.0, 1))
    counts = np.histogram(arrivals, bins=[0, 30, 60, 120, 180, 210, 240])[0] / np.array([30, 30, 60, 60, 30, 30])
    assert counts == pytest.approx([12.5, 37.5, 50.0, 50.0, 37.5, 12.5], rel=0.2)
    assert max(ramp(50.0, 1, scale=0.1)) <= 24.0


def test_latency_counts_from_when_a_request_was_due_and_a_closed_loop_hides_the_stall() -> None:
    """One call in thirty stalls for three seconds; the others take 1 ms."""
    lock = threading.Lock()

    def call(number: int) -> None:
        with lock:
            time.sleep(3.0 if number == 10 else 0.001)

    opened = open_loop(call, [number * 0.01 for number in range(30)], clients=1)
    closed = closed_loop(call, clients=1, requests=30)
    assert sum(request.latency_s > 1.5 for request in opened) >= 10
    assert sum(request.latency_s > 1.5 for request in closed) == 1
    assert sum(request.service_s > 1.5 for request in opened) == 1
    assert all(request.started_s >= request.scheduled_s for request in opened)


def test_no_more_than_the_clients_run_at_once() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    crowd = threading.Barrier(3)  # the first calls meet there, so that as many run at once as may

    def call(number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if number < crowd.parties:
            crowd.wait(PATIENCE_S)
        time.sleep(0.01)
        with lock:
            running -= 1

    assert not any(request.error for request in open_loop(call, [0.0] * 20, clients=3))
    assert most == 3
    most, crowd = 0, threading.Barrier(2)
    assert [request.number for request in closed_loop(call, clients=2, requests=9)] == list(range(9))
    assert most == 2


def test_a_failing_request_is_kept_with_its_error_and_the_load_goes_on() -> None:
    def call(number: int) -> None:
        if number == 1:
            raise RuntimeError("no such tensor")

    requests = open_loop(call, [0.0, 0.0, 0.0], clients=1)
    assert [request.error for request in requests] == ["", "RuntimeError: no such tensor", ""]
    assert throughput(requests) < throughput(requests, "all")


def test_a_creeping_figure_is_found_and_a_noisy_flat_one_is_not() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(0.0, 1200.0, 2.0)
    creeping = drift(times.tolist(), (100.0 + times / 1200.0 * 10.0 + rng.standard_t(3, times.size)).tolist())
    assert creeping.low is not None
    assert creeping.low > 0.0
    assert creeping.per_hour == pytest.approx(30.0, rel=0.1)
    assert creeping.share == pytest.approx(0.1, rel=0.1)
    held = 0
    for _ in range(100):
        flat = drift(times.tolist(), (100.0 + rng.standard_t(3, times.size)).tolist())
        assert flat.low is not None
        assert flat.high is not None
        held += flat.low <= 0.0 <= flat.high
    assert held >= 88


def test_few_values_have_a_slope_and_no_interval() -> None:
    few = drift([0.0, 3600.0], [1.0, 3.0])
    assert (few.per_hour, few.low, few.share) == (2.0, None, 2.0)
    with pytest.raises(ValueError, match="two values"):
        drift([1.0, 1.0], [2.0, 3.0])
