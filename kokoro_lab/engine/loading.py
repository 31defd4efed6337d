"""Load the parts of an engine: model file, sessions, voices, phonemisers, caches; in parallel where that helps."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from kokoro_lab._version import __version__
from kokoro_lab.engine.audio_cache import Rendered, RenderedFolder, RenderedKey, RenderedStore
from kokoro_lab.engine.caches import Cache
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.model_selection import LoadedModel, ModelChoice, choose_model, loaded_model
from kokoro_lab.engine.reader import Reader
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.models.voices import Voice, load_voice
from kokoro_lab.runtime.arena import size_for_machine_mib
from kokoro_lab.runtime.exact.form_preparation import prepare_now
from kokoro_lab.runtime.pool import SessionPool, role_settings
from kokoro_lab.runtime.priority import set_priority
from kokoro_lab.runtime.session import Inference, Session
from kokoro_lab.runtime.trial.first_opening import ensure_harmless
from kokoro_lab.text.lexicon import load_lexicon
from kokoro_lab.units import MB

__all__ = ["Notice", "Parts", "PrimerKey", "load_parts", "stage"]


Notice = Callable[[str], None]
PrimerKey = tuple[tuple[int, ...], str, float, int]
"""Tokens of a first segment, SHA-256 of the voice, speed, seed."""


@dataclass
class Parts:
    """The parts of an engine."""

    config: EngineConfig
    spoken: LoadedModel
    """The model, the reason for choosing it, and the file that was opened."""
    pool: SessionPool
    reader: Reader
    voices: dict[str, Voice]
    rendered: RenderedStore | None = None
    primers: Cache[PrimerKey, Inference] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage, seconds."""
    busy: dict[str, float] = field(default_factory=dict)
    """Time of the work itself by stage, seconds."""

    @property
    def model(self) -> ModelFile:
        """The model of the engine."""
        return self.spoken.model


def load_parts(config: EngineConfig, notice: Notice | None = None) -> Parts:
    """Find or build the model, open its sessions, and load voices, phonemisers and caches.

    With `parallel_start` the phonemisers are created in a second thread at the same time.
    """
    if config.priority:
        set_priority(config.priority)
    seconds: dict[str, float] = {}
    busy: dict[str, float] = {}
    phonemes = Cache[tuple[str, str], object](config.phoneme_cache) if config.phoneme_cache else None
    reader = Reader(
        max_tokens=config.max_tokens,
        gather_tokens=config.gather_tokens,
        cache=phonemes,  # type: ignore[arg-type]
        lexicon=None if config.lexicon is None else load_lexicon(config.lexicon),
    )

    def prepare() -> None:
        with stage(busy, "g2p"):
            for language in config.languages:
                reader.prepare(language)

    with ThreadPoolExecutor(1, thread_name_prefix="kokoro-start") as aside:
        prepared = aside.submit(prepare) if config.parallel_start else None
        with stage(seconds, "model"):
            choice = _choice(config, notice)
            model = choice.model
        ensure_harmless(model, notice)  # no part of a stage: it happens once for a file
        with stage(seconds, "session"):
            pool = _open_pool(model, config)
        with stage(seconds, "voices"):
            voices = {name: load_voice(name) for name in config.voices}
        with stage(seconds, "g2p"):
            if prepared is None:
                prepare()
            else:
                prepared.result()
    with stage(seconds, "caches"):
        rendered = _rendered_store(config, model, pool)
        primers = (
            Cache[PrimerKey, Inference](config.primer_cache, ttl_s=config.primer_cache_ttl_s)
            if config.primer_cache
            else None
        )
    busy = {**{name: spent for name, spent in seconds.items() if name != "g2p"}, **busy}
    spoken = loaded_model(choice, pool.primary.opened)
    return Parts(config, spoken, pool, reader, voices, rendered, primers, seconds, busy)


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of a block to a stage."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def _choice(config: EngineConfig, notice: Notice | None) -> ModelChoice:
    """The model to load; with `prepare` now, once its exact form was made."""
    choice = choose_model(config, notice)
    if config.prepare != "now" or choice.preparable is None:
        return choice
    prepare_now(choice.preparable, notice)
    return choose_model(config, notice)


def _open_pool(model: ModelFile, config: EngineConfig) -> SessionPool:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = config.session_settings
    if config.arena_auto:
        import psutil

        machine = psutil.virtual_memory()
        used = 1 - machine.available / machine.total
        total_gib = machine.total / 2**30
        wanted = replace(wanted, arena_limit_mib=size_for_machine_mib(total_gib, cores, config.max_tokens, used))
    settings = role_settings(wanted, config.sessions, cores)
    sessions = {role: Session.open(model, each) for role, each in settings.items()}
    return SessionPool(
        sessions, routing=config.routing, concurrency=config.concurrency, rest_s=config.breaker_cooldown_s
    )


def _rendered_store(config: EngineConfig, model: ModelFile, pool: SessionPool) -> RenderedStore | None:
    if not config.audio_cache_mb:
        return None
    limit = round(config.audio_cache_mb * MB)
    memory = Cache[RenderedKey, Rendered](limit, ttl_s=config.audio_cache_ttl_s, weigh=lambda rendered: rendered.bytes)
    if config.cache_dir is None:
        return RenderedStore(memory)
    context = json.dumps(
        [
            __version__,
            model.sha256,
            [member.session.digest() for member in pool.members],
            config.routing,
            config.max_tokens,
            config.gather_tokens,
            config.noise_scale,
            None if config.lexicon is None else dict(load_lexicon(config.lexicon).entries),
        ]
    )
    folder = RenderedFolder(config.cache_dir, limit, hashlib.sha256(context.encode()).hexdigest())
    return RenderedStore(memory, folder)
