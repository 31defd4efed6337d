"""Speech in chunks while it is synthesised: three stages on their own threads, joined by bounded queues.

    reading (text -> segments)  ->  inference (segment -> samples)  ->  audio (samples -> numbered chunks)  ->  caller

A slow caller fills the last queue; then the stage before it waits, and so on back to the text, so that memory does not
grow. Closing the stream cancels the model's current call. An error in a stage reaches the caller after the chunks that
were ready before it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kokoro_lab.engine.adaptive_prebuffer import ChunkArrival
from kokoro_lab.engine.channel import CutError, StageTimes
from kokoro_lab.engine.pipeline import STAGES, Pipeline, StageFailure, StreamSettings
from kokoro_lab.engine.speech import Chunk, SpokenSegment
from kokoro_lab.errors import InferenceError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.lifetime import CUT_SHORT, TextInFlight

if TYPE_CHECKING:
    from kokoro_lab.runtime.pool import RoutedInference
    from kokoro_lab.text.segment import Segment

__all__ = ["STAGES", "Stream", "StreamSettings", "StreamTimings"]


@dataclass(frozen=True)
class StreamTimings:
    """How a stream spent its time, in seconds. Complete when the stream has ended."""

    first_chunk_s: float | None
    """From the call to the first returned chunk; None before it."""
    total_s: float
    """From the call to the end of the stream, the caller's own time included; until now, while it runs."""
    stages: Mapping[str, StageTimes]
    """Busy and waiting time of each stage's thread: reading, inference, audio."""
    seconds: Mapping[str, float]
    """Work by kind: normalise, phonemise, tokenise, infer."""


class Stream(Iterator[Chunk]):
    """The chunks of a text, in order, as they become ready. Close it (or drop it) to stop the work behind it."""

    def __init__(
        self,
        segments: Iterator[Segment],
        speak: Callable[[Segment, Cancellation], RoutedInference],
        settings: StreamSettings | None = None,
        *,
        on_end: Callable[[BaseException | None], None] | None = None,
        on_heard: Callable[[Sequence[ChunkArrival]], None] | None = None,
        text: TextInFlight | None = None,
    ) -> None:
        """Start the three stages.

        segments: lazily read, on the reading thread. speak: runs the model for one segment, on the inference thread.
        on_end: called once on the caller's thread when the stream has ended (with None), failed (with its error) or
        been closed or dropped (with GeneratorExit). on_heard: called before on_end, when the stream has ended, with
        every chunk's time of arrival. text: it has ended when the stages have.

        Raises InferenceError where the system refuses a thread.
        """
        self._start = time.perf_counter()
        text = text or TextInFlight()
        self._pipeline = Pipeline(segments, speak, settings or StreamSettings(), on_worked=text.ended)
        text.handed_over(
            self._pipeline.threads,
            drain=self._pipeline.drain,
            cancel=partial(self._pipeline.cancel, InferenceError(CUT_SHORT)),
        )
        self._first_s: float | None = None
        self._end: float | None = None
        self._on_end = on_end
        self._on_heard = on_heard
        self._pipeline.start()
        self._dropped = weakref.finalize(self, _drop, self._pipeline, on_end)

    def __next__(self) -> Chunk:
        self._pipeline.born.require("stream")
        if self._end is not None:
            raise StopIteration
        chunks = self._pipeline.chunks
        try:
            if self._first_s is None:
                chunks.wait_for(self._pipeline.settings.prebuffer)
            item = chunks.get()
        except (EOFError, CutError):
            failure = self._pipeline.failure
            self._finish(failure)
            if failure is not None:
                raise failure from None
            raise StopIteration from None
        except BaseException as error:  # Ctrl-C while waiting
            self._finish(error)
            raise
        if isinstance(item, StageFailure):
            self._finish(item.error)
            raise item.error
        if self._first_s is None:
            self._first_s = time.perf_counter() - self._start
        return item

    def close(self) -> None:
        """Stop the work, the model within its call. Does nothing when the stream has ended."""
        if self._end is None and self._pipeline.born.is_here:
            self._finish(GeneratorExit())

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def timings(self) -> StreamTimings:
        """The times so far."""
        total = (self._end or time.perf_counter()) - self._start
        stages = {stage: clock.times() for stage, clock in self._pipeline.clocks.items()}
        return StreamTimings(self._first_s, total, stages, dict(self._pipeline.seconds))

    @property
    def segments(self) -> tuple[SpokenSegment, ...]:
        """The segments that were cut into chunks so far, with their positions in the samples."""
        return tuple(self._pipeline.finished)

    @property
    def most_waiting(self) -> dict[str, int]:
        """Largest number of items that waited at once in each queue: planned segments, spoken segments, chunks."""
        pipeline = self._pipeline
        return {"planned": pipeline.planned.most, "spoken": pipeline.spoken.most, "chunks": pipeline.chunks.most}

    def _finish(self, error: BaseException | None) -> None:
        self._end = time.perf_counter()
        self._dropped.detach()
        self._pipeline.cancel()
        if error is None and self._on_heard is not None:
            self._on_heard(self._pipeline.arrived)
        if self._on_end is not None:
            self._on_end(error)


def _drop(pipeline: Pipeline, on_end: Callable[[BaseException | None], None] | None) -> None:
    """Clean up a stream that is no longer referenced."""
    if not pipeline.born.is_here:
        return  # the child of a fork: the threads are its parent's, and the locks as they were
    pipeline.cancel()
    if on_end is not None:
        on_end(GeneratorExit())
