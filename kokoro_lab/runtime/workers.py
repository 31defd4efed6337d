"""Worker threads that may be inside onnxruntime when the process exits.

A daemon thread that the interpreter abandons inside a model call crashes the process: "terminate called without an
active exception". A non-daemon thread keeps the process alive forever when its stream is not read to the end. So
workers are daemons that are stopped and waited for when the process exits.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable

from kokoro_lab.errors import InferenceError

__all__ = ["start_worker"]

PATIENCE_S = 30.0  # for all threads together: a call stops between two operators, within a second
_lock = threading.Lock()
_working: dict[threading.Thread, Callable[[], object]] = {}


def start_worker(name: str, work: Callable[[], object], stop: Callable[[], object]) -> threading.Thread:
    """Run the work on a daemon thread; `stop` must end it soon, from any thread and any number of times.

    Raises InferenceError where the system refuses another thread.
    """

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
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        with _lock:
            _working.pop(thread, None)
        raise InferenceError(
            "the system refuses another thread; raise the process's limits on memory and threads"
        ) from error
    return thread


def _forget() -> None:
    """In a forked child: none of the threads exist there."""
    global _lock
    _lock = threading.Lock()
    _working.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _end() -> None:
    with _lock:
        working = dict(_working)
    for stop in working.values():
        stop()
    until = time.monotonic() + PATIENCE_S
    for thread in working:
        thread.join(max(0.0, until - time.monotonic()))
