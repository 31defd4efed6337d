"""Calls a function after a period without activity."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from kokoro_lab.process.forks import Birthplace

__all__ = ["IdleTimer"]


class IdleTimer:
    """Calls `act` in its own thread, once after each `after_s` seconds of inactivity; never when `after_s` is 0.

    Does nothing where the system refuses a thread, and in a forked child, which has no such thread.
    """

    def __init__(self, after_s: float, act: Callable[[], object]) -> None:
        self._after_s = after_s
        self._act = act
        self._changed = threading.Condition()
        self._due: float | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._born = Birthplace()

    def touch(self) -> None:
        """Report activity: the period starts again."""
        if not self._after_s or not self._born.is_here:
            return
        with self._changed:
            self._due = time.monotonic() + self._after_s
            if self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._wait, name="idle", daemon=True)
                with suppress(RuntimeError, MemoryError):  # no room for a thread now; the next touch tries again
                    thread.start()
                    self._thread = thread
            self._changed.notify()

    def stop(self) -> None:
        """Make no further calls; returns when a running `act` has ended."""
        if not self._born.is_here:
            return
        with self._changed:
            self._stopped = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _wait(self) -> None:
        while self._silence():
            self._act()

    def _silence(self) -> bool:
        """Wait for the end of the next period of inactivity; False when stopped."""
        with self._changed:
            while not self._stopped:
                left = None if self._due is None else self._due - time.monotonic()
                if left is not None and left <= 0:
                    self._due = None
                    return True
                self._changed.wait(left)
        return False
