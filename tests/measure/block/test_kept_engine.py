"""An engine stays loaded for the cells of its configuration, and only for these."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.block.calls import EmptyEngine, speak
from kokoro_lab.measure.block.kept_engine import KeptEngine
from kokoro_lab.measure.records.cell import Cell

CELL = Cell("tiny", "Hi.", process="shared")


def test_text_and_delivery_keep_the_engine_and_settings_replace_it() -> None:
    kept = KeptEngine()
    first, stages = kept.load(CELL)
    assert stages["session"] > 0.0
    assert kept.load(replace(CELL, text="Hello!", delivery="stream", repeats=9)) == (first, {})
    other, stages = kept.load(replace(CELL, engine_settings=(("audio_cache_mb", 8),)))
    assert other is not first and stages["session"] > 0.0
    with pytest.raises(KokoroLabError):
        speak(first, CELL)
    back, _ = kept.load(CELL)
    assert back is not first, "the first one is closed"
    assert speak(back, CELL).audio_s > 0.0
    kept.close()
    kept.close()
    assert kept.load(CELL)[0] is not back
    kept.close()


def test_the_empty_engine_is_kept_like_any_other() -> None:
    kept = KeptEngine()
    engine, _ = kept.load(Cell("empty", "nothing"))
    assert isinstance(engine, EmptyEngine) and kept.load(Cell("empty", "more")) == (engine, {})
