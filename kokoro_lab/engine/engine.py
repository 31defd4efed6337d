"""Text in, speech out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from kokoro_lab.engine.adaptive_prebuffer import AdaptivePrebuffer
from kokoro_lab.engine.assembly import SegmentInference, assembled
from kokoro_lab.engine.audio_cache import Rendered, RenderedKey
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.loading import Notice, Parts, load_parts, stage
from kokoro_lab.engine.pipeline import OUT_OF_MEMORY
from kokoro_lab.engine.prewarm import BUDGET_BYTES, Prewarmer
from kokoro_lab.engine.request import SpeechRequest, check, key_of
from kokoro_lab.engine.speaker import SegmentSpeaker, cached_inference, recording
from kokoro_lab.engine.speech import Chunk, Speech, Timings
from kokoro_lab.engine.status import Counter, EngineStatus, StartStatus
from kokoro_lab.engine.stream import Stream, StreamSettings
from kokoro_lab.engine.tuner import Tuner, knobs_of
from kokoro_lab.errors import InferenceError
from kokoro_lab.models.voices import Voice, load_voice
from kokoro_lab.process.cancellation import Cancellation
from kokoro_lab.process.lifetime import Lifetime, TextInFlight
from kokoro_lab.runtime.arena import ArenaStatus
from kokoro_lab.runtime.exact.form_preparation import Preparation
from kokoro_lab.runtime.idle import IdleTimer
from kokoro_lab.runtime.memory import Watchdog, trim
from kokoro_lab.runtime.pool import RoutedInference
from kokoro_lab.runtime.priority import threads_by_priority
from kokoro_lab.runtime.warmup import Warmup, pattern_calls, shape_calls
from kokoro_lab.text.primer import pieces
from kokoro_lab.text.segment import Segment

__all__ = ["Chunk", "Engine", "Speech", "Timings"]


class Engine:
    """Speaks texts with a single model. Any number of threads may call it at once and get the same samples as one
    thread.

    The same text, voice, speed, seed, segmentation, model, provider, thread count and onnxruntime version give the same
    samples, bit for bit, on one machine.

    Examples:
        >>> with Engine.load(EngineConfig(model="tiny")) as engine:
        ...     whole = engine.synthesize("Good morning! The train is late.", seed=3)
        ...     again = engine.synthesize("Good morning! The train is late.", seed=3)
        ...     chunks = list(engine.stream("Good morning! The train is late."))
        >>> bool((whole.samples == again.samples).all()), [segment.segment.text for segment in whole.segments]
        (True, ['Good morning!', 'The train is late.'])
        >>> [chunk.index for chunk in chunks] == list(range(len(chunks))), chunks[-1].last
        (True, True)
    """

    def __init__(self, parts: Parts, notice: Notice | None = None) -> None:
        """Assemble an engine from ready parts; `Engine.load` creates them from a configuration."""
        self.config = parts.config
        self.model = parts.spoken.model
        self.spoken = parts.spoken
        """The model, the reason for choosing it, and the file that was opened."""
        self.pool = parts.pool
        self.load_seconds = parts.seconds
        """Wall seconds of each stage of loading, which add up to the total: model (finding or building the file),
        session, voices, g2p (with `parallel_start` only the part after the session was ready), caches, warmup
        (unless it runs in the background), other."""
        self._busy = parts.busy
        self._reader = parts.reader
        self._voices = parts.voices
        self._rendered = parts.rendered
        self._primers = parts.primers
        self._cushion = (
            AdaptivePrebuffer(self.config.chunk_ms, self.config.prebuffer) if self.config.adaptive_buffer else None
        )
        self._counter = Counter()
        self._speaker = SegmentSpeaker(parts, self._counter)
        self._tuner: Tuner | None = None
        if self.config.tune_s:
            self._tuner = Tuner(knobs_of(self.pool, self._reader.cache), interval_s=self.config.tune_s)
        self._lock = threading.Lock()
        self._lifetime = Lifetime(self._release)
        self._ahead = Cancellation()
        to_prepare = parts.spoken.preparable if self.config.prepare == "background" else None
        self._preparation = Preparation(to_prepare, notice)
        self._idle = IdleTimer(self.config.release_idle_s, self._release_memory)
        self._warmup = Warmup(self.config.warmup, self._warmup_calls())
        self._prewarmer: Prewarmer[SpeechRequest] | None = None
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
        """Find (or build) the model, open its session, load the first voices and phonemizers, and warm up.

        notice: receives messages about slow steps, such as building the stand-in. Raises ModelNotFoundError,
        ModelError, ProviderError, VoiceError, LanguageError, SettingError.
        """
        start = time.perf_counter()
        engine = cls(load_parts(config or EngineConfig(), notice), notice)
        try:
            if engine.config.warmup == "background":
                engine._warmup.run_aside()
            elif engine.config.warmup != "none":
                with stage(engine.load_seconds, "warmup"):
                    engine._warmup.run()
        except BaseException:  # Ctrl-C, or no room for a thread
            engine.close(0.0)
            raise
        engine.load_seconds["other"] = time.perf_counter() - start - sum(engine.load_seconds.values())
        return engine

    def synthesize(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Speech:
        """Speak the whole text.

        voice: a name or the path of a voice pack. speed: a factor from 0.5 to 2. lang: None takes the voice's language.
        seed: of the noise in the harmonic source, where the model has a seed. Raises an InputError for unusable input,
        PhonemizeError and InferenceError for failures.
        """
        start = time.perf_counter()
        with self._counting() as text_in_flight:
            request = self._checked(text, voice, speed, lang, seed)
            key = key_of(request)
            cached = self._rendered.get(key) if self._rendered is not None else None
            inferred = cached.segment_inferences() if cached is not None else []
            stages: dict[str, float] = {}
            if cached is None:
                inferred = self._speaker.infer_all(request, stages, text_in_flight.cancellation)
                self._keep(key, inferred)
            if self._prewarmer is not None:
                size = sum(inference.audio.nbytes for _, inference in inferred)
                self._prewarmer.used(request, size, cached=cached is not None)
            with stage(stages, "post_process"):
                policy = self.config.finish
                speech = assembled(request, inferred, self.spoken, policy=policy, cached=cached is not None)
            self._counter.add(synthesized=1, finished=policy is not None)
            self._preparation.spoken()
        seconds = time.perf_counter() - start
        if self._tuner is not None and cached is None:
            self._tuner.called(seconds / len(speech.tokens))
        return replace(speech, timings=Timings.of(stages, seconds))

    def stream(
        self, text: str, voice: str = "af_heart", speed: float = 1.0, lang: str | None = None, seed: int = 0
    ) -> Stream:
        """Speak the text in chunks, each as soon as it is ready; the arguments are those of `synthesize`.

        Without the primer, the chunks, joined, have the samples of `synthesize`. Invalid arguments raise here; later
        failures are raised by the iteration, after the chunks that were ready before. Closing the stream, or dropping
        it, cancels the model's current call.
        """
        text_in_flight = self._lifetime.enter()
        try:
            return self._streamed(text_in_flight, self._checked(text, voice, speed, lang, seed))
        except BaseException as error:
            text_in_flight.ended()
            self._counter.add(failed=isinstance(error, Exception))
            raise

    def _streamed(self, text_in_flight: TextInFlight, request: SpeechRequest) -> Stream:
        cut: Sequence[str] | Iterator[str] = self._pieces(request.text)
        speak: Callable[[Segment, Cancellation], RoutedInference] = partial(self._speaker.first, request)
        segments: Iterator[Segment] | None = None
        finished: Callable[[], None] | None = None
        if self._rendered is not None:
            cut = tuple(cut)
            key = RenderedKey(cut, request.voice.sha256, request.speed, request.lang, request.seed)
            cached = self._rendered.get(key)
            inferred: list[SegmentInference] = cached.segment_inferences() if cached is not None else []
            if cached is not None:
                segments = iter([segment for segment, _ in inferred])
                speak = partial(cached_inference, inferred)
            else:
                speak = partial(recording, speak, inferred)
                finished = partial(self._keep, key, inferred)

        def ended(error: BaseException | None) -> None:
            outcome = "streamed" if error is None else "cancelled" if isinstance(error, GeneratorExit) else "failed"
            self._counter.add(running=-1, **{outcome: 1})
            if error is None:
                if finished is not None:
                    finished()
                self._preparation.spoken()
            self._idle.touch()

        config = self.config
        cushion = self._cushion
        chunk_ms, prebuffer = (config.chunk_ms, config.prebuffer) if cushion is None else cushion.advise()
        settings = StreamSettings(chunk_ms, prebuffer, config.queue_segments, config.queue_chunks)
        stream = Stream(
            segments or self._reader.read(cut, request.lang),
            speak,
            settings,
            on_end=ended,
            on_heard=None if cushion is None else cushion.learn,
            text=text_in_flight,
        )
        self._counter.add(running=1)
        return stream

    def prewarm(self, texts: Sequence[str], voice: str = "af_heart", speed: float = 1.0) -> int:
        """Speak texts into the audio cache ahead of time; returns how many were missing from it (0 without a cache)."""
        if self._rendered is None:
            return 0
        return sum(not self.synthesize(text, voice, speed).cached for text in texts)

    def clear_caches(self) -> int:
        """Clear the caches in memory; returns the number of entries removed. Counters and the cache folder stay."""
        self._lifetime.require_here()
        if self._prewarmer is not None:
            self._prewarmer.forget()
        caches = [self._reader.cache, self._primers, None if self._rendered is None else self._rendered.memory]
        return sum(cache.clear() for cache in caches if cache is not None)

    def status(self) -> EngineStatus:
        """Every counter of the engine at this moment. Raises InferenceError when the engine is closed."""
        self._lifetime.require_live()
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
                session.settings.arena_limit_mib,
                session.settings.arena_extend,
                sum(member.session.arena_refusals for member in self.pool.members),
            ),
            memory=None if self._watchdog is None else self._watchdog.status(),
            languages=self._reader.languages,
            voices=tuple(sorted(self._voices)),
            variables=self.config.variables(),
        )

    def close(self, timeout_s: float = 30.0) -> None:
        """Release the model: texts in flight finish, new ones are refused.

        From now on `synthesize` and `stream` raise InferenceError. Texts that had begun are spoken to their end, all
        segments of them, and streams are synthesized without waiting for their readers, who may read the rest
        afterwards; close a stream first to stop its work. A text that has not ended after `timeout_s` seconds is
        cancelled, and fails with InferenceError on its own thread; a warm-up is cancelled at once.

        Any thread may call it, any number of times, also one that works on a text itself, such as a callback: it
        then returns without waiting for that text, with which the model is released. In a child that was forked after
        loading it does nothing.
        """
        if not self._lifetime.is_here:
            return
        self._lifetime.refuse()
        self._ahead.cancel()
        self._warmup.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._prewarmer is not None:
            self._prewarmer.stop()
        self._lifetime.finish(timeout_s)

    def _release(self) -> None:
        self._idle.stop()
        self._speaker.close()
        self.pool.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _counting(self) -> Iterator[TextInFlight]:
        with self._lifetime.speaking() as text:
            self._counter.add(running=1)
            try:
                yield text
            except MemoryError as error:
                self._counter.add(failed=1)
                raise InferenceError(OUT_OF_MEMORY) from error
            except BaseException:
                self._counter.add(failed=1)
                raise
            finally:
                self._counter.add(running=-1)
                self._idle.touch()

    def _release_memory(self) -> None:
        """Return free memory of the sessions and the heap to the system, unless a call has started meanwhile."""
        if self._counter.read().running:
            return
        given = True
        for member in self.pool.members:
            try:
                member.session.release_memory()
            except InferenceError:
                given = False  # not counted; a broken session fails the next call, which raises its error
        trim()
        self._counter.add(releases=int(given))

    @property
    def voice_sums(self) -> dict[str, str]:
        """Name -> SHA-256 of each voice pack that is loaded, as it was when it was read."""
        with self._lock:
            return {name: voice.sha256 for name, voice in self._voices.items()}

    def _checked(self, text: str, voice: str, speed: float, lang: str | None, seed: int) -> SpeechRequest:
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

    def _keep(self, key: RenderedKey, inferred: list[SegmentInference]) -> None:
        if self._rendered is not None:
            segments, inferences = (
                tuple(segment for segment, _ in inferred),
                tuple(inference for _, inference in inferred),
            )
            self._rendered.put(key, Rendered(segments, inferences))

    def _speak_ahead(self, request: SpeechRequest) -> int:
        """Speak a request into the audio cache, bypassing the counters of calls; returns its bytes."""
        inferred = self._speaker.infer_all(request, {}, self._ahead)
        self._keep(key_of(request), inferred)
        return sum(inference.audio.nbytes for _, inference in inferred)

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
        """Speak a text for its warm-up effect, bypassing the caches and the counters of calls."""
        self._lifetime.require_open()
        request = self._checked(text, voice, 1.0, None, 0)
        for segment in self._reader.read((text,), request.lang):
            self._speaker.speak(request, segment, cancellation)
