from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from variant_inputs import call, off, run, stage_inputs

from kokoro_lab.errors import ModelNotFoundError, SettingError
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build, build_stage
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.partition import BOUNDARY, fixed, split
from kokoro_lab.models.rewrite.quantize_dynamic import quantize_dynamic
from kokoro_lab.models.rewrite.quantize_static import (
    OFFSET,
    ActivationRange,
    conv_names,
    observed,
    prepare,
    quantize_static,
    ranges,
    selected,
)
from kokoro_lab.models.rewrite.quantize_weights import half_arithmetic, half_weights, packed_matrices
from kokoro_lab.models.rewrite.variant_recipes import (
    VariantRecipe,
    apply,
    load_recipe,
    recipe_names,
    static_convolutions,
)

DECIBELS = 22.0


@pytest.fixture(scope="module")
def whole() -> onnx.ModelProto:
    return build(TINY, seeded_state(TINY, 1))


def _full_call(tokens: int = 14) -> dict[str, np.ndarray]:
    return {**call(tokens), "seed": np.asarray(0), "noise_scale": np.asarray(1.0, np.float32)}


def _snr(reference: np.ndarray, candidate: np.ndarray) -> float:
    return -20 * float(np.log10(off(reference, candidate)))


def _vocoder(seed: int) -> onnx.ModelProto:
    return build_stage(TINY, seeded_state(TINY, seed), "vocoder")


def _quantised(model: onnx.ModelProto, convs: list[str]) -> onnx.ModelProto:
    prepared = prepare(model, convs)
    watched = observed(prepared, convs)
    reach: dict[str, ActivationRange] = {}
    for seed in range(4):  # four styles
        for name, found in ranges(run(watched, stage_inputs(40, seed=seed))).items():
            reach[name] = reach[name].joined(found) if name in reach else found
    return quantize_static(prepared, convs, reach)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_int8_vocoder_keeps_22_db_on_inputs_it_was_not_calibrated_on(seed: int) -> None:
    model = _vocoder(seed)
    convs = selected(conv_names(model), ["*resblocks*", "*noise_res*", "*ups*"])
    assert len(convs) == 50
    quantised = _quantised(model, convs)
    onnx.checker.check_model(quantised)
    inputs = stage_inputs(30, seed=9)
    snr = _snr(run(model, inputs)["audio"], run(quantised, inputs)["audio"])
    assert DECIBELS < snr < 60.0  # so exact would mean that nothing was quantised
    kinds = Counter(node.op_type for node in quantised.graph.node)
    assert kinds["QLinearConv"] == 50


def test_the_prepared_graph_is_the_fp32_graph_to_rounding() -> None:
    model = _vocoder(1)
    prepared = prepare(model, conv_names(model))
    assert off(run(model, stage_inputs())["audio"], run(prepared, stage_inputs())["audio"]) <= 1e-4


def test_a_decoder_in_int8_keeps_22_db() -> None:
    model = build_stage(TINY, seeded_state(TINY, 2), "decoder")
    convs = selected(conv_names(model), ["decoder.encode.*", "decoder.decode.*"])
    inputs = stage_inputs(40)
    name = "decoder_features"
    assert _snr(run(model, inputs)[name], run(_quantised(model, convs), inputs)[name]) > DECIBELS


def test_patterns_include_and_exclude() -> None:
    names = ["decoder.encode.conv1", "decoder.decode.0.conv1", "bert.x"]
    assert selected(names, ["decoder.*"], ["*.encode.*"]) == ["decoder.decode.0.conv1"]


def test_ranges_join_to_what_holds_both() -> None:
    joined = ActivationRange(np.asarray([-1.0, 0.0]), np.asarray([1.0, 2.0])).joined(
        ActivationRange(np.asarray([0.0, -3.0]), np.asarray([0.5, 4.0]))
    )
    np.testing.assert_array_equal(joined.low, [-1, -3])
    np.testing.assert_array_equal(joined.high, [1, 4])


def test_zero_points_put_silence_exactly_on_a_level() -> None:
    """What the convolution pads with has to be the activation's own zero, in every channel."""
    model = _vocoder(1)
    convs = selected(conv_names(model), ["*resblocks*"])
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in _quantised(model, convs).graph.initializer}
    scales = [name for name in tensors if name.endswith("/snake/whole/int8/scale")]
    assert scales
    for name in scales:
        root = name.removesuffix("/scale")
        steps = OFFSET / tensors[name]
        np.testing.assert_allclose(steps, np.rint(steps), rtol=1e-4)
        zeros = tensors[f"{root}/zeros"].astype(int)
        np.testing.assert_array_equal(zeros - int(tensors[f"{root}/zero"]), np.rint(steps).astype(int))


