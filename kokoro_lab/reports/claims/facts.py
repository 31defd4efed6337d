"""Claims about how a system is built, compared with this package: counts and settings, read where they are defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.runtime.warmup import SHAPES, WARMUP_TEXTS, WARMUP_VOICES

__all__ = ["FACTS"]

FACTS: Mapping[str, Callable[[], tuple[float, str]]] = {
    "warmer_texts": lambda: (len(WARMUP_TEXTS), "texts of warm-up strategy `patterns`"),
    "warmer_phonemes": lambda: (len(SHAPES), "phoneme counts that warm-up strategy `shapes` runs"),
    "warmer_voices": lambda: (len(WARMUP_VOICES), "voices of warm-up strategy `patterns`, all of them available"),
    "voices_at_load": lambda: (
        len(EngineConfig().voices),
        "voice loaded at start; the other voices are loaded on first use",
    ),
}
"""Name -> the value in this package, and what it counts."""
