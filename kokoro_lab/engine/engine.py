"""Text in, speech out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.audio.join import join
from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.primer import pieces
from kokoro_lab.engine.reader import Reader
from kokoro_lab.engine.request import Request, check
from kokoro_lab.engine.speech import Chunk, Speech, SpokenSegment, Timings
from kokoro_lab.engine.stream import Stream, StreamSettings
from kokoro_lab.errors import InferenceError
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.voices import Voice, load_voice
from kokoro_lab.runtime.pool import Answer, SessionPool, role_settings
from kokoro_lab.runtime.session import Cancellation, Session
from kokoro_lab.text.segment import Segment

__all__ = ["Chunk", "Engine", "Speech", "Timings"]

Notice = Callable[[str], None]


class Engine:
    """Speaks texts with one model. Any number of threads may call it at once; the samples are the same as one caller's.

    The same text, voice, speed, seed, segmentation, model, provider, thread count and onnxruntime version give the same
    samples, bit for bit, on one machine.
    """

    def __init__(
        self,
        config: EngineConfig,
        model: ModelFile,
        pool: SessionPool,
        reader: Reader,
        voices: dict[str, Voice],
        load_seconds: dict[str, float],
    ) -> None:
        """Put an engine together from parts that are ready; `Engine.load` makes them from a configuration."""
        self.config = config
        self.model = model
        self.pool = pool
        self.load_seconds = load_seconds
        """Wall seconds of each stage of loading, which add up to the whole: model (finding or building the file),
        session, voices, g2p (with `parallel_start` only what was left of it when the session stood), other."""
        self._reader = reader
        self._voices = voices
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @classmethod
    def load(cls, config: EngineConfig | None = None, *, notice: Notice | None = None) -> Engine:
        """Find (or build) the model, open its session, make the first voices and phonemisers ready.

        notice: told what takes long, such as building the stand-in. Raises ModelNotFoundError, ModelError,
        ProviderError, VoiceError, LanguageError, SettingError.
        """
        config = config or EngineConfig()
        start = time.perf_counter()
        seconds: dict[str, float] = {}
        reader = Reader(max_tokens=config.max_tokens)
        with ThreadPoolExecutor(1, thread_name_prefix="kokoro-start") as aside:
            prepared = aside.submit(_prepare, reader, config.languages) if config.parallel_start else None
            with _stage(seconds, "model"):
                model = resolve(config.model, notice=notice)
            with _stage(seconds, "session"):
                pool = _open_pool(model, config)
            with _stage(seconds, "voices"):
                voices = {name: load_voice(name) for name in config.voices}
            with _stage(seconds, "g2p"):
                if prepared is None:
                    _prepare(reader, config.languages)
                else:
                    prepared.result()
        seconds["other"] = time.perf_counter() - start - sum(seconds.values())
        return cls(config, model, pool, reader, voices, seconds)

    def synthesize(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Speech:
        """Speak the whole text.

        voice: a name or the path of a voice pack. speed: a factor from 0.5 to 2. lang: None takes the voice's language.
        seed: of the noise in the harmonic source, where the model has one. Raises an InputError for what cannot be
        spoken, PhonemizeError and InferenceError for what fails.
        """
        start = time.perf_counter()
        request = self._checked(text, voice, speed, lang, seed)
        return self._synthesize(request, start)

    def stream(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Stream:
        """Speak the text in chunks, each as soon as it is ready; the arguments are those of `synthesize`.

        With the primer off, the chunks put together are the samples of `synthesize`. What is wrong with the arguments
        is raised here, what fails later by the iteration, after the chunks that were ready before. Closing the stream,
        or dropping it, stops the model inside its call.
        """
        request = self._checked(text, voice, speed, lang, seed)
        config = self.config
        settings = StreamSettings(config.chunk_ms, config.prebuffer, config.queue_segments, config.queue_chunks)
        return Stream(
            self._reader.read(self._pieces(request.text), request.lang), partial(self._speak, request), settings
        )

    def close(self) -> None:
        """Let go of the model; calls in flight finish, later ones raise InferenceError."""
        self._closed.set()
        self.pool.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, text: str, voice: str, speed: float, lang: str | None, seed: int) -> Request:
        if self._closed.is_set():
            raise InferenceError("the engine is closed; load another")
        return check(text, self._voice, voice, speed, lang, seed)

    def _voice(self, name: str) -> Voice:
        with self._lock:
            known = self._voices.get(name)
        if known is None:
            known = load_voice(name)
            with self._lock:
                known = self._voices.setdefault(name, known)
        return known

    def _pieces(self, text: str) -> Iterator[str]:
        config = self.config
        if not config.primer:
            return iter((text,))
        return pieces(text, chars=config.primer_chars, words=config.primer_words, growth=config.primer_growth)

    def _synthesize(self, request: Request, start: float) -> Speech:
        stages: dict[str, float] = {}
        spoken: list[SpokenSegment] = []
        audio: list[NDArray[np.float32]] = []
        position = 0
        for segment in self._reader.read((request.text,), request.lang):
            for stage, spent in segment.seconds.items():
                stages[stage] = stages.get(stage, 0.0) + spent
            with _stage(stages, "infer"):
                inference = self._speak(request, segment).inference
            spoken.append(
                SpokenSegment(segment, position, len(inference.audio), inference.durations, inference.seconds)
            )
            audio.append(inference.audio)
            position += len(inference.audio) + round(segment.pause_s * SAMPLE_RATE)
        with _stage(stages, "post_process"):
            samples = join(audio, [one.segment.pause_s for one in spoken[:-1]])
            samples.setflags(write=False)
            durations = [one.durations for one in spoken if one.durations is not None]
        speech = Speech(
            samples=samples,
            sample_rate=SAMPLE_RATE,
            text=request.text,
            phonemes=" ".join(one.segment.phonemes for one in spoken),
            tokens=tuple(token for one in spoken for token in one.segment.tokens),
            durations=np.concatenate(durations) if durations else None,
            segments=tuple(spoken),
            voice=request.voice.name,
            speed=request.speed,
            lang=request.lang,
            seed=request.seed,
            timings=Timings(),
            model=self.model,
        )
        return replace(speech, timings=Timings.of(stages, time.perf_counter() - start))

    def _speak(self, request: Request, segment: Segment, cancellation: Cancellation | None = None) -> Answer:
        answer = self.pool.run(
            segment.tokens,
            request.voice.style(len(segment.tokens)),
            request.speed,
            request.seed,
            text=segment.text,
            cancellation=cancellation,
            noise_scale=self.config.noise_scale,
        )
        if self.config.check_finite and not np.isfinite(answer.inference.audio).all():
            raise InferenceError(
                f"model {self.model.name} gave samples that are not finite for {segment.text[:60]!r}; use a variant of "
                "higher precision, or set check_finite to off to see them"
            )
        return answer


def _prepare(reader: Reader, languages: tuple[str, ...]) -> None:
    for language in languages:
        reader.prepare(language)


def _open_pool(model: ModelFile, config: EngineConfig) -> SessionPool:
    import os

    settings = role_settings(config.session_settings, config.sessions, len(os.sched_getaffinity(0)))
    sessions = {role: Session.open(model, wanted) for role, wanted in settings.items()}
    return SessionPool(sessions, routing=config.routing, concurrency=config.concurrency, rest_s=config.session_rest_s)


@contextmanager
def _stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to a stage."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
