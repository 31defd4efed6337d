"""The graph that the architecture gives: whole, in stages, and repeatable to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError
from kokoro_lab.models.graph.architecture import (
    FULL,
    TINY,
    UNREAD_PARAMETERS,
    Architecture,
    architecture_named,
    parameters,
)
from kokoro_lab.models.graph.builder import GraphBuilder
from kokoro_lab.models.graph.model_graph import build, build_stage
from kokoro_lab.models.graph.seeded_noise import TABLE_ROWS
from kokoro_lab.models.graph.stages import STAGES, _summed_turns
from kokoro_lab.models.graph.state_dict import fold
from kokoro_lab.models.graph.weights import seeded_state

FORBIDDEN = {"Loop", "If", "Scan", "SequenceInsert", "SequenceConstruct", "ConcatFromSequence"}


@pytest.fixture(scope="module")
def tiny() -> onnx.ModelProto:
    return build(TINY, seeded_state(TINY, 0))


def _session(model: onnx.ModelProto, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _call(tokens: int, seed: int = 7) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    ids = np.zeros((1, tokens), np.int64)
    ids[0, 1:-1] = rng.integers(1, TINY.symbols, tokens - 2)
    style = (0.155 * rng.standard_normal((1, 256))).astype(np.float32)
    return {"tokens": ids, "style": style, "speed": np.ones(1, np.float32)}


@pytest.mark.parametrize("name", ["unknown", "", "x" * 1000])
def test_only_known_architectures_have_dimensions(name: str) -> None:
    assert (architecture_named("full"), architecture_named("tiny")) == (FULL, TINY)
    with pytest.raises(ModelError, match="choose one of full, tiny"):
        architecture_named(name)


def test_the_full_architecture_has_kokoros_parameters() -> None:
    shapes = parameters(FULL)
    assert sum(map(prod, shapes.values())) == 81_810_022
    assert sum(prod(shapes[name]) for name in UNREAD_PARAMETERS) == 590_592


def test_every_parameter_but_the_unread_ones_is_in_the_graph(tiny: onnx.ModelProto) -> None:
    state = seeded_state(TINY, 0)
    held = {tensor.name for tensor in tiny.graph.initializer}
    assert set(fold(state)) <= held
    assert not held & set(UNREAD_PARAMETERS)


def test_every_process_makes_the_same_bytes() -> None:
    made = (
        "import hashlib; from kokoro_lab.models.graph.architecture import TINY;"
        "from kokoro_lab.models.graph.model_graph import build;"
        "from kokoro_lab.models.graph.weights import seeded_state;"
        "print(hashlib.sha256(build(TINY, seeded_state(TINY, 1)).SerializeToString(deterministic=True)).hexdigest())"
    )
    sums = {
        subprocess.run(
            [sys.executable, "-c", made],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(sums) == 1


def test_three_inputs_are_required_and_two_may_be_fed(tiny: onnx.ModelProto) -> None:
    session = _session(tiny)
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("tokens", "tensor(int64)", [1, "T"]),
        ("style", "tensor(float)", [1, 256]),
        ("speed", "tensor(float)", [1]),
    ]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("audio", "tensor(float)", ["S"]),
        ("duration", "tensor(int64)", ["T"]),
    ]
    assert {i.name for i in session.get_overridable_initializers()} == {"seed", "noise_scale"}


@pytest.mark.parametrize("arch", [TINY, pytest.param(FULL, marks=pytest.mark.slow)], ids=lambda arch: arch.name)
def test_the_graph_is_checked_whole_and_every_rank_is_static(arch: Architecture) -> None:
    model = build(arch, seeded_state(arch, 0))
    onnx.checker.check_model(model, full_check=True)
    assert not FORBIDDEN & {node.op_type for node in model.graph.node}
    assert not [node.op_type for node in model.graph.node if node.op_type.startswith("Random")]
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    known = {info.name: info.type.tensor_type for info in (*inferred.graph.value_info, *inferred.graph.output)}
    outputs = [name for node in model.graph.node for name in node.output]
    assert [name for name in outputs if name not in known or not known[name].HasField("shape")] == []


def test_the_stages_in_a_row_give_what_the_whole_gives(tiny: onnx.ModelProto) -> None:
    tensors: dict[str, NDArray[Any]] = _call(40)
    audio, duration = _session(tiny).run(["audio", "duration"], tensors)
    for stage in STAGES:
        session = _session(build_stage(TINY, seeded_state(TINY, 0), stage.name))
        results = session.run(list(stage.outputs), {name: tensors[name] for name in stage.inputs})
        tensors |= dict(zip(stage.outputs, results, strict=True))
    np.testing.assert_array_equal(tensors["duration"], duration)
    np.testing.assert_allclose(tensors["audio"], audio, atol=1e-5)


@pytest.mark.parametrize("tokens", [3, 40, 512])
def test_a_frame_is_600_samples_at_any_length(tiny: onnx.ModelProto, tokens: int) -> None:
    audio, duration = _session(tiny).run(["audio", "duration"], _call(tokens))
    assert duration.shape == (tokens,)
    assert duration.min() >= 1
    assert len(audio) == 600 * duration.sum()


def test_speed_divides_durations(tiny: onnx.ModelProto) -> None:
    session, call = _session(tiny), _call(200)
    slow, plain = (
        session.run(["duration"], call | {"speed": np.asarray([speed], np.float32)})[0].sum() for speed in (0.5, 1.0)
    )
    assert 1.6 < slow / plain < 2.4


def test_the_same_seed_gives_the_same_samples_in_every_run_and_session(tiny: onnx.ModelProto) -> None:
    call = _call(60)
    sessions = [_session(tiny), _session(tiny)]
    runs = [session.run(["audio"], call)[0] for session in sessions for _ in range(3)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])


def test_another_seed_gives_another_noise_and_none_without_noise(tiny: onnx.ModelProto) -> None:
    session, call = _session(tiny), _call(60)

    def audio(seed: int, noise: float) -> NDArray[np.float32]:
        extra = {"seed": np.asarray(seed, np.int64), "noise_scale": np.asarray(noise, np.float32)}
        result: NDArray[np.float32] = session.run(["audio"], call | extra)[0]
        return result

    assert not np.array_equal(audio(0, 1.0), audio(1, 1.0))
    assert not np.array_equal(audio(0, 1.0), audio(TABLE_ROWS - 1, 1.0))
    np.testing.assert_array_equal(audio(0, 0.0), audio(1, 0.0))
    np.testing.assert_array_equal(audio(0, 1.0), session.run(["audio"], call)[0])


def test_the_noise_is_gaussian_and_does_not_repeat_within_30_seconds(tiny: onnx.ModelProto) -> None:
    tables = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tiny.graph.initializer}
    noise = tables["noise.gaussian"].reshape(-1)
    assert len(noise) > 30 * 24_000
    assert abs(noise.mean()) < 0.005
    assert noise.std() == pytest.approx(1.0, abs=0.005)
    assert np.mean(noise**4) == pytest.approx(3.0, abs=0.05)
    spectrum = np.fft.rfft(noise)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2) / len(noise)
    assert np.abs(correlation[1 : len(noise) // 2]).max() < 0.01
    assert (tables["noise.phases"][:, 0] == 0).all()
    assert tables["noise.phases"][:, 1:].std() == pytest.approx(12**-0.5, abs=0.01)


def test_the_phase_stays_exact_over_the_longest_call() -> None:
    steps = 2 * 50 * 512  # every token lasts as long as it can
    rng = np.random.default_rng(0)
    hertz = np.abs(150 + np.cumsum(rng.standard_normal(steps))) * np.arange(1, 10)[:, None]
    per_step = (hertz * 300 / 24_000 % 300).astype(np.float32)
    g = GraphBuilder({})
    g.input("per_step", np.float32, (9, "steps"))
    g.op("Identity", _summed_turns(g, "per_step"), name="turns")
    g.output("turns", np.float32, (9, "steps"))
    (turns,) = _session(g.model("phase", {})).run(["turns"], {"per_step": per_step})
    exact = np.cumsum(per_step.astype(np.float64), axis=1)
    error = (turns - exact + 0.5) % 1.0 - 0.5
    assert np.abs(error).max() < 1e-5


def test_a_missing_parameter_is_named() -> None:
    state = seeded_state(TINY, 0)
    del state["predictor.F0_proj.weight"]
    with pytest.raises(KeyError, match=r"predictor\.F0_proj\.weight"):
        build(TINY, state)


def test_the_stand_in_sounds_like_speech_in_level_pace_and_pitch(tmp_path: Path) -> None:
    model = build(TINY, seeded_state(TINY, 2))
    _assert_healthy(_session(model), _call(150))


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_full_stand_in_is_healthy_for_every_seed(seed: int) -> None:
    _assert_healthy(_session(build(FULL, seeded_state(FULL, seed))), _call(80))


def _assert_healthy(session: onnxruntime.InferenceSession, call: dict[str, NDArray[Any]]) -> None:
    audio, duration = session.run(["audio", "duration"], call)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0
    assert -32 < 20 * np.log10(audio.std()) < -20, "dBFS"
    assert 1.7 < duration.mean() < 3.5, "frames a token"
    assert len(set(duration.tolist())) >= 2


@pytest.mark.full
def test_the_full_stand_ins_pitch_is_a_voices() -> None:
    state = seeded_state(FULL, 2)
    call = _call(80)
    text = _session(build_stage(FULL, state, "text"))
    prosody_text, frame_token = text.run(["prosody_text", "frame_token"], call)
    inputs = {"prosody_text": prosody_text, "frame_token": frame_token, "style": call["style"]}
    (f0,) = _session(build_stage(FULL, state, "prosody")).run(["f0"], inputs)
    assert f0.min() > 100
    assert f0.max() < 250


def test_weights_are_the_same_for_the_same_seed_and_differ_for_another() -> None:
    first, again, other = (seeded_state(TINY, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["bert_encoder.weight"], other["bert_encoder.weight"])


def test_weight_normalisation_is_folded_exactly() -> None:
    state = seeded_state(TINY, 0)
    name = "decoder.generator.ups.0"
    gain, direction = state[f"{name}.weight_g"], state[f"{name}.weight_v"]
    folded = fold(state)[f"{name}.weight"]
    np.testing.assert_allclose(np.linalg.norm(folded, axis=(1, 2)), gain[:, 0, 0], rtol=1e-5)
    cosine = (folded * direction).sum() / np.linalg.norm(folded) / np.linalg.norm(direction)
    assert cosine == pytest.approx(1.0, abs=0.01)
