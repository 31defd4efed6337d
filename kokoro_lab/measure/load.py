"""Load: requests that arrive when the schedule says, whether or not earlier ones are done; and, beside it, a loop.

An open loop measures from the moment a request was due. A loop that waits for an answer before it asks again leaves out
exactly the requests that a slow moment would have delayed (coordinated omission), and so cannot show a queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Request", "closed_loop", "open_loop", "poisson", "ramp", "throughput"]

RAMP_S = 60.0
HOLD_S = 120.0
"""The stress scenario of the documents: 60 s up, 120 s at the full rate, 60 s down."""


@dataclass(frozen=True)
class Request:
    """One request; seconds from the start of the load."""

    number: int
    scheduled_s: float
    """When it was due; in a closed loop, when its client was ready for it."""
    started_s: float
    finished_s: float
    error: str = ""

    @property
    def latency_s(self) -> float:
        """From when it was due to its end: what its user waited."""
        return self.finished_s - self.scheduled_s

    @property
    def service_s(self) -> float:
        """From its start to its end: what the engine needed."""
        return self.finished_s - self.started_s


def poisson(rate_hz: float, duration_s: float, seed: int) -> tuple[float, ...]:
    """Arrival times (s) of a Poisson process: users who know nothing of one another."""
    return _arrivals(np.array([0.0, duration_s]), np.array([0.0, rate_hz * duration_s]), seed)


def ramp(
    rate_hz: float, seed: int, *, ramp_s: float = RAMP_S, hold_s: float = HOLD_S, scale: float = 1.0
) -> tuple[float, ...]:
    """Poisson arrivals whose rate rises from 0 to `rate_hz`, holds, and falls back; `scale` shortens all three."""
    up, hold = ramp_s * scale, hold_s * scale
    times = np.linspace(0.0, 2.0 * up + hold, 2_001)
    rates = rate_hz * np.clip(np.minimum(times / up, (2.0 * up + hold - times) / up), 0.0, 1.0)
    expected = np.concatenate(([0.0], np.cumsum((rates[1:] + rates[:-1]) / 2.0 * np.diff(times))))
    return _arrivals(times, expected, seed)


def open_loop(call: Callable[[int], object], schedule: Sequence[float], *, clients: int) -> tuple[Request, ...]:
    """Make request i at `schedule[i]` seconds; at most `clients` run at once, the others wait their turn.

    What a call raises is kept as the request's error; the load goes on. Returns the requests in schedule order.
    """
    origin = time.perf_counter()

    def serve(number: int, due: float) -> Request:
        return _serve(call, number, due, origin)

    with ThreadPoolExecutor(clients, thread_name_prefix="client") as pool:
        futures: list[Future[Request]] = []
        for number, due in enumerate(schedule):
            wait = due - (time.perf_counter() - origin)
            if wait > 0:
                time.sleep(wait)
            futures.append(pool.submit(serve, number, due))
        return tuple(future.result() for future in futures)


def closed_loop(call: Callable[[int], object], *, clients: int, requests: int) -> tuple[Request, ...]:
    """`clients` users who each ask again when they have their answer, `requests` in all; returned by number."""
    origin = time.perf_counter()
    numbers = iter(range(requests))
    lock = threading.Lock()
    done: list[Request] = []

    def client() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            request = _serve(call, number, time.perf_counter() - origin, origin)
            with lock:
                done.append(request)

    threads = [threading.Thread(target=client, name=f"client-{number}") for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(sorted(done, key=lambda request: request.number))


def throughput(requests: Sequence[Request], kind: Literal["ok", "all"] = "ok") -> float:
    """Requests a second, from the first due time to the last end; failed ones only with kind "all"."""
    counted = [request for request in requests if kind == "all" or not request.error]
    if not counted:
        return 0.0
    begin = min(request.scheduled_s for request in requests)
    return len(counted) / max(max(request.finished_s for request in requests) - begin, 1e-9)


def _serve(call: Callable[[int], object], number: int, due: float, origin: float) -> Request:
    started = time.perf_counter() - origin
    error = ""
    try:
        call(number)
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Request(number, due, started, time.perf_counter() - origin, error)


def _arrivals(times: np.ndarray, expected: np.ndarray, seed: int) -> tuple[float, ...]:
    """Arrivals of a process with `expected` arrivals up to each of `times`: unit-rate arrivals, time stretched."""
    rng = np.random.default_rng(seed)
    total = float(expected[-1])
    count = int(rng.poisson(total))
    return tuple(np.interp(np.sort(rng.uniform(0.0, total, count)), expected, times).tolist())
