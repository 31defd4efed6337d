"""Engines closed at random moments while eight threads speak texts of several segments, whole and streamed."""

from __future__ import annotations

from pathlib import Path

from closings import race

from chaos.attack import Attack, Outcome
from kokoro_lab.engine.config import EngineConfig

__all__ = ["ATTACK"]

TEXTS_A_ROUND = 24
VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"parallel_segments": 2, "concurrency": 2},
    {"primer": True, "queue_chunks": 1, "queue_segments": 1},
    {"warmup": "background", "audio_cache_mb": 1.0, "prewarm_uses": 1, "release_idle_s": 0.01},
)


def _run(tries: int, seed: int, folder: Path) -> Outcome:
    tried, failures = 0, []
    for number in range(max(1, tries // TEXTS_A_ROUND)):
        config = EngineConfig(model="tiny", **VARIANTS[number % len(VARIANTS)])  # type: ignore[arg-type]
        timeout_s = 0.0 if number % 6 == 5 else 30.0
        count, wrong = race(config, texts=TEXTS_A_ROUND, seed=seed + number, timeout_s=timeout_s)
        tried += count
        failures += wrong
    return Outcome(tried, tuple(failures))


ATTACK = Attack(
    "closing",
    "close() at a random moment: each text comes out right, or is refused before it begins, or is cut short by name",
    full=288,
    short=48,
    run=_run,
)
