"""The model at work for the engine: one segment, the first one of a stream, or all of a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.assembly import Made
from kokoro_lab.engine.loading import Parts, stage
from kokoro_lab.engine.request import Request, within_range
from kokoro_lab.engine.sidebyside import SideBySide
from kokoro_lab.engine.status import Counter
from kokoro_lab.errors import InferenceError
from kokoro_lab.runtime.pool import Answer
from kokoro_lab.runtime.session import Cancellation
from kokoro_lab.text.segment import Segment

__all__ = ["Speaker", "kept_answer", "noting"]


class Speaker:
    """Speaks segments over the engine's sessions, and counts them. Safe for any number of threads."""

    def __init__(self, parts: Parts, counter: Counter) -> None:
        self._config = parts.config
        self._model = parts.model
        self._pool = parts.pool
        self._reader = parts.reader
        self._primers = parts.primers
        self._counter = counter
        parallel = parts.config.parallel_segments
        self._side_by_side = SideBySide(parallel) if parallel > 1 else None

    @property
    def most(self) -> int:
        """Segments of whole texts that were being spoken at once, at most; 0 while they are spoken one by one."""
        return 0 if self._side_by_side is None else self._side_by_side.most

    def close(self) -> None:
        """End the threads that speak segments side by side."""
        if self._side_by_side is not None:
            self._side_by_side.close()

    def made(self, request: Request, stages: dict[str, float]) -> list[Made]:
        """The text read and spoken, one segment after the other or side by side; seconds are added to the stages."""

        def reading() -> Iterator[Segment]:
            for segment in self._reader.read((request.text,), request.lang):
                for kind, spent in segment.seconds.items():
                    stages[kind] = stages.get(kind, 0.0) + spent
                yield segment

        if self._side_by_side is not None:
            start = time.perf_counter()
            made = self._side_by_side.speak(reading(), partial(self.speak, request))
            stages["infer"] = time.perf_counter() - start - sum(stages.values())
            return made
        made = []
        for segment in reading():
            with stage(stages, "infer"):
                made.append((segment, self.speak(request, segment).inference))
        return made

    def speak(self, request: Request, segment: Segment, cancellation: Cancellation | None = None) -> Answer:
        """One segment. Raises InferenceError, also for samples that are not finite."""
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
                f"model {self._model.name} gave samples that are not finite for {segment.text[:60]!r}; use a variant "
                "of higher precision, or set check_finite to off to see them"
            )
        self._counter.add(
            segments=1,
            tokens=len(segment.tokens),
            speech_s=len(audio) / SAMPLE_RATE,
            user_words=sum(word.path == "user" for word in segment.words),
        )
        return answer

    def first(self, request: Request, segment: Segment, cancellation: Cancellation) -> Answer:
        """As `speak`, with the first segment of a stream looked up among the primers."""
        if self._primers is None or segment.index > 0:
            return self.speak(request, segment, cancellation)
        key = (segment.tokens, request.voice.sha256, request.speed * segment.rate, request.seed)
        known = self._primers.get(key)
        if known is not None:
            return Answer(replace(known, seconds=0.0), "primer cache", 0.0)
        answer = self.speak(request, segment, cancellation)
        self._primers.put(key, answer.inference)
        return answer


def noting(
    speak: Callable[[Segment, Cancellation], Answer], made: list[Made], segment: Segment, cancellation: Cancellation
) -> Answer:
    """Speak, and note what was made."""
    answer = speak(segment, cancellation)
    made.append((segment, answer.inference))
    return answer


def kept_answer(made: list[Made], segment: Segment, _: Cancellation) -> Answer:
    """What was made before, as an answer that took no time."""
    return Answer(made[segment.index][1], "cache", 0.0)
