"""A block under load: calls that come when they come, timed from when they were due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kokoro_lab.measure.calls import Call
from kokoro_lab.measure.cell import Cell, LoadReading
from kokoro_lab.measure.load import Request, closed_loop, open_loop, poisson, ramp, throughput

__all__ = ["Served", "under_load"]


@dataclass(frozen=True)
class Served:
    """One call that succeeded."""

    request: Request
    call: Call
    rss_mb: float


def under_load(cell: Cell, call: Callable[[], Call], rss_mb: Callable[[], float]) -> tuple[list[Served], LoadReading]:
    """Make the cell's calls as its arrivals say; the schedule is the cell's seed's.

    A call that fails is counted and its error kept; those that succeed are returned in the order they were due.
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
        # A load that by chance has no arrivals would measure nothing: one call at its start is the least there is.
        requests = open_loop(serve, schedule or (0.0,), clients=cell.clients)
    served = [Served(request, *results[request.number]) for request in requests if not request.error]
    errors = [request.error for request in requests if request.error]
    return served, LoadReading(
        calls=len(requests),
        failed=len(errors),
        first_error=errors[0] if errors else "",
        throughput_hz=throughput(requests),
        scheduled_s=tuple(item.request.scheduled_s for item in served),
        waited_ms=tuple((item.request.started_s - item.request.scheduled_s) * 1e3 for item in served),
    )
