"""A clock that moves only where a test says so: what a call costs does not depend on how busy the machine is."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from typing import Any

import pytest

__all__ = ["ScriptedClock"]


class ScriptedClock:
    """Stands in for `time.perf_counter` and `time.monotonic_ns`, and moves on by a given number of seconds in each call
    that has a price.

    Prices are whole seconds, so that sums of them are exact.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0  # no clock of the system is at 0
        self.spent = Counter[str]()
        """Seconds by the name of what had a price."""
        self._patch = patch
        self._lock = threading.Lock()
        patch.setattr(time, "perf_counter", lambda: self.now)
        for name in ("perf_counter_ns", "monotonic_ns"):
            patch.setattr(time, name, lambda: round(self.now * 1e9))

    def spend(self, name: str, seconds: int) -> None:
        """Move on."""
        with self._lock:
            self.now += seconds
            self.spent[name] += seconds

    def price(self, owner: object, attribute: str, seconds: int, name: str = "") -> None:
        """Let each call of an attribute cost so many seconds, which are counted as `name`."""
        call = getattr(owner, attribute)

        @functools.wraps(call)
        def priced(*arguments: Any, **options: Any) -> Any:
            self.spend(name or attribute, seconds)
            return call(*arguments, **options)

        self._patch.setattr(owner, attribute, priced)
