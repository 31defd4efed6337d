"""What the numbers among the engine's settings may be."""

from __future__ import annotations

from kokoro_lab.runtime.priority import FIRST, LOWEST
from kokoro_lab.text.vocabulary import MAX_TOKENS

__all__ = ["BOUNDS"]

BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("arena_limit_mb", 0, 1_000_000),
    ("session_rest_s", 0, 3600),
    ("concurrency", 1, 64),
    ("parallel_segments", 1, 64),
    ("priority", FIRST, LOWEST),
    ("tune_s", 0, 600),
    ("max_tokens", 1, MAX_TOKENS),
    ("gather_tokens", 0, MAX_TOKENS),
    ("loudness_lufs", -70, 0),
    ("peak_dbtp", -60, 0),
    ("sample_rate", 8_000, 192_000),
    ("primer_chars", 1, 700),
    ("primer_words", 1, 100),
    ("primer_growth", 1, 100),
    ("chunk_ms", 0, 10_000),
    ("prebuffer", 0, 1000),
    ("queue_segments", 1, 64),
    ("queue_chunks", 1, 100_000),
    ("phoneme_cache", 0, 10_000_000),
    ("audio_cache_mb", 0, 1_000_000),
    ("audio_cache_ttl_s", 0, 10**9),
    ("primer_cache", 0, 1_000_000),
    ("primer_cache_ttl_s", 0, 10**9),
    ("prewarm_uses", 0, 1000),
    ("memory_watch_s", 0, 3600),
    ("release_idle_s", 0, 3600),
    ("memory_pressure", 0, 1),
)
"""Setting, least and greatest value."""
