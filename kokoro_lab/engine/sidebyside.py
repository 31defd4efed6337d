"""The segments of one text spoken at the same time, on several threads, and handed back in their order.

Whole synthesis only: a stream wants its first segment soonest and keeps the model busy with the next one. Which session
speaks a segment depends on its text alone (routing by length or complexity), so that the samples are those of speaking
one after the other; routing by measured cost depends on what was measured meanwhile, and is refused together with this.

Why several segments do not share one model call, in a batch: there is next to nothing to gain on a CPU. Four segments
of 16 tokens in one call are the work of one call of 64, so that the fall of RTF with length bounds the gain. The fp32
export of this architecture, 2 threads on a quiet machine, has RTF 0.343, 0.351 and 0.357 at 16, 50 and 150 tokens: a
call of 16 fills the processors already. With the stand-in on a loaded machine (load 8 to 10 on 2 processors), where
each call waits for its share, RTF at 16 over RTF at 64 was 1.17 (median of 5 interleaved pairs, 1.13 to 1.58), and over
RTF at 128 1.15. Against that stand the padding, as every segment is as long as the longest, and the graph: it is made
for a batch of one, and its instance norms and LSTMs run over time, so that padding would be heard unless each of them
were masked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from kokoro_lab.engine.assembly import Made
from kokoro_lab.errors import InferenceError
from kokoro_lab.runtime.session import Cancellation

if TYPE_CHECKING:
    from kokoro_lab.runtime.pool import Answer
    from kokoro_lab.text.segment import Segment

__all__ = ["SideBySide"]


class SideBySide:
    """Speaks the segments of a text on up to `threads` threads, which all texts share."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.most = 0
        """Segments that were being spoken at once, at most."""
        self._lock = threading.Lock()
        self._running = 0
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="kokoro-segments")

    def speak(self, segments: Iterator[Segment], speak: Callable[[Segment, Cancellation], Answer]) -> list[Made]:
        """Each segment with what the model gave, in the order of the text.

        Reading goes on while the first segments are spoken. The first error, in the order of the text, is raised after
        the calls that still run were stopped.
        """
        cancellation = Cancellation()
        started: list[tuple[Segment, Future[Answer]]] = []
        try:
            for segment in segments:
                started.append((segment, self._submitted(speak, segment, cancellation)))
            return [(segment, future.result().inference) for segment, future in started]
        except BaseException:
            cancellation.cancel()
            for _, future in started:
                future.cancel()
            wait([future for _, future in started])
            raise

    def close(self) -> None:
        """End the threads when what they speak is done."""
        self._workers.shutdown(wait=False)

    def _submitted(
        self, speak: Callable[[Segment, Cancellation], Answer], segment: Segment, cancellation: Cancellation
    ) -> Future[Answer]:
        try:
            return self._workers.submit(self._counted, speak, segment, cancellation)
        except RuntimeError as error:  # after `close`
            raise InferenceError("the engine is closed; load another") from error

    def _counted(
        self, speak: Callable[[Segment, Cancellation], Answer], segment: Segment, cancellation: Cancellation
    ) -> Answer:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return speak(segment, cancellation)
        finally:
            with self._lock:
                self._running -= 1
