"""Sessions: settings that reach onnxruntime, results that repeat, failures that have names."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

import hostile_models
import numpy as np
import onnx
import psutil
import pytest
from contract_models import contract_model
from numpy.typing import NDArray
from patience import in_some_attempt, until

from kokoro_lab.errors import InferenceError, InputError, ModelError, ModelNotFoundError, ProviderError, SettingError
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.models.rewrite.partition import fixed
from kokoro_lab.runtime.opening import graph_sum
from kokoro_lab.runtime.providers import availability
from kokoro_lab.runtime.session import Cancellation, Session
from kokoro_lab.runtime.settings import SessionSettings

TOKENS = list(range(1, 21))
ABSENT = next(entry.name for entry in availability() if not entry.installed)


def test_a_call_gives_one_frame_count_a_token_and_600_samples_a_frame(
    session: Session, style: NDArray[np.float32]
) -> None:
    inference = session.run(TOKENS, style, 1.0)
    assert inference.audio.dtype == np.float32
    assert inference.durations is not None
    assert inference.durations.shape == (len(TOKENS) + 2,)
    assert len(inference.audio) == 600 * inference.durations.sum()
    assert inference.seconds > 0


@pytest.mark.parametrize("io_binding", [False, True])
def test_what_a_call_returns_owns_its_memory(tiny: ModelFile, style: NDArray[np.float32], io_binding: bool) -> None:
    """Memory of onnxruntime would hang a forked child that frees it."""
    opened = Session.open(tiny, SessionSettings(io_binding=io_binding))
    given: list[Any] = []
    call = opened._call
    with mock.patch.object(opened, "_call", lambda *arguments: given.extend(call(*arguments)) or given):
        inference = opened.run(TOKENS, style, 1.0)
    for returned, output in zip((inference.audio, inference.durations), given, strict=True):
        assert returned is not None and returned.flags.owndata
        assert np.array_equal(returned, np.ravel(output)) and not np.shares_memory(returned, output)


def test_the_same_call_gives_the_same_samples_in_any_session(
    session: Session, tiny: ModelFile, style: NDArray[np.float32]
) -> None:
    first = session.run(TOKENS, style, 1.0, 7).audio
    other = Session.open(tiny).run(TOKENS, style, 1.0, 7).audio
    assert np.array_equal(first, session.run(TOKENS, style, 1.0, 7).audio)
    assert np.array_equal(first, other)
    assert not np.array_equal(first, session.run(TOKENS, style, 1.0, 8).audio)


def test_the_seed_and_the_noise_are_fed_where_the_file_has_them(
    session: Session, style: NDArray[np.float32], tmp_path: Path
) -> None:
    assert set(session.contract.overridable) == {"seed", "noise_scale"}
    quiet = session.run(TOKENS, style, 1.0, 1, noise_scale=0.0).audio
    assert not np.array_equal(quiet, session.run(TOKENS, style, 1.0, 1).audio)
    small = Session.open(contract_model(tmp_path))
    plain = small.run(TOKENS, style, 1.0, 0).audio
    assert np.allclose(small.run(TOKENS, style, 1.0, 5).audio - plain, 5e-3, atol=1e-6)
    assert np.allclose(small.run(TOKENS, style, 1.0, 5, noise_scale=2.0).audio - plain, 10e-3, atol=1e-6)


CHANGES: list[dict[str, Any]] = [
    {"intra_op_threads": 1},
    {"intra_op_threads": 2, "affinity": "1"},
    {"inter_op_threads": 2},
    {"parallel": True, "inter_op_threads": 2},
    {"graph_level": "basic"},
    {"arena": False},
    {"arena_shrink": True},
    {"arena_limit_mib": 64},
    {"arena_extend": "requested"},
    {"memory_pattern": True},
    {"memory_reuse": True},
    {"spinning": False},
    {"denormals_as_zero": True},
    {"prepacking": False},
    {"deterministic": True},
    {"io_binding": True},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "+".join(change))
def test_a_setting_reaches_the_session_and_changes_its_digest(
    change: dict[str, Any], session: Session, tmp_path: Path, style: NDArray[np.float32]
) -> None:
    model = contract_model(tmp_path)
    plain, changed = Session.open(model), Session.open(model, SessionSettings(**change))
    before, after = plain.read_back(), changed.read_back()
    assert {name for name in before if before[name] != after[name]} == set(change)
    assert plain.digest() != changed.digest()
    assert plain.digest() == Session.open(model).digest()
    assert np.array_equal(plain.run(TOKENS, style, 1.0).audio, changed.run(TOKENS, style, 1.0).audio)


def test_every_setting_is_read_back_or_accounted_for() -> None:
    named = {item.name for item in dataclasses.fields(SessionSettings)}
    elsewhere = {"provider", "provider_options", "provider_fallback", "preoptimized"}
    tried = {name for change in CHANGES for name in change}
    assert named - elsewhere == tried


def test_the_thread_count_is_the_number_of_threads_that_appear(tmp_path: Path) -> None:
    model, process = contract_model(tmp_path), psutil.Process()
    for threads in (1, 2, 4):
        before = process.num_threads()
        opened = Session.open(model, SessionSettings(intra_op_threads=threads))
        assert process.num_threads() - before == threads - 1
        opened.close()
        # A thread that was joined is still counted until the system has cleared it away.
        assert until(lambda before=before: process.num_threads() == before)


def test_an_affinity_pins_the_second_thread(tmp_path: Path) -> None:
    import os

    before = {thread.id for thread in psutil.Process().threads()}
    opened = Session.open(contract_model(tmp_path), SessionSettings(intra_op_threads=2, affinity="1"))
    (added,) = {thread.id for thread in psutil.Process().threads()} - before
    assert until(lambda: os.sched_getaffinity(added) == {0}), "the thread pins itself when it first runs"
    opened.close()


def test_the_graph_level_changes_the_optimised_graph_and_a_thread_count_does_not(
    tiny: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    everything = graph_sum(tiny, SessionSettings())
    assert everything == graph_sum(tiny, SessionSettings(intra_op_threads=1))
    assert everything != graph_sum(tiny, SessionSettings(graph_level="none"))
    (kept, _) = (tmp_path / "graphs").rglob("*"), None
    assert sum(path.is_file() for path in kept) == 2
    assert Session.open(tiny).digest(graph=True) != Session.open(tiny).digest()


def test_nodes_are_read_from_onnxruntime(session: Session) -> None:
    (share,) = session.assignment
    assert share.provider == "CPUExecutionProvider"
    assert share.nodes == len(session.nodes) > 500
    assert any(node.operator == "Conv" for node in session.nodes)
    reading = session.effective_provider()
    assert (reading.status, reading.share, reading.effective) == ("ok", 1.0, "CPUExecutionProvider")


def test_an_absent_provider_is_an_error_or_says_that_it_did_not_run(
    tiny: ModelFile, style: NDArray[np.float32]
) -> None:
    with pytest.raises(ProviderError, match="unavailable"):
        Session.open(tiny, SessionSettings(provider=ABSENT))
    fallen = Session.open(tiny, SessionSettings(provider=ABSENT, provider_fallback=True))
    reading = fallen.effective_provider()
    assert (reading.status, reading.share, reading.effective) == ("unavailable", 0.0, "CPUExecutionProvider")
    assert "unavailable" in reading.reason
    assert len(fallen.run(TOKENS, style, 1.0).audio) > 0


def test_files_that_are_no_models_are_named_errors(tiny: ModelFile, tmp_path: Path) -> None:
    def at(path: Path) -> ModelFile:
        return dataclasses.replace(tiny, path=path)

    with pytest.raises(ModelNotFoundError, match="no model file"):
        Session.open(at(tmp_path / "gone.onnx"))
    truncated = tmp_path / "truncated.onnx"
    truncated.write_bytes(tiny.path.read_bytes()[: tiny.bytes // 2])
    with pytest.raises(ModelError, match="not a model that onnxruntime can read"):
        Session.open(at(truncated))
    text = tmp_path / "text.onnx"
    text.write_text("hello" * 100)
    with pytest.raises(ModelError):
        Session.open(at(text))


def test_a_model_that_fails_while_it_runs_is_an_inference_error_and_the_next_call_works(
    tmp_path: Path, style: NDArray[np.float32], capfd: pytest.CaptureFixture[str]
) -> None:
    picky = Session.open(contract_model(tmp_path, "failure"))
    with pytest.raises(InferenceError, match="failed on 20 tokens"):
        picky.run(TOKENS, style, 1.0)
    assert len(picky.run(TOKENS[:10], style, 1.0).audio) == 12 * 1200


@pytest.mark.parametrize("count", [0, 511])
def test_too_few_or_too_many_tokens_are_refused(session: Session, style: NDArray[np.float32], count: int) -> None:
    with pytest.raises(InputError, match="1 to 510 tokens"):
        session.run([1] * count, style, 1.0)


def test_a_model_of_fixed_length_says_what_it_takes(
    tiny: ModelFile, tmp_path: Path, style: NDArray[np.float32]
) -> None:
    path = tmp_path / "fixed.onnx"
    onnx.save(fixed(onnx.load(tiny.path), {"T": 16}), path)
    session = Session.open(dataclasses.replace(tiny, path=path))
    assert session.fixed_tokens == 16
    assert session.run([5] * 14, style, 1.0).audio.size
    with pytest.raises(InputError, match="exactly 16 tokens per call, the two ends included, not 22"):
        session.run(TOKENS, style, 1.0)


def test_a_model_whose_tokens_are_no_row_is_refused(tiny: ModelFile, tmp_path: Path) -> None:
    model = hostile_models.plain()
    model.graph.input[0].type.tensor_type.shape.ClearField("dim")
    path = tmp_path / "scalar.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="takes tokens of 0 dimensions"):
        Session.open(dataclasses.replace(tiny, path=path))


def test_510_tokens_are_spoken(session: Session, style: NDArray[np.float32]) -> None:
    durations = session.run([5] * 510, style, 2.0).durations
    assert durations is not None
    assert len(durations) == 512


def test_a_closed_session_refuses(tiny: ModelFile, style: NDArray[np.float32]) -> None:
    opened = Session.open(tiny)
    opened.close()
    with pytest.raises(InferenceError, match="closed"):
        opened.run(TOKENS, style, 1.0)


def test_cancelling_stops_a_call_inside_it(session: Session, style: NDArray[np.float32]) -> None:
    long = [5] * 500
    cancellation = Cancellation()

    def stopped_inside() -> bool:
        nonlocal cancellation
        used_s = time.process_time()
        whole = session.run(long, style, 1.0).seconds
        work_s = time.process_time() - used_s
        cancellation = Cancellation()
        outcome: list[float] = []
        errors: list[str] = []

        def call() -> None:
            used_s = time.process_time()
            try:
                session.run(long, style, 1.0, cancellation=cancellation)
            except InferenceError as error:
                errors.append(error.message)
            outcome.append(time.process_time() - used_s)

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(whole / 10)
        cancellation.cancel()
        thread.join()
        return "cancelled while it ran" in "".join(errors) and outcome[0] < 0.7 * work_s

    assert in_some_attempt(stopped_inside)
    with pytest.raises(InferenceError, match="before it began"):
        session.run(TOKENS, style, 1.0, cancellation=cancellation)
    assert len(session.run(TOKENS, style, 1.0).audio) > 0


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"graph_level": "most"},
        {"intra_op_threads": -1},
        {"parallel": True},
        {"intra_op_threads": 2, "affinity": "1;2"},
    ):
        with pytest.raises(SettingError):
            SessionSettings(**wrong)  # type: ignore[arg-type]
