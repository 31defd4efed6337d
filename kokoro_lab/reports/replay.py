"""How often a cache answers: requests drawn from Zipf laws, put through the engine's own cache.

How often people ask for the same text is not this machine's to say. The share is that of an exponent of 1; its ends are
those of a workload in which nearly everybody wants something else (0.6) and of one with a few favourites (1.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from kokoro_lab.audio.wav import SAMPLE_RATE
from kokoro_lab.reports.caching_charts import Workload, hit_rate
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import Interval

__all__ = ["Replayed", "replay"]

EXPONENTS = (0.6, 1.0, 1.2)
ENTRIES = {"phonemes": 1000, "primer": 64}
"""Room of the documents' caches, in texts."""
SPEECH_MB, SPEECH_SETTING = 64, "audio_cache_mb"
SAMPLE_BYTES = 4  # float32
MB = 10**6


@dataclass(frozen=True)
class Replayed:
    """What came of it."""

    share: Interval
    """Requests that were answered, %."""
    cell: str
    words: str


def replay(evidence: Evidence, cache: str) -> Replayed | None:
    """The share of one cache; None for speech when no row says how large an entry is."""
    entries = ENTRIES.get(cache) or _room(evidence)
    if not entries:
        return None
    workload = Workload()
    low, middle, high = (100 * hit_rate(workload.draw(exponent), entries) for exponent in EXPONENTS)
    words = (
        f"{workload.requests} requests for {workload.texts} texts, room for {entries}; exponent 1, from 0.6 to 1.2; "
        "computed, not timed"
    )
    return Replayed(Interval(middle, low, high, 0, workload.requests), f"cache of {cache}", words)


def _room(evidence: Evidence) -> int:
    """Texts of the length measured that the cache of speech has room for; 0 when none was measured with it."""
    rows = evidence.samples
    kept = rows[[SPEECH_SETTING in settings for settings in rows["engine_settings"]]]
    kept = kept[kept["architecture"] == "full"]
    if kept.empty:
        return 0
    entry_mb = float(kept.sort_values("characters")["audio_s"].iloc[0]) * SAMPLE_RATE * SAMPLE_BYTES / MB
    return max(1, int(SPEECH_MB / entry_mb))
