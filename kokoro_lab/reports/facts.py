"""Claims about what a system is made of, held against this package: counts and settings, read where they count."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.runtime.memory import HISTORY
from kokoro_lab.runtime.warmup import SHAPES, WARMUP_TEXTS, WARMUP_VOICES

__all__ = ["FACTS"]

DOCUMENTED_TUNING_S = 300.0

FACTS: Mapping[str, Callable[[], tuple[float, str]]] = {
    "warmer_texts": lambda: (len(WARMUP_TEXTS), "texts of warm-up strategy `patterns`"),
    "warmer_phonemes": lambda: (len(SHAPES), "lengths of phonemes that warm-up strategy `shapes` speaks"),
    "warmer_voices": lambda: (len(WARMUP_VOICES), "voices of warm-up strategy `patterns`, all of which exist"),
    "tuner_interval_s": lambda: (
        EngineConfig(tune_s=DOCUMENTED_TUNING_S).tune_s,
        "seconds between two looks with tune_s as documented; by default no tuner runs",
    ),
    "watchdog_history": lambda: (HISTORY, "readings that the memory watchdog keeps"),
    "voices_at_load": lambda: (len(EngineConfig().voices), "voice read at load; the others when they are first asked"),
}
"""Name -> the figure here, and what it counts."""
