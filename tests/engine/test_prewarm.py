"""Speaking ahead: only what is used often, fits, is gone, and only while nobody waits."""

from __future__ import annotations

import time

import numpy as np
import pytest
from patience import until

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.prewarm import WINDOW_S, Prewarmer
from kokoro_lab.errors import InferenceError, SettingError


class Shelf:
    """A cache, an engine and a clock, all scripted."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.busy = False
        self.fails = False
        self.clock = 0.0

    def render(self, key: str) -> int:
        if self.fails:
            raise InferenceError("scripted")
        self.there.add(key)
        return 10

    def prewarmer(self, budget: int = 100) -> Prewarmer[str]:
        return Prewarmer(
            3, self.render, self.there.__contains__, lambda: self.busy, budget=budget, now=lambda: self.clock
        )


def test_three_uses_within_a_day_make_a_text_popular() -> None:
    shelf = Shelf()
    prewarmer = shelf.prewarmer()
    for _ in range(2):
        prewarmer.used("a", 10, cached=False)
    assert prewarmer.missing() == []
    shelf.clock = WINDOW_S + 1
    prewarmer.used("a", 10, cached=False)
    assert prewarmer.missing() == []  # the first two are too old
    for _ in range(2):
        prewarmer.used("a", 10, cached=False)
    assert prewarmer.missing() == ["a"]
    shelf.there.add("a")
    assert prewarmer.missing() == []


def test_the_budget_goes_to_what_was_used_last() -> None:
    prewarmer = Shelf().prewarmer(budget=25)
    for key in ("a", "b", "c"):
        for _ in range(3):
            prewarmer.used(key, 10, cached=False)
    assert prewarmer.missing() == ["c", "b"]


def test_nothing_is_spoken_ahead_while_somebody_waits() -> None:
    shelf = Shelf()
    shelf.busy = True
    prewarmer = shelf.prewarmer()
    prewarmer.start()
    for _ in range(3):
        prewarmer.used("a", 10, cached=False)
    time.sleep(0.15)
    assert not shelf.there
    shelf.busy = False
    assert until(lambda: shelf.there)
    prewarmer.used("a", 10, cached=True)
    assert until(lambda: prewarmer.status().rendered == 1)
    prewarmer.stop()
    prewarmer.used("a", 10, cached=False)
    shelf.there.clear()
    time.sleep(0.05)
    assert not shelf.there


def test_what_cannot_be_spoken_is_not_tried_for_ever() -> None:
    shelf = Shelf()
    shelf.fails = True
    prewarmer = shelf.prewarmer()
    prewarmer.start()
    for _ in range(3):
        prewarmer.used("a", 10, cached=False)
    assert until(lambda: prewarmer.status().failed == 1)
    time.sleep(0.05)
    assert prewarmer.status().failed == 1
    prewarmer.stop()


def test_a_popular_text_is_back_in_the_cache_after_it_grew_old() -> None:
    now = 0.0
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10, audio_cache_ttl_s=2.0, prewarm_uses=3)) as engine:
        assert engine._rendered is not None
        engine._rendered.memory._now = lambda: now
        first = engine.synthesize("Hello world!")
        for _ in range(2):
            engine.synthesize("Hello world!")
        engine.synthesize("Asked for once.")

        def rendered() -> int:
            usage = engine.status().usage
            return usage.rendered if usage is not None else 0

        assert rendered() == 0
        now = 2.0
        assert until(rendered)
        speech = engine.synthesize("Hello world!")
        assert speech.cached
        assert np.array_equal(speech.samples, first.samples)
        usage = engine.status().usage
        assert usage is not None
        assert (usage.tracked, usage.popular, usage.helped) == (2, 1, 1)
        assert engine.status().calls.synthesized == 5


def test_a_cache_that_was_cleared_stays_empty() -> None:
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10, prewarm_uses=1)) as engine:
        engine.synthesize("Hello world!")
        engine.clear_caches()
        time.sleep(1.2)  # the prewarmer looks by itself every second
        status = engine.status()
    assert status.audio_cache is not None
    assert status.usage is not None
    assert (status.audio_cache.entries, status.usage.tracked, status.usage.rendered) == (0, 0, 0)


def test_speaking_ahead_needs_a_cache_to_speak_into() -> None:
    with pytest.raises(SettingError, match="set audio_cache_mb"):
        EngineConfig(prewarm_uses=3)
