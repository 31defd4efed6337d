"""The settings of an engine: a frozen dataclass whose fields can all be set by environment variables.

The variable of a field is KOKORO_ and its name in capitals. Flags take 1, true, yes, on and their opposites; lists are
separated by commas; pairs are written name=value.
"""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from kokoro_lab.audio.finish import Finish
from kokoro_lab.engine.environment_variables import (
    VariableReport,
    documented_options,
    read_value,
    report,
    variable,
    variables_of,
)
from kokoro_lab.field_checks import Mistake, Range, refuse, shown, take_fields
from kokoro_lab.runtime.pool import Routing
from kokoro_lab.runtime.priority import FIRST, LOWEST
from kokoro_lab.runtime.settings import SessionSettings
from kokoro_lab.text.vocabulary import MAX_TOKENS
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["SPEED_RANGE", "EngineConfig", "Prepare", "Routing", "Sessions", "Warmup", "variable"]

SPEED_RANGE = (0.5, 2.0)  # the range of the published model; outside it phonemes are dropped or smeared

Warmup = Literal["none", "one", "shapes", "patterns", "background"]
Prepare = Literal["off", "background", "now"]
Sessions = Literal["single", "dual", "triple"]


@dataclass(frozen=True, kw_only=True)
class EngineConfig(SessionSettings):
    """Settings of one engine: those of its sessions and the engine's own.

    Raises SettingError, naming every mistake at once.

    Examples:
        >>> EngineConfig(model="tiny", intra_op_threads=2).chunk_ms
        80.0
        >>> EngineConfig.from_environment({"KOKORO_CHUNK_MS": "40", "KOKORO_PRIMER": "off"}).primer
        False
    """

    model: str = field(default="default", kw_only=False)
    """Name or path; "default" is the published model if present, else the stand-in (default: default; KOKORO_MODEL)."""

    tuned: bool = True
    """Run the default model as its exact form on compiled kernels, or as the variant that tuning found to be fastest
    (default: on; KOKORO_TUNED)."""

    prepare: Prepare = "off"
    """When to make a missing exact form of the default model, in another process: off, background (after the first
    text), now (before loading); `kokoro-lab say` uses background unless this is set (default: off; KOKORO_PREPARE)."""

    release_idle_s: Annotated[float, Range(0, 3600, "seconds", zero="never")] = 3.0
    """Seconds without a call until free memory is released, 0 for never (default: 3; KOKORO_RELEASE_IDLE_S)."""

    arena_auto: bool = False
    """Limit the arena to the size that the specification gives for this machine (default: off; KOKORO_ARENA_AUTO)."""

    sessions: Sessions = "single"
    """Sessions the engine keeps: single, dual, triple (default: single; KOKORO_SESSIONS)."""

    routing: Routing = "length"
    """How calls choose among several sessions: length, complexity, cost (default: length; KOKORO_ROUTING)."""

    breaker_cooldown_s: Annotated[float, Range(0, 3600, "seconds")] = 60.0
    """Seconds for which a session gets no calls after an error: a circuit breaker's cooldown. The former variable is
    KOKORO_SESSION_REST_S (default: 60; KOKORO_BREAKER_COOLDOWN_S)."""

    concurrency: Annotated[int, Range(1, 64)] = 1
    """Model calls that may run at once, over all sessions (default: 1; KOKORO_CONCURRENCY)."""

    parallel_segments: Annotated[int, Range(1, 64)] = 1
    """Segments of a whole text synthesised at once, at most `concurrency` (default: 1; KOKORO_PARALLEL_SEGMENTS)."""

    priority: Annotated[int, Range(FIRST, LOWEST, zero="unchanged")] = 0
    """Nice value of our threads, -20 to 19, 0 for unchanged (default: 0; KOKORO_PRIORITY)."""

    voices: tuple[str, ...] = ("af_heart",)
    """Voices loaded with the engine; others are loaded at first use (default: af_heart; KOKORO_VOICES)."""

    languages: tuple[str, ...] = ("en-us",)
    """Languages whose phonemiser is created at load; others at first use (default: en-us; KOKORO_LANGUAGES)."""

    parallel_start: bool = True
    """Create the session and the phonemisers in parallel at load (default: on; KOKORO_PARALLEL_START)."""

    warmup: Warmup = "none"
    """Warm-up calls at load: none, one, shapes, patterns, background (default: none; KOKORO_WARMUP)."""

    max_tokens: Annotated[int, Range(1, MAX_TOKENS, "tokens")] = MAX_TOKENS
    """Most phoneme tokens in a segment, 1 to 510 (default: 510; KOKORO_MAX_TOKENS)."""

    gather_tokens: Annotated[int, Range(0, MAX_TOKENS, "tokens", zero="none")] = 0
    """Tokens up to which later sentences share a call, 0 for none (default: 0; KOKORO_GATHER_TOKENS)."""

    lexicon: Path | None = None
    """File of words and their phonemes, which override the built-in lexicon (default: none; KOKORO_LEXICON)."""

    noise_scale: Annotated[float, Range(0, 100, zero="no noise")] | None = None
    """Scale of the source's noise, if the model has this input; None: unchanged (default: none; KOKORO_NOISE_SCALE)."""

    check_finite: bool = True
    """Raise an error when the model returns samples that are not finite (default: on; KOKORO_CHECK_FINITE)."""

    trim: bool = False
    """Shorten silence at the ends of whole texts to 100 ms (default: off; KOKORO_TRIM)."""

    loudness_lufs: Annotated[float, Range(-70, 0, "LUFS")] | None = None
    """Loudness of whole texts, LUFS; -16 is usual. None: unchanged (default: none; KOKORO_LOUDNESS_LUFS)."""

    peak_dbtp: Annotated[float, Range(-60, 0, "dB")] = -1.0
    """Highest true peak after loudness levelling, dB (default: -1; KOKORO_PEAK_DBTP)."""

    sample_rate: Annotated[int, Range(8_000, 192_000, "Hz")] = SAMPLE_RATE
    """Sample rate of whole texts, Hz; streams keep 24000 (default: 24000; KOKORO_SAMPLE_RATE)."""

    primer: bool = True
    """Start a stream of a long text with short segments that grow (default: on; KOKORO_PRIMER)."""

    primer_chars: Annotated[int, Range(1, 700, "characters")] = 35
    """Most characters in the first segment of such a stream (default: 35; KOKORO_PRIMER_CHARS)."""

    primer_words: Annotated[int, Range(1, 100, "words")] = 3
    """Fewest words in that segment (default: 3; KOKORO_PRIMER_WORDS)."""

    primer_growth: Annotated[float, Range(1, 100)] = 2.0
    """Growth factor of successive primer segments, at least 1; 1/RTF avoids gaps (default: 2; KOKORO_PRIMER_GROWTH)."""

    chunk_ms: Annotated[float, Range(0, 10_000, "milliseconds", zero="whole segments")] = 80.0
    """Milliseconds of a streamed chunk, 0 for whole segments (default: 80; KOKORO_CHUNK_MS)."""

    prebuffer: Annotated[int, Range(0, 1000, "chunks")] = 1
    """Chunks buffered before the first is delivered, 0 or 1 for none (default: 1; KOKORO_PREBUFFER)."""

    adaptive_buffer: bool = False
    """Learn chunk_ms and prebuffer from the arrivals of earlier streams (default: off; KOKORO_ADAPTIVE_BUFFER)."""

    queue_segments: Annotated[int, Range(1, 64, "segments")] = 2
    """Segments that may wait between two stages of a stream (default: 2; KOKORO_QUEUE_SEGMENTS)."""

    queue_chunks: Annotated[int, Range(1, 100_000, "chunks")] = 64
    """Chunks that may wait for the caller (default: 64; KOKORO_QUEUE_CHUNKS)."""

    phoneme_cache: Annotated[int, Range(0, 10_000_000, "texts", zero="no cache")] = 0
    """Texts whose phonemes are cached, 0 for none; 1000 in the specification (default: 0; KOKORO_PHONEME_CACHE)."""

    audio_cache_mb: Annotated[float, Range(0, 1_000_000, "MB", zero="no cache")] = 0.0
    """Megabytes (10^6 bytes) of finished speech that are cached, 0 for none (default: 0; KOKORO_AUDIO_CACHE_MB)."""

    audio_cache_ttl_s: Annotated[float, Range(0, 10**9, "seconds")] = 3600.0
    """Seconds that speech stays in the audio cache (default: 3600; KOKORO_AUDIO_CACHE_TTL_S)."""

    primer_cache: Annotated[int, Range(0, 1_000_000, "segments", zero="no cache")] = 0
    """First segments of streams that are cached, 0 for none; 64 in the specification
    (default: 0; KOKORO_PRIMER_CACHE)."""

    primer_cache_ttl_s: Annotated[float, Range(0, 10**9, "seconds")] = 300.0
    """Seconds that a first segment stays in its cache (default: 300; KOKORO_PRIMER_CACHE_TTL_S)."""

    prewarm_uses: Annotated[int, Range(0, 1000, "uses", zero="never")] = 0
    """Uses in a day after which a text is synthesised ahead into the audio cache, 0 for never
    (default: 0; KOKORO_PREWARM_USES)."""

    cache_dir: Path | None = None
    """Folder that keeps the audio cache across restarts; None: memory only (default: none; KOKORO_CACHE_DIR)."""

    tune_s: Annotated[float, Range(0, 600, "seconds", zero="no tuner")] = 0.0
    """Seconds between two decisions of the tuner, 0 for no tuner; 300 in the specification
    (default: 0; KOKORO_TUNE_S)."""

    memory_watch_s: Annotated[float, Range(0, 3600, "seconds", zero="no watchdog")] = 0.0
    """Seconds between two checks of the memory watchdog, 0 for no watchdog (default: 0; KOKORO_MEMORY_WATCH_S)."""

    memory_pressure: Annotated[float, Range(0, 1)] = 0.85
    """Share of used memory at which the watchdog acts, 0 to 1 (default: 0.85; KOKORO_MEMORY_PRESSURE)."""

    def conflicts(self) -> Iterator[Mistake]:
        """Values that are valid by themselves and contradict each other."""
        yield from super().conflicts()
        for name, most in (("gather_tokens", "max_tokens"), ("parallel_segments", "concurrency")):
            if getattr(self, name) > getattr(self, most):
                use = f"use at most {most}, {getattr(self, most)}"
                yield Mistake((name, most), f"{name} is {getattr(self, name)}", use)
        if self.parallel_segments > 1 and self.routing == "cost":
            says = "parallel_segments with routing by cost would make the samples depend on timing"
            yield Mistake(("parallel_segments", "routing"), says, "use another routing")
        if self.arena_auto and self.arena_limit_mib:
            yield Mistake(("arena_auto", "arena_limit_mib"), "arena_auto chooses arena_limit_mib", "set one of them")
        for name, purpose in (("prewarm_uses", "fills"), ("cache_dir", "stores")):
            if getattr(self, name) and not self.audio_cache_mb:
                yield Mistake((name, "audio_cache_mb"), f"{name} {purpose} the audio cache", "set audio_cache_mb")

    @property
    def session_settings(self) -> SessionSettings:
        """The part of the settings that shapes an onnxruntime session."""
        return SessionSettings(**{item.name: getattr(self, item.name) for item in fields(SessionSettings)})

    @property
    def finish(self) -> Finish | None:
        """The post-processing of whole texts; None without any."""
        policy = Finish(self.trim, self.loudness_lufs, self.peak_dbtp, self.sample_rate)
        return None if policy == Finish(ceiling_dbtp=self.peak_dbtp) else policy

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> EngineConfig:
        """Settings from KOKORO_* variables (os.environ by default); `overrides` take precedence.

        Raises SettingError that names every variable that cannot be read.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        written: dict[str, str] = {}
        setters: dict[str, str] = {}
        unreadable: list[Mistake] = []
        for name, hint in typing.get_type_hints(cls).items():
            set_by = next((each for each in variables_of(name) if each in environ), "")
            if name in overrides or not set_by:
                continue
            text = environ[set_by].strip()
            written[name] = f"{set_by} is {shown(text)}"
            setters[name] = set_by
            try:
                values[name] = read_value(hint, text)
            except ValueError as error:
                unreadable.append(Mistake((name,), written[name], str(error)))
        values |= overrides
        if options := documented_options(environ, str(values.get("provider", cls.provider))):
            with contextlib.suppress(TypeError, ValueError):  # options that are not pairs are reported below
                values["provider_options"] = tuple({**options, **dict(values.get("provider_options", ()))}.items())
        candidate = object.__new__(cls)
        for item in fields(cls):
            object.__setattr__(candidate, item.name, values.get(item.name, item.default))
        wrong = unreadable + take_fields(candidate, written=written)
        refuse((_with_variables(mistake, setters) for mistake in candidate.conflicts()), wrong)
        return cls(**values)

    def variables(self, environ: Mapping[str, str] | None = None, **overrides: Any) -> tuple[VariableReport, ...]:
        """The effect of each KOKORO_* and COREML_* variable, when `from_environment` read these settings from them."""
        environ = os.environ if environ is None else environ
        names = [item.name for item in fields(self)]
        return report(environ, names, overrides, self.provider, self.session_settings.request.options)


def _with_variables(mistake: Mistake, setters: Mapping[str, str]) -> Mistake:
    """A mistake that names the variables that set its fields, for whoever never set the fields by their own names."""
    variables = [setters[name] for name in mistake.fields if name in setters]
    return replace(mistake, says=f"{mistake.says} ({', '.join(variables)})") if variables else mistake
