"""Which texts an engine is speaking, and how it stops: it refuses new ones, and lets those in flight finish.

    open  ->  closing: no text begins, those in flight go on  ->  closed

A text is in flight from the moment it is admitted until the model has done its work for it: a stream that has been
synthesised completely may be read after the engine was closed. What is still in flight when the time is up is cancelled
and fails by name.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from weakref import WeakSet

from kokoro_lab.errors import InferenceError, SettingError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.forks import Birthplace

__all__ = ["CLOSED", "CUT_SHORT", "Lifetime", "TextInFlight"]

CLOSED = "the engine is closed; load another engine"
CUT_SHORT = "the engine was closed before the text was finished; load another engine, or close with a longer timeout_s"
AFTERWARDS_S = 5.0  # for cancelled texts to end: the model stops between two operators, within a second


class TextInFlight:
    """A text that was admitted: how to cancel it, and which threads work on it."""

    def __init__(self, leave: Callable[[TextInFlight], object] = lambda _: None) -> None:
        self._leave = leave
        self._drained = threading.Event()
        self._drain: Callable[[], object] | None = None
        self.cancellation = Cancellation()
        """Stops its model calls."""
        self.cut_short = threading.Event()
        """Set before it is cancelled because the engine's time was up."""
        self.cancel: Callable[[], object] = self.cancellation.cancel
        """Stops all work on it."""
        self.threads: Collection[threading.Thread] = (threading.current_thread(),)
        """The threads that work on it, which cannot wait for its end."""

    def handed_over(
        self, threads: Collection[threading.Thread], *, drain: Callable[[], object], cancel: Callable[[], object]
    ) -> None:
        """Other threads work on it from now on. drain: lets it finish without its reader."""
        self.threads, self.cancel, self._drain = threads, cancel, drain
        if self._drained.is_set():
            drain()

    def drain(self) -> None:
        """Let it finish without its reader, who may be the one that closes the engine."""
        self._drained.set()
        if self._drain is not None:
            self._drain()

    def ended(self) -> None:
        """The work on it has ended, or will never begin."""
        self._leave(self)


class Lifetime:
    """Admits texts until the engine is closed. Safe for any number of threads."""

    def __init__(self, release: Callable[[], object] = lambda: None) -> None:
        """release: called once, when the engine is closed and no text is in flight any more."""
        self._release = release
        self._changed = threading.Condition()  # re-entrant: garbage may be collected while it is held
        self._inside: set[TextInFlight] = set()
        self._waiting: list[threading.Thread] = []
        self._closing = self._finished = self._released = False
        self._born = Birthplace()
        _living.add(self)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that loaded the engine; False in a child that was forked from it."""
        return self._born.is_here

    @property
    def closing(self) -> bool:
        """Whether new texts are refused."""
        return self._closing

    def require_here(self) -> None:
        """Raise InferenceError in a child that was forked after loading."""
        self._born.require("engine")

    def require_live(self) -> None:
        """Raise InferenceError when the model is released, or as `require_here`."""
        self.require_here()
        if self._released:
            raise InferenceError(CLOSED)

    def require_open(self) -> None:
        """Raise InferenceError when the engine is closing or closed, or belongs to the process before a fork."""
        self._born.require("engine")
        if self._closing:
            raise InferenceError(CLOSED)

    def enter(self) -> TextInFlight:
        """Admit a text, which must leave. Raises InferenceError like `require_open`."""
        self._born.require("engine")
        text = TextInFlight(self.leave)
        with self._changed:
            if self._closing:
                raise InferenceError(CLOSED)
            self._inside.add(text)
        return text

    def leave(self, text: TextInFlight) -> None:
        """The work on a text has ended. Does nothing when it had left, or in a forked child."""
        if not self._born.is_here:
            return
        with self._changed:
            self._inside.discard(text)
            self._changed.notify_all()
        self._release_if_ended()

    @contextmanager
    def speaking(self) -> Iterator[TextInFlight]:
        """Admit a text for the duration of the block, whose errors are CUT_SHORT once its time was up."""
        text = self.enter()
        try:
            yield text
        except InferenceError as error:
            if text.cut_short.is_set():
                raise InferenceError(CUT_SHORT) from error
            raise
        finally:
            text.ended()

    def refuse(self) -> None:
        """Admit no more texts; those in flight go on, streams without waiting for their readers."""
        with self._changed:
            self._closing = True
            inside = list(self._inside)
        for text in inside:
            text.drain()

    def finish(self, timeout_s: float) -> None:
        """Wait until the texts in flight have ended, and cancel those that have not within the time.

        Does not wait for texts that depend on this call, because a thread that works on them is in it: they go on when
        it has returned.
        """
        if not timeout_s >= 0:
            raise SettingError(f"timeout_s must be 0 or more seconds, not {timeout_s}; 30 is the default")
        self.refuse()
        with self._changed:
            self._waiting.append(threading.current_thread())
            self._changed.notify_all()
        try:
            self._wait(timeout_s)
        finally:
            left = self._awaited()
            for text in left:
                text.cut_short.set()
                text.cancel()
            if left:
                self._wait(AFTERWARDS_S)
            with self._changed:
                self._waiting.remove(threading.current_thread())
                self._finished = True
            self._release_if_ended()

    def _awaited(self) -> list[TextInFlight]:
        with self._changed:
            return [text for text in self._inside if not set(self._waiting).intersection(text.threads)]

    def _wait(self, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited(), min(timeout_s, threading.TIMEOUT_MAX))

    def _release_if_ended(self) -> None:
        with self._changed:
            due = self._finished and not self._inside and not self._released
            self._released |= due
        if due:
            self._release()


_living: WeakSet[Lifetime] = WeakSet()


def _end() -> None:
    """At the exit of the process: a daemon thread that is abandoned inside the model would abort it."""
    for lifetime in list(_living):
        if lifetime.is_here:
            lifetime.finish(0.0)


atexit.register(_end)
