"""What an engine can be set to: one frozen value, every field of which an environment variable can set.

The variable of a field is KOKORO_ and its name in capitals. Flags take 1, true, yes, on and their opposites; lists are
separated by commas; pairs are written name=value.
"""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from kokoro_lab.audio.finish import Finish
from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.engine.bounds import BOUNDS
from kokoro_lab.engine.environment import SETTINGS, VariableReport, documented_options, read_value, report
from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.settings import SessionSettings
from kokoro_lab.text.vocabulary import MAX_TOKENS

__all__ = ["SPEED_RANGE", "EngineConfig", "Routing", "Sessions", "Warmup", "variable"]

SPEED_RANGE = (0.5, 2.0)  # the factors the published model was made for; outside them it drops or smears phonemes

Warmup = Literal["none", "one", "shapes", "patterns", "background"]
Sessions = Literal["single", "dual", "triple"]
Routing = Literal["length", "complexity", "cost"]


def variable(name: str) -> str:
    """The environment variable that sets the field `name`."""
    return f"KOKORO_{name.upper()}"


@dataclass(frozen=True)
class EngineConfig:
    """Settings of one engine. Raises SettingError, naming every mistake at once."""

    model: str = "default"
    """Name or path; "default" is the published model if present, else the stand-in (default: default; KOKORO_MODEL)."""

    tuned: bool = True
    """For the default model, take the fastest equivalent variant found by tuning (default: on; KOKORO_TUNED)."""

    preoptimized: bool = True
    """Open the model's pre-optimised form where one fits this machine (default: on; KOKORO_PREOPTIMIZED)."""

    provider: str = "cpu"
    """Execution provider by its short name (default: cpu; KOKORO_PROVIDER)."""

    provider_options: tuple[tuple[str, str], ...] = ()
    """Options of the provider, pairs of name and value (default: none; KOKORO_PROVIDER_OPTIONS)."""

    provider_fallback: bool = False
    """Run on the CPU when the provider is absent, instead of raising (default: off; KOKORO_PROVIDER_FALLBACK)."""

    intra_op_threads: int = 0
    """Threads that share one operator, 0 for one a core (default: 0; KOKORO_INTRA_OP_THREADS)."""

    inter_op_threads: int = 1
    """Threads for branches side by side, with `parallel` (default: 1; KOKORO_INTER_OP_THREADS)."""

    parallel: bool = False
    """Run branches of the graph side by side (default: off; KOKORO_PARALLEL)."""

    graph_level: str = "all"
    """Graph optimisation: none, basic, extended, layout, all (default: all; KOKORO_GRAPH_LEVEL)."""

    arena: bool = True
    """Keep freed memory in an arena for the next call (default: on; KOKORO_ARENA)."""

    arena_shrink: bool = False
    """Give the arena's free memory back after each call (default: off; KOKORO_ARENA_SHRINK)."""

    release_idle_s: float = 3.0
    """Seconds without a call until free memory goes back, 0 for never (default: 3; KOKORO_RELEASE_IDLE_S)."""

    arena_limit_mb: int = 0
    """MB that the arena of each session may hold, 0 for no limit (default: 0; KOKORO_ARENA_LIMIT_MB)."""

    arena_extend: str = "double"
    """Steps in which the arena grows: double, requested (default: double; KOKORO_ARENA_EXTEND)."""

    arena_auto: bool = False
    """Limit the arena to the documents' size for this machine (default: off; KOKORO_ARENA_AUTO)."""

    memory_pattern: bool = False
    """Plan memory by the shapes of earlier calls (default: off; KOKORO_MEMORY_PATTERN)."""

    memory_reuse: bool = False
    """Plan at load which tensor takes over whose memory (default: off; KOKORO_MEMORY_REUSE)."""

    spinning: bool = True
    """Let waiting threads spin before they sleep (default: on; KOKORO_SPINNING)."""

    affinity: str = ""
    """Processors of the threads after the first, as in "2;3", from 1 (default: free; KOKORO_AFFINITY)."""

    denormals_as_zero: bool = False
    """Flush denormal numbers to zero (default: off; KOKORO_DENORMALS_AS_ZERO)."""

    prepacking: bool = True
    """Repack weights for the kernels at load (default: on; KOKORO_PREPACKING)."""

    deterministic: bool = False
    """Ask providers for their deterministic kernels (default: off; KOKORO_DETERMINISTIC)."""

    io_binding: bool = False
    """Hand inputs over through an IO binding (default: off; KOKORO_IO_BINDING)."""

    sessions: Sessions = "single"
    """Sessions the engine keeps: single, dual, triple (default: single; KOKORO_SESSIONS)."""

    routing: Routing = "length"
    """How calls choose among several sessions: length, complexity, cost (default: length; KOKORO_ROUTING)."""

    session_rest_s: float = 60.0
    """Seconds a session rests after an error (default: 60; KOKORO_SESSION_REST_S)."""

    concurrency: int = 1
    """Model calls that may run at once, over all sessions (default: 1; KOKORO_CONCURRENCY)."""

    parallel_segments: int = 1
    """Segments of a whole text spoken at once, at most `concurrency` (default: 1; KOKORO_PARALLEL_SEGMENTS)."""

    priority: int = 0
    """Nice value of our threads, -20 to 19, 0 to leave it as it is (default: 0; KOKORO_PRIORITY)."""

    voices: tuple[str, ...] = ("af_heart",)
    """Voices read at load, others at first use (default: af_heart; KOKORO_VOICES)."""

    languages: tuple[str, ...] = ("en-us",)
    """Languages whose phonemiser is made at load, others at first use (default: en-us; KOKORO_LANGUAGES)."""

    parallel_start: bool = True
    """Make the session and the phonemisers at the same time at load (default: on; KOKORO_PARALLEL_START)."""

    warmup: Warmup = "none"
    """Calls made at load: none, one, shapes, patterns, background (default: none; KOKORO_WARMUP)."""

    max_tokens: int = MAX_TOKENS
    """Phoneme tokens of a segment at most, 1 to 510 (default: 510; KOKORO_MAX_TOKENS)."""

    gather_tokens: int = 0
    """Tokens up to which sentences after the first share a call, 0 for none (default: 0; KOKORO_GATHER_TOKENS)."""

    lexicon: Path | None = None
    """File of words and their phonemes, laid over the project's own (default: none; KOKORO_LEXICON)."""

    noise_scale: float | None = None
    """Factor on the source's noise, where the model has one; None: as it is (default: none; KOKORO_NOISE_SCALE)."""

    check_finite: bool = True
    """Raise when the model gives samples that are not finite (default: on; KOKORO_CHECK_FINITE)."""

    trim: bool = False
    """Shorten silence at the ends of whole texts to 100 ms (default: off; KOKORO_TRIM)."""

    loudness_lufs: float | None = None
    """Loudness of whole texts, LUFS; -16 is usual. None leaves it alone (default: none; KOKORO_LOUDNESS_LUFS)."""

    peak_dbtp: float = -1.0
    """True peak that levelling does not pass, dB (default: -1; KOKORO_PEAK_DBTP)."""

    sample_rate: int = SAMPLE_RATE
    """Sample rate of whole texts, Hz; streams keep 24000 (default: 24000; KOKORO_SAMPLE_RATE)."""

    primer: bool = True
    """Start a stream of a long text with short segments that grow (default: on; KOKORO_PRIMER)."""

    primer_chars: int = 35
    """Characters of the first segment of such a stream, at most (default: 35; KOKORO_PRIMER_CHARS)."""

    primer_words: int = 3
    """Words of that segment, at least (default: 3; KOKORO_PRIMER_WORDS)."""

    primer_growth: float = 2.0
    """1/r for the slowest real-time factor r without a gap, at least 1 (default: 2; KOKORO_PRIMER_GROWTH)."""

    chunk_ms: float = 80.0
    """Milliseconds of a streamed chunk, 0 for whole segments (default: 80; KOKORO_CHUNK_MS)."""

    prebuffer: int = 1
    """Chunks held before the first is handed out, 0 or 1 for none (default: 1; KOKORO_PREBUFFER)."""

    adaptive_buffer: bool = False
    """Learn chunk_ms and prebuffer from the arrivals of earlier streams (default: off; KOKORO_ADAPTIVE_BUFFER)."""

    queue_segments: int = 2
    """Segments that may wait between two stages of a stream (default: 2; KOKORO_QUEUE_SEGMENTS)."""

    queue_chunks: int = 64
    """Chunks that may wait for the caller (default: 64; KOKORO_QUEUE_CHUNKS)."""

    phoneme_cache: int = 0
    """Texts whose phonemes are kept, 0 for none; the documents have 1000 (default: 0; KOKORO_PHONEME_CACHE)."""

    audio_cache_mb: float = 0.0
    """Megabytes (10^6 bytes) of finished speech that are kept, 0 for none (default: 0; KOKORO_AUDIO_CACHE_MB)."""

    audio_cache_ttl_s: float = 3600.0
    """Seconds that speech is kept (default: 3600; KOKORO_AUDIO_CACHE_TTL_S)."""

    primer_cache: int = 0
    """First segments of streams that are kept, 0 for none; the documents have 64 (default: 0; KOKORO_PRIMER_CACHE)."""

    primer_cache_ttl_s: float = 300.0
    """Seconds that a first segment is kept (default: 300; KOKORO_PRIMER_CACHE_TTL_S)."""

    prewarm_uses: int = 0
    """Uses in a day after which a text is kept in the audio cache, 0 for never (default: 0; KOKORO_PREWARM_USES)."""

    cache_dir: Path | None = None
    """Folder that keeps cached speech over restarts, None for none (default: none; KOKORO_CACHE_DIR)."""

    tune_s: float = 0.0
    """Seconds between two looks of the tuner, 0 for none; the documents have 300 (default: 0; KOKORO_TUNE_S)."""

    memory_watch_s: float = 0.0
    """Seconds between two looks of the memory watchdog, 0 for no watchdog (default: 0; KOKORO_MEMORY_WATCH_S)."""

    memory_pressure: float = 0.85
    """Part of the memory in use at which the watchdog acts, 0 to 1 (default: 0.85; KOKORO_MEMORY_PRESSURE)."""

    def __post_init__(self) -> None:
        mistakes = []
        for name, hint in typing.get_type_hints(type(self)).items():
            if typing.get_origin(hint) is Literal and getattr(self, name) not in typing.get_args(hint):
                mistakes.append(f"{name} is {getattr(self, name)!r}, use one of {', '.join(typing.get_args(hint))}")
        for name, low, high in BOUNDS:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                mistakes.append(f"{name} is {value}, use {low:g} to {high:g}")
        if self.gather_tokens > self.max_tokens:
            mistakes.append(f"gather_tokens is {self.gather_tokens}, use at most max_tokens, {self.max_tokens}")
        if self.parallel_segments > self.concurrency:
            mistakes.append(
                f"parallel_segments is {self.parallel_segments}, use at most concurrency, {self.concurrency}"
            )
        if self.parallel_segments > 1 and self.routing == "cost":
            mistakes.append(
                "parallel_segments with routing by cost would not give the same samples, use another routing"
            )
        if self.arena_auto and self.arena_limit_mb:
            mistakes.append("arena_auto chooses arena_limit_mb, set one of them")
        if self.prewarm_uses and not self.audio_cache_mb:
            mistakes.append("prewarm_uses speaks into the audio cache, set audio_cache_mb")
        if self.cache_dir is not None and not self.audio_cache_mb:
            mistakes.append("cache_dir keeps what the audio cache keeps, set audio_cache_mb")
        if mistakes:
            raise SettingError(f"the engine's settings do not work: {'; '.join(mistakes)}")
        _ = self.session_settings.request

    @property
    def session_settings(self) -> SessionSettings:
        """The part of the settings that shapes an onnxruntime session."""
        shared = {item.name for item in fields(SessionSettings)} & {item.name for item in fields(self)}
        return SessionSettings(fallback=self.provider_fallback, **{name: getattr(self, name) for name in shared})

    @property
    def finish(self) -> Finish | None:
        """What is done to whole texts on their way out; None when that is nothing."""
        policy = Finish(self.trim, self.loudness_lufs, self.peak_dbtp, self.sample_rate)
        return None if policy == Finish(ceiling_dbtp=self.peak_dbtp) else policy

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> EngineConfig:
        """Settings from KOKORO_* variables (os.environ when none are given); `overrides` win over them.

        Raises SettingError that names every variable that cannot be read.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        mistakes = []
        for name, hint in typing.get_type_hints(cls).items():
            set_by = next((one for one in (variable(name), SETTINGS.get(name, "")) if one in environ), "")
            if name in overrides or not set_by:
                continue
            text = environ[set_by].strip()
            try:
                values[name] = read_value(hint, text)
            except ValueError as error:
                mistakes.append(f"{set_by} is {text!r}: {error}")
        if mistakes:
            raise SettingError(f"the environment's settings cannot be read: {'; '.join(mistakes)}")
        values = {**values, **overrides}
        provider = str(values.get("provider", cls.provider))
        options = {**documented_options(environ, provider), **dict(values.get("provider_options", ()))}
        return cls(**{**values, "provider_options": tuple(options.items())})

    def variables(self, environ: Mapping[str, str] | None = None, **overrides: Any) -> tuple[VariableReport, ...]:
        """What became of each KOKORO_* and COREML_* variable, when `from_environment` made these settings of them."""
        environ = os.environ if environ is None else environ
        names = [item.name for item in fields(self)]
        return report(environ, names, overrides, self.provider, self.session_settings.request.options)