def test_half_weights_change_little_and_leave_text_prosody_and_source_alone(whole: onnx.ModelProto) -> None:
    halved = half_weights(whole)
    before, after = run(whole, _full_call()), run(halved, _full_call())
    np.testing.assert_array_equal(before["duration"], after["duration"])
    assert 0 < off(before["audio"], after["audio"]) < 0.02
    assert len(halved.SerializeToString()) < 0.95 * len(whole.SerializeToString())
    halves = {t.name for t in halved.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16}
    assert halves
    assert all(name.startswith("decoder.") for name in halves)


def test_half_arithmetic_keeps_durations_and_gives_float32_audio(whole: onnx.ModelProto) -> None:
    before, after = run(whole, _full_call()), run(half_arithmetic(whole), _full_call())
    np.testing.assert_array_equal(before["duration"], after["duration"])
    assert after["audio"].dtype == np.float32
    assert 0 < off(before["audio"], after["audio"]) < 0.05


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.01), (4, 0.12)])
def test_packed_matrices_come_back_as_the_same_products(bits: int, limit: float) -> None:
    model = build_stage(TINY, seeded_state(TINY, 1), "text")
    packed = packed_matrices(model, bits, ["bert.encoder.*.ffn*", "bert_encoder.*"])
    assert "MatMulNBits" in {node.op_type for node in packed.graph.node}
    before, after = run(model, call()), run(packed, call())
    assert 0 < off(before["prosody_text"], after["prosody_text"]) < limit
    assert after["text_encoding"].tobytes() == before["text_encoding"].tobytes()


def test_the_public_dynamic_recipe_runs_and_shrinks(whole: onnx.ModelProto) -> None:
    quantised = quantize_dynamic(whole)
    kinds = {node.op_type for node in quantised.graph.node}
    assert {"ConvInteger", "MatMulInteger"} <= kinds
    assert np.isfinite(run(quantised, _full_call())["audio"]).all()
    assert len(quantised.SerializeToString()) < 0.5 * len(whole.SerializeToString())


def test_the_two_halves_of_a_split_say_what_the_whole_says(whole: onnx.ModelProto) -> None:
    front, back = split(whole, TINY)
    onnx.checker.check_model(front, full_check=True)
    onnx.checker.check_model(back, full_check=True)
    handed = run(front, _full_call())
    assert set(handed) == {"duration", *BOUNDARY}
    audio = run(back, {**handed, **call()})["audio"]
    np.testing.assert_allclose(audio, run(whole, _full_call())["audio"], atol=1e-6)


def test_a_fixed_bucket_takes_exactly_its_tokens(whole: onnx.ModelProto) -> None:
    bucket = fixed(whole, {"T": 16})
    assert np.isfinite(run(bucket, _full_call(14))["audio"]).all()
    with pytest.raises(Exception, match="invalid dimensions"):
        run(bucket, _full_call(13))


def test_every_recipe_loads_under_its_own_name_and_only_those_of_kernels_need_them() -> None:
    recipes = [load_recipe(name) for name in recipe_names()]
    assert {"reference", "optimized", "int8", "int8-dynamic", "int8-decoder", "int8-vocoder", "fp16"} <= {
        recipe.name for recipe in recipes
    }
    assert [recipe.name for recipe in recipes] == recipe_names()
    assert all((recipe.kernels != "none") == recipe.name.startswith("kernels-") for recipe in recipes)


PLAIN = [name for name in recipe_names() if not name.startswith(("int8", "kernels")) or name == "int8-dynamic"]


@pytest.mark.parametrize("name", PLAIN)
def test_every_recipe_without_calibration_makes_valid_graphs(whole: onnx.ModelProto, name: str) -> None:
    made = apply(load_recipe(name), whole, TINY)
    assert set(made) == ({"front", "back"} if name == "split" else {""})
    for model in made.values():
        onnx.checker.check_model(model)


def test_static_int8_asks_for_ranges_and_for_patterns_that_fit(whole: onnx.ModelProto) -> None:
    with pytest.raises(SettingError, match="calibrated"):
        apply(load_recipe("int8"), whole, TINY)
    lost = VariantRecipe.model_validate({"name": "x", "summary": "", "static_int8": {"include": ["encoder.*"]}})
    with pytest.raises(SettingError, match="selects no convolution"):
        static_convolutions(lost, whole)


def test_no_recipe_of_static_int8_touches_what_lies_before_the_source(whole: onnx.ModelProto) -> None:
    for name in recipe_names():
        convs = static_convolutions(load_recipe(name), whole)
        assert all(conv.startswith("decoder.") for conv in convs)


def test_bad_recipes_say_every_mistake(tmp_path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: UPPER\nsumary: x\ntokens: 900\n", encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        load_recipe(str(path))
    assert all(word in caught.value.message for word in ("name", "summary", "sumary", "tokens"))
    with pytest.raises(ModelNotFoundError, match="int8"):
        load_recipe("nothing")
