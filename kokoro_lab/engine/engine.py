"""Text in, speech out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from kokoro_lab.engine.assembly import Made, assembled
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.cushion import Cushion
from kokoro_lab.engine.knobs import knobs_of
from kokoro_lab.engine.loading import Notice, Parts, load_parts, stage
from kokoro_lab.engine.pipeline import OUT_OF_MEMORY
from kokoro_lab.engine.primer import pieces
from kokoro_lab.engine.rendered import Rendered, RenderedKey
from kokoro_lab.engine.request import Request, check, key_of
from kokoro_lab.engine.speaker import Speaker, kept_answer, noting
from kokoro_lab.engine.speech import Chunk, Speech, Timings
from kokoro_lab.engine.status import Counter, EngineStatus, StartStatus
from kokoro_lab.engine.stream import Stream, StreamSettings
from kokoro_lab.engine.tuner import Tuner
from kokoro_lab.engine.usage import BUDGET_BYTES, Prewarmer
from kokoro_lab.errors import InferenceError
from kokoro_lab.models.voices import Voice, load_voice
from kokoro_lab.runtime.arena import ArenaStatus
from kokoro_lab.runtime.idle import Idle
from kokoro_lab.runtime.memory import Watchdog, trim
from kokoro_lab.runtime.pool import Answer
from kokoro_lab.runtime.priority import threads_by_priority
from kokoro_lab.runtime.session import Cancellation
from kokoro_lab.runtime.warmup import Warmup, pattern_calls, shape_calls
from kokoro_lab.text.segment import Segment

__all__ = ["Chunk", "Engine", "Speech", "Timings"]


class Engine:
    """Speaks texts with one model. Any number of threads may call it at once; the samples are the same as one caller's.

    The same text, voice, speed, seed, segmentation, model, provider, thread count and onnxruntime version give the same
    samples, bit for bit, on one machine.
    """

    def __init__(self, parts: Parts) -> None:
        """Put an engine together from parts that are ready; `Engine.load` makes them from a configuration."""
        self.config = parts.config
        self.model = parts.spoken.model
        self.spoken = parts.spoken
        """The model, why it was chosen, and the file that was opened."""
        self.pool = parts.pool
        self.load_seconds = parts.seconds
        """Wall seconds of each stage of loading, which add up to the whole: model (finding or building the file),
        session, voices, g2p (with `parallel_start` only what was left of it when the session stood), caches, warmup
        (when it is not in the background), other."""
        self._busy = parts.busy
        self._reader = parts.reader
        self._voices = parts.voices
        self._rendered = parts.rendered
        self._primers = parts.primers
        self._cushion = Cushion(self.config.chunk_ms, self.config.prebuffer) if self.config.adaptive_buffer else None
        self._counter = Counter()
        self._speaker = Speaker(parts, self._counter)
        self._tuner: Tuner | None = None
        if self.config.tune_s:
            self._tuner = Tuner(knobs_of(self.pool, self._reader.cache), interval_s=self.config.tune_s)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._idle = Idle(self.config.release_idle_s, self._give_back)
        self._warmup = Warmup(self.config.warmup, self._warmup_calls())
        self._prewarmer: Prewarmer[Request] | None = None
        if self.config.prewarm_uses and self._rendered is not None:
            memory = self._rendered.memory
            self._prewarmer = Prewarmer(
                self.config.prewarm_uses,
                self._speak_ahead,
                lambda request: memory.holds(key_of(request)),
                lambda: self._counter.read().running > 0,
                budget=min(BUDGET_BYTES, memory.limit),
            )
            self._prewarmer.start()
        self._watchdog: Watchdog | None = None
        if self.config.memory_watch_s:
            self._watchdog = Watchdog(
                self.clear_caches,
                lambda: self._counter.read().synthesized + self._counter.read().streamed,
                interval_s=self.config.memory_watch_s,
                pressure=self.config.memory_pressure,
            )
            self._watchdog.start()

    @classmethod
    def load(cls, config: EngineConfig | None = None, *, notice: Notice | None = None) -> Engine:
        """Find (or build) the model, open its session, make the first voices and phonemisers ready, warm up.

        notice: told what takes long, such as building the stand-in. Raises ModelNotFoundError, ModelError,
        ProviderError, VoiceError, LanguageError, SettingError.
        """
        start = time.perf_counter()
        engine = cls(load_parts(config or EngineConfig(), notice))
        if engine.config.warmup == "background":
            engine._warmup.run_aside()
        elif engine.config.warmup != "none":
            with stage(engine.load_seconds, "warmup"):
                engine._warmup.run()
        engine.load_seconds["other"] = time.perf_counter() - start - sum(engine.load_seconds.values())
        return engine

    def synthesize(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Speech:
        """Speak the whole text.

        voice: a name or the path of a voice pack. speed: a factor from 0.5 to 2. lang: None takes the voice's language.
        seed: of the noise in the harmonic source, where the model has one. Raises an InputError for what cannot be
        spoken, PhonemizeError and InferenceError for what fails.
        """
        start = time.perf_counter()
        with self._counting():
            request = self._checked(text, voice, speed, lang, seed)
            key = key_of(request)
            kept = self._rendered.get(key) if self._rendered is not None else None
            made = kept.made() if kept is not None else []
            stages: dict[str, float] = {}
            if kept is None:
                made = self._speaker.made(request, stages)
                self._keep(key, made)
            if self._prewarmer is not None:
                size = sum(inference.audio.nbytes for _, inference in made)
                self._prewarmer.used(request, size, cached=kept is not None)
            with stage(stages, "post_process"):
                policy = self.config.finish
                speech = assembled(request, made, self.spoken, policy=policy, cached=kept is not None)
            self._counter.add(synthesized=1, finished=policy is not None)
        seconds = time.perf_counter() - start
        if self._tuner is not None and kept is None:
            self._tuner.called(seconds / len(speech.tokens))
        return replace(speech, timings=Timings.of(stages, seconds))

    def stream(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Stream:
        """Speak the text in chunks, each as soon as it is ready; the arguments are those of `synthesize`.

        With the primer off, the chunks put together are the samples of `synthesize`. What is wrong with the arguments
        is raised here, what fails later by the iteration, after the chunks that were ready before. Closing the stream,
        or dropping it, stops the model inside its call.
        """
        try:
            request = self._checked(text, voice, speed, lang, seed)
        except Exception:
            self._counter.add(failed=1)
            raise
        cut: Sequence[str] | Iterator[str] = self._pieces(text)
        speak: Callable[[Segment, Cancellation], Answer] = partial(self._speaker.first, request)
        segments: Iterator[Segment] | None = None
        finished: Callable[[], None] | None = None
        if self._rendered is not None:
            cut = tuple(cut)
            key = RenderedKey(cut, request.voice.sha256, request.speed, request.lang, request.seed)
            kept = self._rendered.get(key)
            made: list[Made] = kept.made() if kept is not None else []
            if kept is not None:
                segments = iter([segment for segment, _ in made])
                speak = partial(kept_answer, made)
            else:
                speak = partial(noting, speak, made)
                finished = partial(self._keep, key, made)

        def ended(error: BaseException | None) -> None:
            outcome = "streamed" if error is None else "cancelled" if isinstance(error, GeneratorExit) else "failed"
            self._counter.add(running=-1, **{outcome: 1})
            if error is None and finished is not None:
                finished()
            self._idle.touch()

        config = self.config
        cushion = self._cushion
        chunk_ms, prebuffer = (config.chunk_ms, config.prebuffer) if cushion is None else cushion.advise()
        settings = StreamSettings(chunk_ms, prebuffer, config.queue_segments, config.queue_chunks)
        self._counter.add(running=1)
        return Stream(
            segments or self._reader.read(cut, request.lang),
            speak,
            settings,
            on_end=ended,
            on_heard=None if cushion is None else cushion.learn,
        )

    def prewarm(self, texts: Sequence[str], voice: str = "af_heart", speed: float = 1.0) -> int:
        """Speak texts into the audio cache ahead of time; returns how many were not there yet (0 without a cache)."""
        if self._rendered is None:
            return 0
        return sum(not self.synthesize(text, voice, speed).cached for text in texts)

    def clear_caches(self) -> int:
        """Drop all that is cached in memory; returns how many entries that were. Counters and the folder stay."""
        if self._prewarmer is not None:
            self._prewarmer.forget()
        caches = [self._reader.cache, self._primers, None if self._rendered is None else self._rendered.memory]
        return sum(cache.clear() for cache in caches if cache is not None)

    def status(self) -> EngineStatus:
        """Every counter of the engine as it is now. Raises InferenceError when the engine is closed."""
        memory, folder = (None, None) if self._rendered is None else self._rendered.status()
        session = self.pool.primary
        return EngineStatus(
            spoken=self.spoken,
            provider=session.effective_provider(),
            digest=session.digest(),
            calls=self._counter.read(),
            sessions=self.pool.status(),
            fallbacks=self.pool.fallbacks,
            waited_s=self.pool.waited_s,
            side_by_side=self._speaker.most,
            phoneme_cache=None if self._reader.cache is None else self._reader.cache.status(),
            audio_cache=memory,
            audio_folder=folder,
            primer_cache=None if self._primers is None else self._primers.status(),
            start=StartStatus(dict(self.load_seconds), dict(self._busy)),
            warmup=self._warmup.status(),
            tuner=None if self._tuner is None else self._tuner.status(),
            concurrency=self.pool.concurrency,
            threads_by_priority=threads_by_priority(),
            usage=None if self._prewarmer is None else self._prewarmer.status(),
            cushion=None if self._cushion is None else self._cushion.status(),
            arena=ArenaStatus(
                session.settings.arena_limit_mb,
                session.settings.arena_extend,
                sum(member.session.arena_refusals for member in self.pool.members),
            ),
            memory=None if self._watchdog is None else self._watchdog.status(),
            languages=self._reader.languages,
            voices=tuple(sorted(self._voices)),
            variables=self.config.variables(),
        )

    def close(self) -> None:
        """Let go of the model; calls in flight finish, later ones raise InferenceError."""
        self._closed.set()
        self._idle.stop()
        self._warmup.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._prewarmer is not None:
            self._prewarmer.stop()
        self._speaker.close()
        self.pool.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self._counter.add(running=1)
        try:
            yield
        except MemoryError as error:
            self._counter.add(failed=1)
            raise InferenceError(OUT_OF_MEMORY) from error
        except BaseException:
            self._counter.add(failed=1)
            raise
        finally:
            self._counter.add(running=-1)
            self._idle.touch()

    def _give_back(self) -> None:
        """Hand free memory of the sessions and the heap to the system, unless a call began meanwhile."""
        if self._counter.read().running:
            return
        given = True
        for member in self.pool.members:
            try:
                member.session.give_back()
            except InferenceError:
                given = False  # not counted; what ails the session fails the next call, which says so
        trim()
        self._counter.add(releases=int(given))

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

    def _keep(self, key: RenderedKey, made: list[Made]) -> None:
        if self._rendered is not None:
            self._rendered.put(key, Rendered(tuple(one for one, _ in made), tuple(one for _, one in made)))

    def _speak_ahead(self, request: Request) -> int:
        """Speak a request into the audio cache, past the counters of calls; returns its bytes."""
        made = self._speaker.made(request, {})
        self._keep(key_of(request), made)
        return sum(inference.audio.nbytes for _, inference in made)

    def _warmup_calls(self) -> list[tuple[str, Callable[[Cancellation], object]]]:
        strategy = self.config.warmup
        if strategy == "none":
            return []
        if strategy != "patterns":
            sessions = {member.name: member.session for member in self.pool.members}
            voice = self._voice(self.config.voices[0] if self.config.voices else "af_heart")
            return shape_calls(strategy, sessions, voice.style, self.config.max_tokens)
        return pattern_calls(self._say)

    def _say(self, text: str, voice: str, cancellation: Cancellation) -> None:
        """Speak a text for its effects only, past the caches and the counters of calls."""
        request = self._checked(text, voice, 1.0, None, 0)
        for segment in self._reader.read((text,), request.lang):
            self._speaker.speak(request, segment, cancellation)
