"""The counters of an engine's caches, by name: what was looked up and found since it was loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from kokoro_lab.engine.config import EngineConfig

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.block.calls import EmptyEngine
    from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine

__all__ = ["CACHES", "cache_counts"]

CACHES = ("phoneme_cache", "audio_cache", "primer_cache")
"""Caches of the engine, as `EngineStatus` names them."""


def cache_counts(engine: Engine | EmptyEngine | PeerEngine) -> dict[str, int]:
    """Hits and look-ups of each cache that is on: `phoneme_cache_hits`, `phoneme_cache_lookups` and so on.

    Nothing is read from an engine without caches, nor from another engine than ours.
    """
    config = getattr(engine, "config", None)
    if not isinstance(config, EngineConfig):
        return {}
    if not (config.phoneme_cache or config.audio_cache_mb or config.primer_cache):
        return {}
    status = cast("Engine", engine).status()
    counts = {}
    for name in CACHES:
        cache = getattr(status, name)
        if cache is not None:
            counts[f"{name}_hits"] = cache.hits
            counts[f"{name}_lookups"] = cache.hits + cache.misses
    return counts
