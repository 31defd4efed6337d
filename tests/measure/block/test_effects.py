"""A setting that reaches nothing leaves the effective digest as it is; one that reaches something does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kokoro_lab.engine.engine import Engine
from kokoro_lab.measure.block.calls import load, speak
from kokoro_lab.measure.block.effects import effective_digest
from kokoro_lab.measure.records.cell import Cell, Scalar

WHOLE = Cell("tiny", "One two. Three four.", intra_op_threads=1)
STREAM = replace(WHOLE, delivery="stream")


def digest(cell: Cell, settings: dict[str, Scalar], calls: int = 2) -> str:
    engine, _ = load(replace(cell, engine_settings=tuple(settings.items())))
    assert isinstance(engine, Engine)
    with engine:
        last = [speak(engine, cell) for _ in range(calls)][-1]
        return effective_digest(engine, cell, last)


@pytest.fixture(scope="module")
def plain() -> dict[Cell, str]:
    return {cell: digest(cell, {}) for cell in (WHOLE, STREAM)}


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        (WHOLE, {"chunk_ms": 20.0, "primer_chars": 20, "queue_chunks": 8, "prebuffer": 4}),
        (WHOLE, {"concurrency": 3, "routing": "complexity", "session_rest_s": 5.0}),
        (WHOLE, {"tune_s": 300.0, "memory_pressure": 0.5, "audio_cache_ttl_s": 60.0, "primer_cache": 64}),
        (WHOLE, {"max_tokens": 400, "gather_tokens": 100, "provider_fallback": True, "peak_dbtp": -2.0}),
        (STREAM, {"queue_chunks": 5000, "prebuffer": 0, "loudness_lufs": -16.0, "audio_cache_ttl_s": 60.0}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value.delivery,
)
def test_what_reaches_nothing_changes_nothing(cell: Cell, settings: dict[str, Scalar], plain: dict[Cell, str]) -> None:
    assert digest(cell, settings, calls=3) == plain[cell]


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        *((WHOLE, {name: value}) for name, value in {
            "sessions": "dual", "phoneme_cache": 10, "audio_cache_mb": 10.0, "max_tokens": 8,
            "noise_scale": 0.0, "trim": True, "warmup": "one", "check_finite": False,
            "io_binding": True, "parallel_start": False,
        }.items()),
        *((STREAM, {name: value}) for name, value in {
            "chunk_ms": 20.0, "prebuffer": 3, "adaptive_buffer": True, "queue_chunks": 2, "queue_segments": 1,
            "primer_cache": 10,
        }.items()),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.delivery,
)  # fmt: skip
def test_what_reaches_something_changes_it(cell: Cell, settings: dict[str, Any], plain: dict[Cell, str]) -> None:
    assert digest(cell, settings) != plain[cell]
