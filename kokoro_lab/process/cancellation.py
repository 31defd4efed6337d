"""Stopping the model's calls while they run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kokoro_lab.errors import InferenceError

__all__ = ["Cancellation"]


class Cancellation:
    """Stops the calls that were started with it, while they run: onnxruntime checks it between two operators."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Any] = []
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` has been called."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop running calls, and refuse later ones. Safe from any thread, any number of times."""
        with self._lock:
            self._cancelled.set()
            for options in self._running:
                options.terminate = True

    @contextmanager
    def watching(self, options: Any) -> Iterator[None]:
        """Let `cancel` stop a call that runs with these onnxruntime.RunOptions."""
        with self._lock:
            if self._cancelled.is_set():
                raise InferenceError("the call was cancelled before it began; use a new Cancellation")
            self._running.append(options)
        try:
            yield
        finally:
            with self._lock:
                self._running = [other for other in self._running if other is not options]
