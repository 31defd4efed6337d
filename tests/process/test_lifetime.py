"""Closing lets texts in flight finish, all of them, and refuses new ones before they begin; nothing ever hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from closings import TEXTS, race
from contract_models import contract_model
from patience import PATIENCE_S, until

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.loading import load_parts
from kokoro_lab.engine.reader import Reader
from kokoro_lab.errors import InferenceError, SettingError
from kokoro_lab.process.lifetime import CLOSED, CUT_SHORT, Lifetime
from kokoro_lab.text.phonemize import Phonemized, phonemizer_for

LONG = "This is a sentence. " * 12


class Gated:
    """A phonemizer that calls back at a word that asks for it."""

    lang = "en-us"

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def phonemize(self, text: str) -> Phonemized:
        if "gate" in text:
            self.act()
        return phonemizer_for("en-us").phonemize(text)


def gated(tmp_path: Path, act: Callable[[], object], **settings: object) -> Engine:
    parts = load_parts(EngineConfig(model=str(contract_model(tmp_path).path), **settings))  # type: ignore[arg-type]
    parts.reader = Reader(make=lambda _: Gated(act))
    return Engine(parts)


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A started thread, and where its result or its error will be."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def joined(thread: threading.Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "it hangs"


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_text_in_flight_is_spoken_to_its_end_and_the_next_is_refused(tmp_path: Path, parallel: int) -> None:
    began, go = threading.Event(), threading.Event()

    def gate() -> None:
        began.set()
        assert go.wait(PATIENCE_S)

    engine = gated(tmp_path, gate, parallel_segments=parallel, concurrency=parallel)
    expected = [segment.segment.text for segment in engine.synthesize("One. Two. Three.").segments]
    speaking, spoken = in_thread(lambda: engine.synthesize("One gate. Two. Three."))
    assert began.wait(PATIENCE_S)
    closing, _ = in_thread(engine.close)
    assert until(lambda: engine._lifetime.closing)
    for refused in (engine.synthesize, engine.stream):
        with pytest.raises(InferenceError, match=CLOSED):
            refused("Too late.")
    assert closing.is_alive(), "it waits"
    assert engine.status().calls.running == 1
    go.set()
    joined(speaking)
    joined(closing)
    assert len(spoken[0].segments) == len(expected)  # type: ignore[attr-defined]
    with pytest.raises(InferenceError, match=CLOSED):
        engine.status()
    engine.close()


def test_a_stream_is_synthesized_to_its_end_and_read_after_closing(tmp_path: Path) -> None:
    config = EngineConfig(model=str(contract_model(tmp_path).path), primer=False, queue_chunks=1, queue_segments=1)
    with Engine.load(config) as engine:
        whole = engine.synthesize(LONG).samples
        stream = engine.stream(LONG)
        first = next(stream)
        engine.close()  # by the reader of the stream itself
        rest = [chunk.samples for chunk in stream]
    np.testing.assert_array_equal(np.concatenate([first.samples, *rest]), whole)


def test_what_is_not_finished_in_time_fails_by_name(tmp_path: Path) -> None:
    began, go = threading.Event(), threading.Event()

    def gate() -> None:
        began.set()
        assert go.wait(PATIENCE_S)

    engine = gated(tmp_path, gate)
    speaking, spoken = in_thread(lambda: engine.synthesize("One gate. Two. Three."))
    assert began.wait(PATIENCE_S)
    began.clear()
    reading, heard = in_thread(lambda: list(engine.stream("One gate. Two. Three.")))
    assert began.wait(PATIENCE_S)
    start = time.monotonic()
    closing, _ = in_thread(lambda: engine.close(0.05))
    joined(reading)
    go.set()
    joined(speaking)
    joined(closing)
    assert time.monotonic() - start < PATIENCE_S / 2
    for results in (spoken, heard):
        assert isinstance(results[0], InferenceError)
        assert results[0].message == CUT_SHORT


def test_closing_from_inside_a_text_does_not_wait_for_it_and_it_is_finished(tmp_path: Path) -> None:
    engine: list[Engine] = []
    engine.append(gated(tmp_path, lambda: engine[0].close()))
    begun = threading.Barrier(3)
    speech = engine[0].synthesize("One. The gate. Two.")
    assert len(speech.segments) == 3
    with pytest.raises(InferenceError, match=CLOSED):
        engine[0].synthesize("Too late.")

    def close() -> None:
        begun.wait(PATIENCE_S)
        engine[0].close()

    engine[0] = gated(tmp_path, close)
    threads = [in_thread(lambda: engine[0].synthesize("One. The gate. Two.")) for _ in range(2)]
    threads.append(in_thread(lambda: len(list(engine[0].stream("The gate. One.")))))
    for thread, results in threads:
        joined(thread)
        assert not isinstance(results[0], BaseException), results[0]
    assert until(lambda: engine[0].pool.primary._session is None), "the last of them released the model"


def test_it_may_be_closed_by_several_threads_and_during_the_warm_up() -> None:
    engine = Engine.load(EngineConfig(model="tiny", warmup="background", release_idle_s=0.01, memory_watch_s=0.05))
    threads = [in_thread(engine.close) for _ in range(8)]
    for thread, results in threads:
        joined(thread)
        assert results == [None]
    assert engine.pool.primary._session is None
    with pytest.raises(SettingError, match="timeout_s"):
        engine.close(-1)


@pytest.mark.parametrize("settings", [{}, {"parallel_segments": 2, "concurrency": 2}, {"primer": True}])
def test_texts_of_several_segments_end_right_or_are_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    assert len(TEXTS) > 3
    config = EngineConfig(model=str(contract_model(tmp_path).path), **settings)  # type: ignore[arg-type]
    tries, failures = race(config, texts=24, seed=1)
    assert tries == 24
    assert failures == []


def test_a_time_limit_in_the_middle_names_each_text_that_it_cut(tmp_path: Path) -> None:
    config = EngineConfig(model=str(contract_model(tmp_path).path))
    tries, failures = race(config, texts=24, seed=2, timeout_s=0.0)
    assert (tries, failures) == (24, [])


def test_the_release_happens_once_when_nothing_is_in_flight() -> None:
    released: list[int] = []
    lifetime = Lifetime(lambda: released.append(1))
    text = lifetime.enter()
    lifetime.finish(0.0)  # from the thread of the text
    assert released == []
    text.ended()
    text.ended()
    lifetime.finish(0.0)
    assert released == [1]
    with pytest.raises(InferenceError, match=CLOSED):
        lifetime.enter()
