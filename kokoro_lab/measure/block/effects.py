"""The settings that took effect, as a digest: settings with no effect are found by it (measurement rule 7).

It contains no requested values. Sessions are read back from onnxruntime with the checksum of their optimised graphs;
the rest of the engine is judged by its counters (as zero or not, because the number of calls differs between blocks),
by the limits it reached, by the samples of the last call and by how they were delivered.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kokoro_lab.engine.caches import CacheStatus
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.engine.status import Calls
    from kokoro_lab.measure.block.calls import Call
    from kokoro_lab.measure.records.cell import Cell

__all__ = ["effective_digest", "effects"]

MILLISECOND = 1e-3


def effective_digest(engine: Engine, cell: Cell, last: Call | None, earlier: Calls | None = None) -> str:
    """SHA-256 (hex) of everything that took effect in this engine, after the calls of this cell.

    last: the last call.
    earlier: what the engine had counted before this cell, where it served another cell before.
    """
    content = {
        "sessions": [member.session.digest(graph=True) for member in engine.pool.members],
        "effects": effects(engine, cell, last, earlier),
        "samples": None if last is None else hashlib.sha256(last.samples.tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def effects(engine: Engine, cell: Cell, last: Call | None, earlier: Calls | None = None) -> dict[str, Any]:
    """The effects of the engine's settings, other than on sessions and samples; JSON-ready."""
    config, status = engine.config, engine.status()
    deliveries = () if last is None else last.deliveries
    calls = {
        name: getattr(status.calls, name) - (getattr(earlier, name) if earlier else 0)
        for name in ("streamed", "segments", "finished", "user_words")
    }
    streams = calls["streamed"]
    segments = -(-calls["segments"] // streams) if streams else 0
    at_once = bool(cell.arrivals) or status.side_by_side > 1
    return {
        "routing": config.routing if len(status.sessions) > 1 else None,
        "concurrency": config.concurrency if at_once else None,
        "side by side": status.side_by_side,
        "rest": config.breaker_cooldown_s if any(member.errors for member in status.sessions) else None,
        "fallbacks": status.fallbacks > 0,
        "priority": sorted(status.threads_by_priority or ()),
        "languages": list(status.languages),
        "voices": list(status.voices),
        "start aside": config.parallel_start and bool(config.languages),
        "warm-up": [status.warmup.strategy, status.warmup.planned],
        "finite": config.check_finite,
        "finished": calls["finished"] > 0,
        "user words": calls["user_words"] > 0,
        "chunks": [round(item.duration_s / MILLISECOND, 3) for item in deliveries],
        "held back": min(max(1, config.prebuffer), len(deliveries)),
        "adaptive": status.cushion is not None and bool(deliveries),
        "queued chunks": min(config.queue_chunks, len(deliveries)),
        "queued segments": min(config.queue_segments, segments),
        "phonemes": _cache(status.phoneme_cache),
        "audio": _cache(status.audio_cache),
        "primers": _cache(status.primer_cache),
        "folder": None
        if status.audio_folder is None
        else [status.audio_folder.hits > 0, status.audio_folder.writes > 0],
        "spoken ahead": status.usage is not None and status.usage.rendered > 0,
        "tuned": status.tuner is not None and bool(status.tuner.decisions),
        "released after": config.release_idle_s
        if cell.arrivals not in ("", "closed")
        else None,  # these arrivals have idle periods
        "watched": status.memory is not None and bool(status.memory.readings),
        "relieved": status.memory is not None and bool(status.memory.actions),
    }


def _cache(status: CacheStatus | None) -> dict[str, bool] | None:
    """Which of a cache's counters are above zero; None when there is no cache, or it was never looked up."""
    if status is None or not status.hits + status.misses:
        return None
    counters = ("hits", "evictions", "expirations", "refusals")
    return {name: count > 0 for name, count in dataclasses.asdict(status).items() if name in counters}
