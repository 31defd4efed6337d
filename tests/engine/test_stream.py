"""Streams: the same samples as the whole, in numbered chunks, early, bounded, and never stuck."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from patience import PATIENCE_S, in_some_attempt, until
from scripted_clock import ScriptedClock

from kokoro_lab.engine.channel import StageClock, StageTimes
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.stream import Stream, StreamSettings
from kokoro_lab.errors import InferenceError, PhonemizeError
from kokoro_lab.runtime.pool import RoutedInference
from kokoro_lab.runtime.session import Cancellation, Inference
from kokoro_lab.text.segment import Segment

TEXT = "Hello world! This is the second sentence, a little longer than the first. And a third."
LONG = " ".join(f"This is sentence number {number} of a long text." for number in range(12))


def planned(count: int, pause_s: float = 0.1) -> Iterator[Segment]:
    for index in range(count):
        yield Segment(index, f"text {index}", "a", (1,), pause_s, (), {"phonemise": 0.001})


class Script:
    """A model of scripted latency: each call gives half a second of sound, after `delay_s` or an error."""

    def __init__(self, delay_s: float = 0.0, fails_at: int | None = None) -> None:
        self.delay_s = delay_s
        self.fails_at = fails_at
        self.calls = 0

    def __call__(self, segment: Segment, cancellation: Cancellation) -> RoutedInference:
        self.calls += 1
        if segment.index == self.fails_at:
            raise InferenceError("scripted")
        end = time.perf_counter() + self.delay_s
        while time.perf_counter() < end:
            if cancellation.cancelled:
                raise InferenceError("cancelled")
            time.sleep(0.001)
        audio = np.full(12_000, 0.1 * (segment.index + 1), np.float32)
        return RoutedInference(Inference(audio, np.array([20], np.int64), self.delay_s), "script", 0.0)


def threads_of_streams() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kokoro-")]


def all_gone(within_s: float = PATIENCE_S) -> bool:
    return until(lambda: not threads_of_streams(), within_s)


@pytest.mark.parametrize("chunk_ms", [0.0, 3.0, 25.0, 80.0, 5000.0])
def test_chunks_put_together_are_the_samples_of_the_whole(chunk_ms: float) -> None:
    with Engine.load(EngineConfig(model="tiny", primer=False, chunk_ms=chunk_ms)) as engine:
        whole = engine.synthesize(TEXT)
        stream = engine.stream(TEXT)
        chunks = list(stream)
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), whole.samples)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert sum(chunk.duration_s for chunk in chunks if not chunk.pause) == pytest.approx(whole.speech_s)
    assert [chunk.text for chunk in chunks if chunk.text] == [one.segment.text for one in whole.segments]
    assert [(one.start, one.samples) for one in stream.segments] == [(one.start, one.samples) for one in whole.segments]
    if chunk_ms == 0.0:
        assert len(chunks) == 2 * len(whole.segments) - 1
    else:
        assert max(len(chunk.samples) for chunk in chunks if not chunk.pause) <= chunk_ms * 24


def test_busy_and_waiting_of_a_stage_are_its_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stage = ScriptedClock(monkeypatch), StageClock()
    assert stage.times() == StageTimes(0.0, 0.0, 0.0, 0)
    clock.spend("before it starts", 64)
    stage.start()
    for _ in range(2):
        clock.spend("working", 8)
        with stage.waiting():
            clock.spend("waiting", 4)
        stage.count()
    clock.spend("working", 2)
    stage.shift(1.0)
    stage.stop()
    clock.spend("after its end", 128)
    assert stage.times() == StageTimes(busy_s=17.0, waiting_s=9.0, wall_s=26.0, items=2)


def test_each_stage_of_a_stream_has_its_time_and_its_items(engine: Engine) -> None:
    stream = engine.stream(LONG)
    for _ in stream:
        pass
    timings = stream.timings
    assert set(timings.stages) == {"reading", "inference", "audio"}
    for times in timings.stages.values():
        assert times.busy_s + times.waiting_s <= times.wall_s + 1e-9 <= timings.total_s + 2e-9
        assert min(times.busy_s, times.waiting_s) >= 0.0
        assert times.items == len(stream.segments)
    assert timings.first_chunk_s is not None
    assert 0 < timings.first_chunk_s < timings.total_s
    assert 0 < timings.seconds["infer"] <= timings.stages["inference"].busy_s


def test_the_stages_overlap() -> None:
    """One text is read and another spoken while a third is heard: each of the three waits for the other two."""
    together = threading.Barrier(3)

    def read() -> Iterator[Segment]:
        for segment in planned(5):
            if segment.index == 2:
                together.wait(PATIENCE_S)
            yield segment

    class Meeting(Script):
        def __call__(self, segment: Segment, cancellation: Cancellation) -> RoutedInference:
            if segment.index == 1:
                together.wait(PATIENCE_S)
            return super().__call__(segment, cancellation)

    with Stream(read(), Meeting(), StreamSettings(chunk_ms=0)) as stream:
        assert next(stream).segment == 0
        together.wait(PATIENCE_S)
        assert [chunk.segment for chunk in stream][-1] == 4


def test_the_next_segment_is_made_while_one_is_heard() -> None:
    script = Script(delay_s=0.02)
    with Stream(planned(3), script, StreamSettings(chunk_ms=0)) as stream:
        next(stream)
        assert until(lambda: script.calls == 3)


def test_a_slow_listener_does_not_make_the_engine_run_ahead() -> None:
    script = Script()
    settings = StreamSettings(chunk_ms=100, queue_segments=2, queue_chunks=4)
    with Stream(planned(1000), script, settings) as stream:
        next(stream)
        time.sleep(0.2)
        # at most: one being cut, two waiting, one finished and not yet handed over
        assert script.calls <= 4
        assert stream.most_waiting["chunks"] <= 4
        assert stream.most_waiting["planned"] <= 2


def test_the_first_chunk_waits_for_the_prebuffer() -> None:
    script = Script(delay_s=0.05)
    with Stream(planned(5), script, StreamSettings(chunk_ms=0, prebuffer=3)) as stream:
        next(stream)
        assert script.calls >= 2  # a segment, its pause and the next segment are three chunks
    with Stream(planned(1), Script(), StreamSettings(chunk_ms=0, prebuffer=100)) as stream:
        assert len(list(stream)) == 1


def test_closing_stops_the_model_inside_its_call() -> None:
    script = Script(delay_s=5 * PATIENCE_S)
    stream = Stream(planned(10), script)
    assert until(lambda: script.calls)
    stream.close()
    assert all_gone()
    assert script.calls == 1
    assert list(stream) == []
    stream.close()


def test_closing_stops_onnxruntime_inside_its_call() -> None:
    with Engine.load(EngineConfig(model="tiny", primer=False)) as engine:
        text = "and " * 120 + "end."

        def stopped_inside() -> bool:
            used_s = time.process_time()
            whole = engine.synthesize(text).timings.infer_s
            work_s = time.process_time() - used_s
            stream = engine.stream(text)
            while not stream.timings.stages["inference"].wall_s or not stream.timings.stages["reading"].items:
                time.sleep(0.001)
            time.sleep(whole / 10)
            used_s = time.process_time()
            stream.close()
            assert all_gone()
            return time.process_time() - used_s < 0.6 * work_s

        assert in_some_attempt(stopped_inside)
        assert engine.synthesize("Hello.").duration_s > 0


def test_dropping_a_stream_stops_it() -> None:
    stream = Stream(planned(1000), Script(delay_s=0.01), StreamSettings(chunk_ms=0))
    next(stream)
    assert threads_of_streams()
    del stream
    gc.collect()
    assert all_gone()


def test_an_error_of_the_model_reaches_the_caller_after_the_chunks_before_it() -> None:
    stream = Stream(planned(5), Script(fails_at=2), StreamSettings(chunk_ms=0))
    heard = []
    with pytest.raises(InferenceError, match="scripted"):
        for chunk in stream:
            heard.append(chunk.segment)
    assert heard == [0, 0, 1, 1]
    assert all_gone()
    assert list(stream) == []


def test_an_error_of_the_phonemiser_reaches_the_caller() -> None:
    def broken() -> Iterator[Segment]:
        yield from planned(1)
        raise PhonemizeError("scripted")

    stream = Stream(broken(), Script(), StreamSettings(chunk_ms=0))
    assert next(stream).segment == 0
    with pytest.raises(PhonemizeError, match="scripted"):
        list(stream)
    assert all_gone()


def test_a_text_without_segments_ends_at_once() -> None:
    assert list(Stream(planned(0), Script())) == []


def test_the_primer_makes_the_first_segment_of_a_long_sentence_short_and_hands_it_over_at_once() -> None:
    text = "This is one long sentence that goes on and on without any comma in it " * 4 + "until it ends."
    with Engine.load(EngineConfig(model="tiny", primer=False)) as engine:
        plain = engine.stream(text)
        list(plain)
    with Engine.load(EngineConfig(model="tiny")) as engine:
        primed = engine.stream(text)
        chunks = list(primed)
    first, whole = primed.segments[0].segment, plain.segments[0].segment
    assert len(first.text.split()) >= 3
    assert len(first.tokens) < len(whole.tokens) / 3, "the model takes as much less time for it"
    assert " ".join(one.segment.text for one in primed.segments).split() == text.split()
    assert chunks[0].segment == 0 and chunks[-1].last
    assert primed.timings.first_chunk_s is not None
    assert primed.timings.first_chunk_s < primed.timings.total_s
