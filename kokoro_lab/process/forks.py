"""What a fork leaves of the objects that have threads, locks or native memory.

A fork copies the one thread that called it. Every other thread is gone in the child, and what it held stays as it was
at that moment: locks stay locked, queues stay full, and onnxruntime waits for ever for threads that do not exist. So
the child refuses what was loaded before the fork by name, before it touches a lock, and leaves the parent's clean-up
to the parent. What a child may use again (phonemizers) gets fresh locks.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from kokoro_lab.errors import InferenceError
from kokoro_lab.process.exits import skip_native_cleanup

__all__ = ["Birthplace", "after_fork", "never_freed"]


class Birthplace:
    """The process in which an object was created."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process; False in a child that was forked from it."""
        return os.getpid() == self._pid

    def require(self, what: str) -> None:
        """Raise InferenceError in a forked child; takes no lock."""
        if os.getpid() != self._pid:
            raise InferenceError(
                f"the {what} was loaded before a fork, which leaves its threads behind; load an engine in this process"
            )


_renewals: WeakKeyDictionary[Any, Callable[[Any], object]] = WeakKeyDictionary()


def after_fork(thing: object, renew: Callable[[Any], object]) -> None:
    """Call `renew(thing)` in every forked child, as long as the thing lives; `renew` must not refer to it itself."""
    _renewals[thing] = renew


def never_freed(native: object) -> None:
    """Keep an object beyond the end of this process: its destructor would wait for threads that a fork has left."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))


def _renew_all() -> None:
    if "onnxruntime" in sys.modules:
        skip_native_cleanup()
    for thing, renew in list(_renewals.items()):
        renew(thing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
