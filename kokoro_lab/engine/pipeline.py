"""The three stages of a stream, each on its own thread, joined by bounded queues.

reading (text -> segments)  ->  inference (segment -> samples)  ->  audio (samples -> numbered chunks)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.audio.join import FADE_S, fade_edges, silence
from kokoro_lab.engine.adaptive_prebuffer import ChunkArrival
from kokoro_lab.engine.channel import Channel, CutError, StageClock
from kokoro_lab.engine.speech import Chunk, SpokenSegment
from kokoro_lab.errors import InferenceError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.forks import Birthplace
from kokoro_lab.runtime.workers import start_worker
from kokoro_lab.units import SAMPLE_RATE

if TYPE_CHECKING:
    from kokoro_lab.runtime.pool import RoutedInference
    from kokoro_lab.text.segment import Segment

__all__ = ["OUT_OF_MEMORY", "STAGES", "Pipeline", "StageFailure", "StreamSettings"]

STAGES = ("reading", "inference", "audio")
OUT_OF_MEMORY = "memory ran out; shorten the text, lower max_tokens, or raise the process's memory limit"
T = TypeVar("T")
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is cut into chunks, and the capacity of its queues."""

    chunk_ms: float = 80.0
    """Milliseconds per chunk; 0: a chunk is a whole segment."""
    prebuffer: int = 1
    """Chunks that must be ready before the first is returned."""
    queue_segments: int = 2
    """Segments that may wait between two stages."""
    queue_chunks: int = 64
    """Chunks that may wait for the caller (at least `prebuffer`)."""


@dataclass(frozen=True)
class StageFailure:
    """A queue item that carries a stage's error to the next stage."""

    error: BaseException


@dataclass(frozen=True)
class _InferredSegment:
    segment: Segment
    answer: RoutedInference


