"""A wall clock whose time stamps never go back while it is used, even when somebody sets the system's clock back."""

from __future__ import annotations

import datetime
import time

__all__ = ["SteadyClock"]


class SteadyClock:
    """Time stamps of one run, in UTC: the system's, but never earlier than the previous stamp and the time since then.

    Durations are not computed from these stamps: they come from the monotonic clock.
    """

    def __init__(self) -> None:
        self._last = datetime.datetime.now(datetime.UTC)
        self._ticks = time.monotonic()

    def now(self) -> datetime.datetime:
        """The time stamp of this moment."""
        ticks = time.monotonic()
        least = self._last + datetime.timedelta(seconds=ticks - self._ticks)
        self._last, self._ticks = max(datetime.datetime.now(datetime.UTC), least), ticks
        return self._last
