"""Threads that may be inside onnxruntime when the process wants to end.

A daemon thread that the interpreter abandons inside a model call takes the process down with it: "terminate called
without an active exception". A thread that is no daemon keeps the process alive for ever when its stream is not read to
the end. So these are daemons, which are told to stop and waited for when the process ends.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable

__all__ = ["start_worker"]

PATIENCE_S = 30.0  # for all of them together: a call is stopped between two operators, which takes no second
_lock = threading.Lock()
_working: dict[threading.Thread, Callable[[], object]] = {}


def start_worker(name: str, work: Callable[[], object], stop: Callable[[], object]) -> threading.Thread:
    """Do the work on a daemon thread; `stop` makes it end soon, from any thread and any number of times."""

    def worked() -> None:
        try:
            work()
        finally:
            with _lock:
                _working.pop(threading.current_thread(), None)

    thread = threading.Thread(target=worked, name=name, daemon=True)
    with _lock:
        if not _working:
            atexit.unregister(_end)
            atexit.register(_end)
        _working[thread] = stop
    thread.start()
    return thread


def _end() -> None:
    with _lock:
        working = dict(_working)
    for stop in working.values():
        stop()
    until = time.monotonic() + PATIENCE_S
    for thread in working:
        thread.join(max(0.0, until - time.monotonic()))
