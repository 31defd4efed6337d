"""Load generation: an open loop, whose requests arrive on schedule whether or not earlier requests have finished, and a
closed loop, whose clients each wait for a response before the next request. `under_load` chooses by the cell's
arrivals.

An open loop measures from the moment a request was due. A closed loop omits exactly those requests that a slow moment
would have delayed (coordinated omission), and so cannot show a queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kokoro_lab.measure.block.calls import Call
from kokoro_lab.measure.records.cell import Cell, LoadReading

__all__ = ["LoadRequest", "ServedRequest", "closed_loop", "open_loop", "poisson", "ramp", "throughput", "under_load"]

RAMP_S = 60.0
HOLD_S = 120.0
"""The stress scenario of the specification (docs/claims.md): 60 s up, 120 s at the full rate, 60 s down."""


@dataclass(frozen=True)
class LoadRequest:
    """One request; seconds from the start of the load."""

    number: int
    scheduled_s: float
    """When it was due; in a closed loop, when its client was ready for it."""
    started_s: float
    finished_s: float
    error: str = ""

    @property
    def latency_s(self) -> float:
        """From when it was due to its end: the time its user waited."""
        return self.finished_s - self.scheduled_s

    @property
    def service_s(self) -> float:
        """From its start to its end: the engine's own time."""
        return self.finished_s - self.started_s


@dataclass(frozen=True)
class ServedRequest:
    """A request that succeeded, with its call."""

    request: LoadRequest
    call: Call
    rss_mb: float


def poisson(rate_hz: float, duration_s: float, seed: int) -> tuple[float, ...]:
    """Arrival times (s) of a Poisson process: independent users."""
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


def open_loop(call: Callable[[int], object], schedule: Sequence[float], *, clients: int) -> tuple[LoadRequest, ...]:
    """Make request i at `schedule[i]` seconds; at most `clients` run at once, further requests wait.

    An exception is recorded as the request's error, and the load continues. Returns the requests in schedule order.
    """
    origin = time.perf_counter()

    def serve(number: int, due: float) -> LoadRequest:
        return _serve(call, number, due, origin)

    with ThreadPoolExecutor(clients, thread_name_prefix="client") as pool:
        futures: list[Future[LoadRequest]] = []
        for number, due in enumerate(schedule):
            wait = due - (time.perf_counter() - origin)
            if wait > 0:
                time.sleep(wait)
            futures.append(pool.submit(serve, number, due))
        return tuple(future.result() for future in futures)


def closed_loop(call: Callable[[int], object], *, clients: int, requests: int) -> tuple[LoadRequest, ...]:
    """`clients` users who each send the next request after a response, `requests` in total; returned by number."""
    origin = time.perf_counter()
    numbers = iter(range(requests))
    lock = threading.Lock()
    done: list[LoadRequest] = []

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


def throughput(requests: Sequence[LoadRequest], kind: Literal["ok", "all"] = "ok") -> float:
    """Requests a second, from the first due time to the last end; failed ones only with kind "all"."""
    counted = [request for request in requests if kind == "all" or not request.error]
    if not counted:
        return 0.0
    begin = min(request.scheduled_s for request in requests)
    return len(counted) / max(max(request.finished_s for request in requests) - begin, 1e-9)


def under_load(
    cell: Cell, call: Callable[[], Call], rss_mb: Callable[[], float]
) -> tuple[list[ServedRequest], LoadReading]:
    """Make the cell's calls with its kind of arrivals, on a schedule drawn with the cell's seed.

    Failed calls are counted, with the first error; successful ones are returned in the order in which they were due.
    """
    results: dict[int, tuple[Call, float]] = {}

    def serve(number: int) -> None:
        results[number] = (call(), rss_mb())

    if cell.arrivals == "closed":
        requests = closed_loop(serve, clients=cell.clients, requests=cell.repeats)
    else:
        quarter = cell.load_s / 4.0
        schedule = (
            poisson(cell.rate_hz, cell.load_s, cell.seed)
            if cell.arrivals == "poisson"
            else ramp(cell.rate_hz, cell.seed, ramp_s=quarter, hold_s=2.0 * quarter)
        )
        # A load that by chance has no arrivals would measure nothing: it then makes a single call at its start.
        requests = open_loop(serve, schedule or (0.0,), clients=cell.clients)
    served = [ServedRequest(request, *results[request.number]) for request in requests if not request.error]
    errors = [request.error for request in requests if request.error]
    return served, LoadReading(
        calls=len(requests),
        failed=len(errors),
        first_error=errors[0] if errors else "",
        throughput_hz=throughput(requests),
        scheduled_s=tuple(item.request.scheduled_s for item in served),
        waited_ms=tuple((item.request.started_s - item.request.scheduled_s) * 1e3 for item in served),
    )


def _serve(call: Callable[[int], object], number: int, due: float, origin: float) -> LoadRequest:
    started = time.perf_counter() - origin
    error = ""
    try:
        call(number)
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return LoadRequest(number, due, started, time.perf_counter() - origin, error)


def _arrivals(times: np.ndarray, expected: np.ndarray, seed: int) -> tuple[float, ...]:
    """Arrivals of a process with `expected` arrivals up to each of `times`: unit-rate arrivals, time stretched."""
    rng = np.random.default_rng(seed)
    total = float(expected[-1])
    count = int(rng.poisson(total))
    return tuple(np.interp(np.sort(rng.uniform(0.0, total, count)), expected, times).tolist())
