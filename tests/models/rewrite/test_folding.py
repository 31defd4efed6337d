from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from variant_inputs import call, off, run, stage_inputs

from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build, build_stage
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.adain_sites import find_sites
from kokoro_lab.models.rewrite.folding import optimize
from kokoro_lab.models.rewrite.polyphase import split_phases
from kokoro_lab.models.rewrite.surgery import Surgeon

LIMIT = 1e-4  # norm of the difference over the norm, a stage


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("stage", ["prosody", "decoder", "vocoder"])
def test_every_stage_says_the_same_when_optimised(stage: str, seed: int) -> None:
    model = build_stage(TINY, seeded_state(TINY, seed), stage)
    optimised = optimize(model)
    onnx.checker.check_model(optimised, full_check=True)
    before, after = run(model, stage_inputs(seed=seed)), run(optimised, stage_inputs(seed=seed))
    assert {name: off(before[name], after[name]) <= LIMIT for name in before} == dict.fromkeys(before, True)


def test_the_affine_passes_and_the_slopes_of_snake_are_gone() -> None:
    model = build_stage(TINY, seeded_state(TINY, 1), "vocoder")
    before = Counter(node.op_type for node in model.graph.node)
    after = Counter(node.op_type for node in optimize(model).graph.node)
    sites = len(find_sites(Surgeon(model)))
    assert sites == 48
    assert before["Mul"] - after["Mul"] == 3 * sites  # gamma, alpha, 1 / alpha
    assert after["Gemm"] == 1
    assert after["Reciprocal"] == 0


def test_durations_of_the_whole_graph_stay_to_the_frame_and_the_source_of_the_graph_is_untouched() -> None:
    model = build(TINY, seeded_state(TINY, 1))
    data = model.SerializeToString()
    before, after = run_default(model), run_default(optimize(model))
    np.testing.assert_array_equal(before["duration"], after["duration"])
    assert before["audio"].shape == after["audio"].shape
    assert model.SerializeToString() == data


def run_default(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    feeds = {**call(), "seed": np.asarray(0), "noise_scale": np.asarray(1.0, np.float32)}
    return run(model, feeds)


def test_a_slope_too_small_to_divide_by_is_left_where_it_is() -> None:
    state = seeded_state(TINY, 1)
    name = "decoder.generator.resblocks.0.alpha1.0"
    state[name][0, 0, 0] = 1e-5
    model = build_stage(TINY, state, "vocoder")
    optimised = optimize(model)
    assert name in {tensor.name for tensor in optimised.graph.initializer}
    assert off(run(model, stage_inputs())["audio"], run(optimised, stage_inputs())["audio"]) <= LIMIT


@pytest.mark.parametrize("frames", [1, 2, 21])
def test_upsampling_by_phases_gives_the_same_samples(frames: int) -> None:
    model = build_stage(TINY, seeded_state(TINY, 2), "vocoder")
    surgeon = Surgeon(model)
    assert split_phases(surgeon) == ["decoder.generator.ups.0", "decoder.generator.ups.1"]
    phased = surgeon.finish()
    inputs = stage_inputs(frames)
    assert off(run(model, inputs)["audio"], run(phased, inputs)["audio"]) <= LIMIT
    kinds = [node.op_type for node in phased.graph.node]
    assert kinds.count("ConvTranspose") == 1  # the inverse transform's


def test_surgery_drops_what_nothing_reads_and_sorts_what_it_adds() -> None:
    model = build_stage(TINY, seeded_state(TINY, 1), "decoder")
    surgeon = Surgeon(model)
    last = surgeon.maker("decoder_features")
    assert last is not None
    doubled = surgeon.put("two", np.asarray(2.0, np.float32))
    last.input[0] = surgeon.add("Mul", last.input[0], doubled)
    surgeon.add("Exp", "f0")
    changed = surgeon.finish({"note": "doubled"})
    onnx.checker.check_model(changed, full_check=True)
    assert "Exp" not in {node.op_type for node in changed.graph.node}
    assert {entry.key: entry.value for entry in changed.metadata_props}["note"] == "doubled"
    before, after = run(model, stage_inputs()), run(changed, stage_inputs())
    np.testing.assert_array_equal(2 * before["decoder_features"], after["decoder_features"])
