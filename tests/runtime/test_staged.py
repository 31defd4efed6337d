"""A split model is two sessions behind one door: same samples, and two calls overlap."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_S

from kokoro_lab import Engine, EngineConfig
from kokoro_lab.errors import InferenceError, ModelNotFoundError, SettingError
from kokoro_lab.models.catalog import installed_names, models_folder, remove, resolve
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.listing import listing
from kokoro_lab.models.rewrite.partition import read_whole
from kokoro_lab.runtime.session import Cancellation, Session
from kokoro_lab.runtime.settings import SessionSettings
from kokoro_lab.runtime.staged import StagedSession
from kokoro_lab.variants.make import make
from kokoro_lab.variants.probes import check_probes
from kokoro_lab.variants.verify import verify

PROBE = check_probes()[0]
STYLE = PROBE.feeds()["style"]
TEXT = "Six small stones lay here. Nobody knew why they were wet. It had not rained since May."


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    make("tiny", "split")
    make("tiny", "optimized")  # the same graph in one file
    return "tiny-split"


def test_samples_and_durations_are_those_of_the_one_file(split: str) -> None:
    whole, halves = Session.open(resolve("tiny-optimized")), Session.open(resolve(split))
    for seed, noise in ((0, None), (3, None), (0, 0.0)):
        first, second = (each.run(PROBE.tokens, STYLE, 1.1, seed, noise_scale=noise) for each in (whole, halves))
        np.testing.assert_array_equal(first.audio, second.audio)
        assert first.durations is not None
        np.testing.assert_array_equal(first.durations, second.durations)
    assert halves.contract.name == "kokoro-lab"
    assert (halves.effective_provider().status, halves.effective_provider().share) == ("ok", 1.0)
    assert halves.digest() != whole.digest()


def test_the_engine_speaks_a_split_model_one_by_one_and_overlapped_with_the_same_samples(split: str) -> None:
    together = {"concurrency": 2, "parallel_segments": 2}
    settings = [{"model": "tiny-optimized"}, {"model": split}, {"model": split, **together}]
    spoken = []
    for each in settings:
        with Engine.load(EngineConfig(gather_tokens=0, **each)) as engine:
            spoken.append(engine.synthesize(TEXT, seed=2).samples)
    np.testing.assert_array_equal(spoken[0], spoken[1])
    np.testing.assert_array_equal(spoken[0], spoken[2])


class _Half:
    """A scripted session: it says what it was given, and holds its calls until it is told to let go."""

    def __init__(self, inputs: list[str], outputs: list[str], gate: threading.Event | None = None) -> None:
        self._inputs, self._outputs, self._gate = inputs, outputs, gate
        self.entered = threading.Semaphore(0)

    def get_inputs(self) -> list[_Port]:
        return [_Port(name) for name in self._inputs]

    def get_outputs(self) -> list[_Port]:
        return [_Port(name) for name in self._outputs]

    def run(self, outputs: list[str], feeds: dict[str, int], options: object) -> list[int]:
        assert set(self._inputs) <= set(feeds)
        self.entered.release()
        if self._gate is not None:
            assert self._gate.wait(PATIENCE_S)
        return [feeds[self._inputs[0]]] * len(outputs)


class _Port:
    def __init__(self, name: str) -> None:
        self.name = name


def test_the_front_of_one_call_runs_while_the_back_of_another_does() -> None:
    gate = threading.Event()
    front = _Half(["tokens", "style"], ["duration", "f0"])
    back = _Half(["f0", "style"], ["audio"], gate)
    staged = StagedSession(front, back)
    answers: dict[int, list[int]] = {}

    def call(number: int) -> None:
        answers[number] = staged.run(["audio", "duration"], {"tokens": number, "style": 0}, None)

    threads = [threading.Thread(target=call, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    assert all(front.entered.acquire(timeout=PATIENCE_S) for _ in threads), "both fronts ran"
    assert back.entered.acquire(timeout=PATIENCE_S)
    assert not back.entered.acquire(timeout=0.05), "while one back, and only one, was at work"
    gate.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert answers == {1: [1, 1], 2: [2, 2]}
    assert [each.name for each in staged.get_outputs()] == ["audio", "duration"]


def test_a_call_is_stopped_and_a_failing_half_ends_it(split: str) -> None:
    session = Session.open(resolve(split))
    stopped = Cancellation()
    stopped.cancel()
    with pytest.raises(InferenceError, match="cancelled"):
        session.run(PROBE.tokens, STYLE, 1.0, cancellation=stopped)
    with pytest.raises(InferenceError, match="failed"):
        session.run(PROBE.tokens, STYLE[:, :100], 1.0)
    assert len(session.run(PROBE.tokens, STYLE, 1.0).audio)
    with pytest.raises(SettingError, match="io_binding"):
        Session.open(resolve(split), SessionSettings(io_binding=True))


def test_the_catalogue_knows_two_files_as_one_model(split: str) -> None:
    assert installed_names() == ["tiny", "tiny-optimized", split]
    row = next(row for row in listing() if row["name"] == split)
    assert (row["contract"], row["installed"]) == ("kokoro-lab", True)
    assert row["bytes"] == sum(path.stat().st_size for path in models_folder().glob("tiny-split-*.onnx"))
    whole, halves = read_whole(resolve("tiny-optimized")), read_whole(resolve(split))
    assert verify(whole, halves, [PROBE], arch=TINY).readings[0].snr_db == float("inf")
    assert len(remove(split)) == 4
    with pytest.raises(ModelNotFoundError):
        resolve(split)
