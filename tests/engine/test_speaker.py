"""Segments side by side: the samples of one after the other, in order, and an error stops the rest."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from patience import PATIENCE_S

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.speaker import ParallelSegments
from kokoro_lab.errors import InferenceError, SettingError
from kokoro_lab.runtime.pool import RoutedInference
from kokoro_lab.runtime.session import Cancellation, Inference
from kokoro_lab.text.segment import Segment

LONG = " ".join(f"This is sentence number {number} of a text that is long." for number in range(8))


def test_segments_side_by_side_are_the_same_samples(engine: Engine) -> None:
    alone = engine.synthesize(LONG, seed=5)
    with Engine.load(EngineConfig(model="tiny", parallel_segments=3, concurrency=3)) as together:
        speech = together.synthesize(LONG, seed=5)
        assert together.status().side_by_side >= 2
    assert engine.status().side_by_side == 0
    assert np.array_equal(speech.samples, alone.samples)
    assert [one.segment.text for one in speech.segments] == [one.segment.text for one in alone.segments]
    timings = speech.timings
    stages = timings.normalise_s + timings.phonemise_s + timings.tokenise_s + timings.infer_s + timings.post_process_s
    assert timings.infer_s > 0
    assert stages + timings.other_s == pytest.approx(timings.total_s)
    assert abs(timings.other_s) < max(0.02 * timings.total_s, 0.005)


def test_the_same_samples_over_a_pool_of_sessions_too() -> None:
    config = EngineConfig(model="tiny", sessions="triple", concurrency=3)
    with (
        Engine.load(config) as alone,
        Engine.load(EngineConfig(**{**vars(config), "parallel_segments": 3})) as together,
    ):
        assert np.array_equal(alone.synthesize(LONG).samples, together.synthesize(LONG).samples)


def test_many_callers_share_the_threads(engine: Engine) -> None:
    expected = engine.synthesize(LONG).samples
    found = []
    with Engine.load(EngineConfig(model="tiny", parallel_segments=2, concurrency=2)) as together:
        callers = [threading.Thread(target=lambda: found.append(together.synthesize(LONG).samples)) for _ in range(6)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
    assert len(found) == 6
    assert all(np.array_equal(samples, expected) for samples in found)


def test_an_error_stops_what_runs_and_is_the_first_of_the_text() -> None:
    stopped = threading.Event()

    def speak(segment: Segment, cancellation: Cancellation) -> RoutedInference:
        if segment.index == 1:
            raise InferenceError("scripted")
        if segment.index == 2:
            for _ in range(2000):
                if cancellation.cancelled:
                    stopped.set()
                    raise InferenceError("cancelled")
                threading.Event().wait(0.005)
        return RoutedInference(Inference(np.zeros(1, np.float32), None, 0.0), "script", 0.0)

    pool = ParallelSegments(3)
    with pytest.raises(InferenceError, match="scripted"):
        pool.speak((Segment(index, "a", "a", (1,), 0.0, (), {}) for index in range(4)), speak)
    assert stopped.is_set()
    pool.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"parallel_segments": 2}, "use at most concurrency, 1"),
        ({"parallel_segments": 2, "concurrency": 2, "routing": "cost"}, "make the samples depend on timing"),
    ],
)
def test_what_would_not_keep_the_promise_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        EngineConfig(**wrong)  # type: ignore[arg-type]
