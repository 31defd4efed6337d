"""Runs the model for the engine: a segment, the first segment of a stream, or all segments of a text.

Parallel segments are for whole synthesis only: a stream needs its first segment soonest and keeps the model busy with
the next segment. Which session speaks a segment depends on its text alone (routing by length or complexity), so that
the samples are those of sequential synthesis; routing by measured cost depends on earlier measurements and is refused
together with parallel segments.

Several segments do not share a model call, in a batch, because a CPU gains next to nothing. Four segments of 16 tokens
in a single call are the work of a single call of 64, so the fall of RTF with length bounds the gain. The fp32 export of
this architecture, with 2 threads on a quiet machine, has RTF 0.343, 0.351 and 0.357 at 16, 50 and 150 tokens: a call of
16 tokens keeps the processors busy already. With the stand-in on a loaded machine (load 8 to 10 on 2 processors), where
each call waits for its share, RTF at 16 over RTF at 64 was 1.17 (median of 5 interleaved pairs, 1.13 to 1.58), and over
RTF at 128 1.15. A batch also costs padding, because every segment is as long as the longest, and another graph: this
graph has a batch size of 1, and its instance norms and LSTMs run over time, so that padding would be heard unless each
of them were masked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

import numpy as np

from kokoro_lab.engine.assembly import SegmentInference
from kokoro_lab.engine.loading import Parts, stage
from kokoro_lab.engine.request import SpeechRequest, within_range
from kokoro_lab.engine.status import Counter
from kokoro_lab.errors import InferenceError
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.runtime.pool import RoutedInference
from kokoro_lab.text.segment import Segment
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["ParallelSegments", "SegmentSpeaker", "cached_inference", "recording"]


class SegmentSpeaker:
    """Runs segments on the engine's sessions, and counts them. Safe for any number of threads."""

    def __init__(self, parts: Parts, counter: Counter) -> None:
        self._config = parts.config
        self._model = parts.model
        self._pool = parts.pool
        self._reader = parts.reader
        self._primers = parts.primers
        self._counter = counter
        parallel = parts.config.parallel_segments
        self._parallel = ParallelSegments(parallel) if parallel > 1 else None

    @property
    def most(self) -> int:
        """Largest number of segments of whole texts that ran at once; 0 while they run one after the other."""
        return 0 if self._parallel is None else self._parallel.most

    def close(self) -> None:
        """End the threads for parallel segments."""
        if self._parallel is not None:
            self._parallel.close()

    def infer_all(
        self, request: SpeechRequest, stages: dict[str, float], cancellation: Cancellation
    ) -> list[SegmentInference]:
        """Read and speak the text, its segments sequentially or in parallel; adds the seconds to the stages."""

        def reading() -> Iterator[Segment]:
            for segment in self._reader.read((request.text,), request.lang):
                for kind, spent in segment.seconds.items():
                    stages[kind] = stages.get(kind, 0.0) + spent
                yield segment

        if self._parallel is not None:
            start = time.perf_counter()
            inferred = self._parallel.speak(reading(), partial(self.speak, request), cancellation)
            stages["infer"] = time.perf_counter() - start - sum(stages.values())
            return inferred
        inferred = []
        for segment in reading():
            with stage(stages, "infer"):
                inferred.append((segment, self.speak(request, segment, cancellation).inference))
        return inferred

    def speak(
        self, request: SpeechRequest, segment: Segment, cancellation: Cancellation | None = None
    ) -> RoutedInference:
        """Speak a segment. Raises InferenceError, also for samples that are not finite."""
        answer = self._pool.run(
            segment.tokens,
            request.voice.style(len(segment.tokens)),
            within_range(request.speed * segment.rate),
            request.seed,
            text=segment.text,
            cancellation=cancellation,
            noise_scale=self._config.noise_scale,
        )
        audio = answer.inference.audio
        if self._config.check_finite and not np.isfinite(audio).all():
            raise InferenceError(
                f"model {self._model.name} returned samples that are not finite for {segment.text[:60]!r}; use a "
                "variant of higher precision, or turn check_finite off to hear them"
            )
        self._counter.add(
            segments=1,
            tokens=len(segment.tokens),
            speech_s=len(audio) / SAMPLE_RATE,
            user_words=sum(word.path == "user" for word in segment.words),
        )
        return answer

    def first(self, request: SpeechRequest, segment: Segment, cancellation: Cancellation) -> RoutedInference:
        """Like `speak`, but the first segment of a stream is looked up among the primers."""
        if self._primers is None or segment.index > 0:
            return self.speak(request, segment, cancellation)
        key = (segment.tokens, request.voice.sha256, request.speed * segment.rate, request.seed)
        known = self._primers.get(key)
        if known is not None:
            return RoutedInference(replace(known, seconds=0.0), "primer cache", 0.0)
        answer = self.speak(request, segment, cancellation)
        self._primers.put(key, answer.inference)
        return answer


class ParallelSegments:
    """Speaks the segments of a text on up to `threads` threads, which all texts share."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.most = 0
        """Largest number of segments that ran at once."""
        self._lock = threading.Lock()
        self._running = 0
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="kokoro-segments")

    def speak(
        self,
        segments: Iterator[Segment],
        speak: Callable[[Segment, Cancellation], RoutedInference],
        cancellation: Cancellation | None = None,
    ) -> list[SegmentInference]:
        """Each segment with its inference, in the order of the text.

        Reading goes on while the first segments are spoken. The first error, in the order of the text, is raised after
        the running calls have been cancelled.
        """
        cancellation = cancellation or Cancellation()
        started: list[tuple[Segment, Future[RoutedInference]]] = []
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
        """End the threads after their current work."""
        self._workers.shutdown(wait=False)

    def _submitted(
        self, speak: Callable[[Segment, Cancellation], RoutedInference], segment: Segment, cancellation: Cancellation
    ) -> Future[RoutedInference]:
        try:
            return self._workers.submit(self._counted, speak, segment, cancellation)
        except RuntimeError as error:  # after `close`
            raise InferenceError("the engine is closed; load another engine") from error

    def _counted(
        self, speak: Callable[[Segment, Cancellation], RoutedInference], segment: Segment, cancellation: Cancellation
    ) -> RoutedInference:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return speak(segment, cancellation)
        finally:
            with self._lock:
                self._running -= 1


def recording(
    speak: Callable[[Segment, Cancellation], RoutedInference],
    inferred: list[SegmentInference],
    segment: Segment,
    cancellation: Cancellation,
) -> RoutedInference:
    """Speak a segment, and append the result to `inferred`."""
    answer = speak(segment, cancellation)
    inferred.append((segment, answer.inference))
    return answer


def cached_inference(inferred: list[SegmentInference], segment: Segment, _: Cancellation) -> RoutedInference:
    """An inference that exists already, as an answer that took no time."""
    return RoutedInference(inferred[segment.index][1], "cache", 0.0)
