"""Something that is done when nothing has happened for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Idle"]


class Idle:
    """Calls `act`, in a thread of its own, once after each silence of `after_s`; never when that is 0."""

    def __init__(self, after_s: float, act: Callable[[], object]) -> None:
        self._after_s = after_s
        self._act = act
        self._changed = threading.Condition()
        self._due: float | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def touch(self) -> None:
        """Something happened: the silence begins anew."""
        if not self._after_s:
            return
        with self._changed:
            self._due = time.monotonic() + self._after_s
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._wait, name="idle", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """Do nothing more; returns when `act` has ended."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _wait(self) -> None:
        while self._silence():
            self._act()

    def _silence(self) -> bool:
        """Waits for the end of the next silence; False when stopped."""
        with self._changed:
            while not self._stopped:
                left = None if self._due is None else self._due - time.monotonic()
                if left is not None and left <= 0:
                    self._due = None
                    return True
                self._changed.wait(left)
        return False