class Pipeline:
    """State that a stream's threads share. No reference to the `Stream`: dropping the stream ends them."""

    def __init__(
        self,
        segments: Iterator[Segment],
        speak: Callable[[Segment, Cancellation], RoutedInference],
        settings: StreamSettings,
        *,
        on_worked: Callable[[], object] = lambda: None,
    ) -> None:
        """on_worked: called once, on any thread, when the last stage's thread is about to end."""
        self.born = Birthplace()
        self.threads: list[threading.Thread] = []
        self.failure: BaseException | None = None
        """Why the stream was cut, where its reader must learn it."""
        self._on_worked = on_worked
        self._at_work = len(STAGES)
        self.segments = segments
        self.speak = speak
        self.settings = settings
        self.cancellation = Cancellation()
        self.planned: Channel[Segment | StageFailure] = Channel(settings.queue_segments)
        self.spoken: Channel[_InferredSegment | StageFailure] = Channel(settings.queue_segments)
        self.chunks: Channel[Chunk | StageFailure] = Channel(max(settings.queue_chunks, settings.prebuffer))
        self.clocks = {stage: StageClock() for stage in STAGES}
        self.seconds: dict[str, float] = {}
        self.finished: list[SpokenSegment] = []
        self.arrived: list[ChunkArrival] = []
        """Chunks as they were produced, without the time that the caller kept them waiting."""
        self._start = time.perf_counter()
        self._held_up = 0.0
        self._known = threading.Condition()
        self._segments_read = 0
        self._all_read = False
        self._position = 0
        self._index = 0

    def start(self) -> None:
        """Start all three stages. Raises InferenceError where the system refuses a thread; then none goes on."""
        for stage, work in zip(STAGES, (self._read, self._infer, self._cut), strict=True):
            try:
                self.threads.append(start_worker(f"kokoro-{stage}", partial(self._run, stage, work), self.cancel))
            except InferenceError:
                self.cancel()
                self._worked(len(STAGES) - len(self.threads))
                raise

    def drain(self) -> None:
        """Let the stages finish their work without waiting for the caller."""
        for channel in (self.planned, self.spoken, self.chunks):
            channel.lift()

    def cancel(self, failure: BaseException | None = None) -> None:
        """Stop every stage: the model within its call, the others at their next queue operation.

        failure: what the caller's next read raises; None when it was the caller who stopped it.
        """
        self.failure = self.failure or failure
        self.cancellation.cancel()
        for channel in (self.planned, self.spoken, self.chunks):
            channel.cut()
        with self._known:
            self._all_read = True
            self._known.notify_all()

    def _run(self, stage: str, work: Callable[[StageClock], None]) -> None:
        outputs: dict[str, Channel[Any]] = {"reading": self.planned, "inference": self.spoken, "audio": self.chunks}
        output = outputs[stage]
        clock = self.clocks[stage]
        clock.start()
        try:
            work(clock)
        except CutError:
            pass
        except BaseException as error:
            named = InferenceError(OUT_OF_MEMORY) if isinstance(error, MemoryError) else error
            with suppress(CutError):
                output.put(StageFailure(named))
        finally:
            if stage == "reading":
                self._reading_ended()
            clock.stop()
            output.end()
            self._worked(1)

    def _worked(self, stages: int) -> None:
        with self._known:
            self._at_work -= stages
            ended = self._at_work == 0
        if ended:
            self._on_worked()

    def _read(self, clock: StageClock) -> None:
        while True:
            segment = next(self.segments, None)
            if segment is None:
                return
            with self._known:
                self._segments_read += 1
                self._known.notify_all()
            for kind, seconds in segment.seconds.items():
                self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds
            clock.count()
            with clock.waiting():
                self.planned.put(segment)

    def _infer(self, clock: StageClock) -> None:
        for segment in _incoming(self.planned, clock):
            answer = self.speak(segment, self.cancellation)
            clock.shift(answer.waited_s)
            self.seconds["infer"] = self.seconds.get("infer", 0.0) + answer.inference.seconds
            clock.count()
            with clock.waiting():
                self.spoken.put(_InferredSegment(segment, answer))

    def _cut(self, clock: StageClock) -> None:
        step = round(self.settings.chunk_ms * SAMPLE_RATE / 1000)
        for number, spoken in enumerate(_incoming(self.spoken, clock)):
            audio = fade_edges(spoken.answer.inference.audio, start=number > 0, end=False)
            if spoken.segment.lead_s:
                self._position += round(spoken.segment.lead_s * SAMPLE_RATE)
                lead = silence(spoken.segment.lead_s)
                self._send([lead], spoken.segment, clock, number=number, first=False, pause=True)
            # Until it is known whether the segment is the last, chunks must stop before the part that would be faded.
            early = max(0, len(audio) - round(FADE_S * SAMPLE_RATE)) // step * step if step else 0
            pieces = [audio[start : start + step] for start in range(0, early, step)] if step else []
            self._send(pieces, spoken.segment, clock, number=number, first=True)
            with clock.waiting():
                follows = self._has_successor(number)
            if follows:
                audio = fade_edges(audio, start=False, end=True)
            rest = audio[early:]
            ends = [rest[start : start + step] for start in range(0, len(rest), step)] if step else [rest]
            self._finish(spoken, audio)
            self._send(ends or [rest], spoken.segment, clock, number=number, first=not pieces, ends=not follows)
            if follows and spoken.segment.pause_s > 0:
                pause = silence(spoken.segment.pause_s)
                self._send([pause], spoken.segment, clock, number=number, first=False, pause=True)
            clock.count()

    def _send(
        self,
        pieces: list[Samples],
        segment: Segment,
        clock: StageClock,
        *,
        number: int,
        first: bool,
        ends: bool = False,
        pause: bool = False,
    ) -> None:
        for at, piece in enumerate(pieces):
            last = ends and at == len(pieces) - 1
            text = segment.text if first and at == 0 else ""
            chunk = Chunk(number, self._index, last, piece, pause=pause, text=text)
            self._index += 1
            produced = time.perf_counter()
            self.arrived.append(ChunkArrival(produced - self._start - self._held_up, len(piece) / SAMPLE_RATE, number))
            with clock.waiting():
                self.chunks.put(chunk)
            self._held_up += time.perf_counter() - produced

    def _finish(self, spoken: _InferredSegment, audio: Samples) -> None:
        inference = spoken.answer.inference
        self.finished.append(
            SpokenSegment(spoken.segment, self._position, len(audio), inference.durations, inference.seconds)
        )
        self._position += len(audio) + round(spoken.segment.pause_s * SAMPLE_RATE)

    def _reading_ended(self) -> None:
        with self._known:
            self._all_read = True
            self._known.notify_all()

    def _has_successor(self, number: int) -> bool:
        """Whether a segment follows the segment of that number; waits until reading has got that far."""
        with self._known:
            self._known.wait_for(lambda: self._all_read or self._segments_read > number + 1)
            return self._segments_read > number + 1


def _incoming(channel: Channel[T | StageFailure], clock: StageClock) -> Iterator[T]:
    """Incoming items, with the waiting time counted; an error from the stage before is raised here and so passed on."""
    while True:
        try:
            with clock.waiting():
                item = channel.get()
        except EOFError:
            return
        if isinstance(item, StageFailure):
            raise item.error
        yield item
