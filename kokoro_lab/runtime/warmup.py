"""Warm-up calls before the first real call, which would otherwise pay one-time costs.

`one`: a single short call. `shapes`: a call per length bucket, since onnxruntime plans memory by shape and its arena
grows with the longest call. `patterns`: the specification's texts with several voices, which also warms up the text
processing. `background`: `shapes`, on a thread of its own, while the engine already answers.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.runtime.workers import start_worker
from kokoro_lab.text.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from kokoro_lab.runtime.session import Session

__all__ = [
    "SHAPES",
    "WARMUP_TEXTS",
    "WARMUP_VOICES",
    "Warmup",
    "WarmupCall",
    "WarmupStatus",
    "pattern_calls",
    "shape_calls",
]

Call = Callable[[Cancellation], object]

ONE = (16,)
SHAPES = (16, 32, 64, 128, 256)
"""Tokens of the calls of `shapes`: 1 to 17 s of speech."""

WARMUP_TEXTS = (
    "Hi", "Ok", "Yes", "Hello", "Test", "Start", "Hello world", "How are you?", "Welcome back",
    "This is a test sentence.", "Please read this text aloud.", "The quick brown fox jumps.",
    "Read this paragraph for me please.",
    "This is a longer sentence that demonstrates the streaming capabilities of the system.",
)  # fmt: skip
"""The specification's fourteen texts (see docs/claims.md)."""

WARMUP_VOICES = (
    "af_heart", "af_bella", "af_sarah", "am_adam", "am_michael", "bf_emma", "bm_george", "bm_lewis",
)  # fmt: skip
"""Eight voices; half of the voices that the specification names do not exist."""

PHONEMES = "hɛˈloʊ wˈɜɹld ðɪs ɪz ə tˈɛst "


@dataclass(frozen=True)
class WarmupCall:
    """A completed warm-up call."""

    what: str
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class WarmupStatus:
    """Progress of the warm-up."""

    strategy: str
    planned: int
    calls: tuple[WarmupCall, ...]
    finished: bool
    seconds: float
    """From the start to the end, or until now."""


class Warmup:
    """Makes calls one after the other, at once or on its own thread; the error of a call is recorded, not raised."""

    def __init__(self, strategy: str, calls: Sequence[tuple[str, Call]]) -> None:
        self.strategy = strategy
        self._calls = tuple(calls)
        self._done: list[WarmupCall] = []
        self._cancellation = Cancellation()
        self._start: float | None = None
        self._end: float | None = None
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Make the calls now."""
        self._start = time.perf_counter()
        for what, call in self._calls:
            if self._cancellation.cancelled:
                break
            start, error = time.perf_counter(), ""
            try:
                call(self._cancellation)
            except KokoroLabError as problem:
                error = problem.message
            self._done.append(WarmupCall(what, time.perf_counter() - start, error))
        self._end = time.perf_counter()

    def run_aside(self) -> None:
        """Make the calls on their own thread."""
        self._thread = start_worker("kokoro-warmup", self.run, self._cancellation.cancel)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread started by `run_aside`; True if it has ended."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def stop(self) -> None:
        """Make no further calls, and cancel the running call."""
        self._cancellation.cancel()
        self.wait()

    def status(self) -> WarmupStatus:
        """Progress so far."""
        if self._start is None:
            return WarmupStatus(self.strategy, len(self._calls), (), not self._calls, 0.0)
        seconds = (self._end or time.perf_counter()) - self._start
        return WarmupStatus(self.strategy, len(self._calls), tuple(self._done), self._end is not None, seconds)


def shape_calls(
    strategy: str, sessions: dict[str, Session], style: Callable[[int], NDArray[np.float32]], limit: int
) -> list[tuple[str, Call]]:
    """The calls of `one`, `shapes` and `background`: each length on each session, bypassing the pool's routing.

    style: returns the voice's row float32 [1, 256] for a number of tokens. limit: the longest possible segment.
    """
    symbols, _ = load_vocabulary().encode(PHONEMES)
    lengths = ONE if strategy == "one" else SHAPES
    calls: list[tuple[str, Call]] = []
    for name, session in sessions.items():
        for length in dict.fromkeys(min(length, limit) for length in lengths):
            tokens = [symbols[at % len(symbols)] for at in range(length)]

            def call(cancellation: Cancellation, session: Session = session, tokens: list[int] = tokens) -> object:
                return session.run(tokens, style(len(tokens)), 1.0, cancellation=cancellation)

            calls.append((f"{length} tokens on {name}", call))
    return calls


def pattern_calls(say: Callable[[str, str, Cancellation], object]) -> list[tuple[str, Call]]:
    """The calls of `patterns`: each of the specification's texts, alternating the voices. say: synthesises a text."""
    calls: list[tuple[str, Call]] = []
    for at, text in enumerate(WARMUP_TEXTS):
        voice = WARMUP_VOICES[at % len(WARMUP_VOICES)]
        calls.append((f"{text!r} by {voice}", functools.partial(say, text, voice)))
    return calls
