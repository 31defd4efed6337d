"""Waiting for what happens on other threads and processes, on a machine that may be busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 600.0
"""How long a test waits for what must happen: far longer than it takes, so that only a hang reaches it."""


def until(true: Callable[[], object], within_s: float = PATIENCE_S, *, every_s: float = 0.005) -> bool:
    """Wait until `true()`, asked every `every_s` seconds; False when it has not come true within `within_s`."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def in_some_attempt(check: Callable[[], bool], attempts: int = 8) -> bool:
    """Whether a check of wall times passes in one of several attempts.

    For what the code does every time and a busy machine can hide: another process may take the processor at any
    moment, but not in every attempt at the same one.
    """
    return any(check() for _ in range(attempts))
