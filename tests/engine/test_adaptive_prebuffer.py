"""The cushion: how much to hold back is worked out from arrivals, and learnt."""

from __future__ import annotations

import numpy as np
import pytest
from patience import until
from scripted_clock import ScriptedClock

from kokoro_lab.engine.adaptive_prebuffer import LONGEST_MS, SHORTEST_MS, AdaptivePrebuffer, ChunkArrival, needed
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine

TEXT = "Hello world! This is the second sentence, a little longer than the first. And a third."


def arrivals(*at_s: float, duration_s: float = 0.08) -> list[ChunkArrival]:
    return [ChunkArrival(at, duration_s, segment=0) for at in at_s]


@pytest.mark.parametrize(
    ("at_s", "chunks"),
    [
        ((0.1,), 1),
        ((0.1, 0.1, 0.1), 1),
        ((0.1, 0.18, 0.26), 1),  # each just in time
        ((0.1, 0.2, 0.2), 2),  # the second 20 ms late
        ((0.1, 0.1, 0.1, 0.5), 4),  # late by more than the first three last
        ((0.0, 0.05, 0.1, 0.25), 2),  # 10 ms late with one held back, in time with two
    ],
)
def test_the_fewest_chunks_that_leave_no_gap(at_s: tuple[float, ...], chunks: int) -> None:
    assert needed(arrivals(*at_s)) == chunks


def test_what_late_streams_needed_is_held_back_until_they_are_forgotten() -> None:
    cushion = AdaptivePrebuffer(chunk_ms=0.0, prebuffer=1)
    assert cushion.advise() == (0.0, 1)
    cushion = AdaptivePrebuffer(chunk_ms=80.0, prebuffer=2)
    cushion.learn(arrivals(0.0, 0.0, 0.0, 0.0, 0.5))
    chunk_ms, prebuffer = cushion.advise()
    assert prebuffer * chunk_ms >= 400
    assert cushion.status().late_streams == 1
    for _ in range(20):
        cushion.learn(arrivals(0.0, 0.0, 0.0))
    assert cushion.advise()[1] == 2


def test_chunks_grow_with_jitter_and_shrink_without() -> None:
    cushion = AdaptivePrebuffer(chunk_ms=80.0, prebuffer=1)
    cushion.learn(arrivals(*(0.2 * number for number in range(50))))
    assert cushion.advise()[0] == LONGEST_MS
    cushion.learn(arrivals(*(0.0 for _ in range(200))))
    assert cushion.advise()[0] == SHORTEST_MS


def test_an_adaptive_stream_is_the_same_samples(engine: Engine) -> None:
    plain = np.concatenate([chunk.samples for chunk in engine.stream(TEXT)])
    with Engine.load(EngineConfig(model="tiny", adaptive_buffer=True)) as adaptive:
        for _ in range(2):
            chunks = list(adaptive.stream(TEXT))
            assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), plain)
        adaptive.stream(TEXT).close()
        status = adaptive.status().cushion
        assert status is not None
        assert status.streams == 2  # the one that was closed says nothing of arrivals
        assert len(chunks[1].samples) != round(0.080 * 24_000)
    assert engine.status().cushion is None


def test_a_slow_caller_is_not_taken_for_a_slow_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine.load(EngineConfig(model="tiny", adaptive_buffer=True, queue_chunks=1, chunk_ms=20.0)) as engine:
        clock = ScriptedClock(monkeypatch)
        stream = engine.stream(TEXT)
        pipeline = stream._pipeline
        for heard, _ in enumerate(stream, start=1):
            # One chunk waits in the queue, the next for its place there: whatever passes now is the caller's.
            assert until(lambda heard=heard: len(pipeline.arrived) >= heard + 2 or pipeline.clocks["audio"]._end)
            clock.spend("listening", 1)
        status = engine.status().cushion
    assert clock.spent["listening"] > 50
    assert status is not None
    assert status.jitter_ms == 0.0
