"""Weights in fewer bits: how far they may be off, which are left alone, and what the file then weighs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from variant_inputs import run

from kokoro_lab.models.rewrite.quantize_weights import BLOCK, LEAST_VALUES, half_weights, packed_matrices

WIDTH, OUT = 4 * BLOCK, 24


def linear(weight: NDArray[np.float32], name: str = "decoder.layer") -> onnx.ModelProto:
    """x [rows, in] -> y [rows, out], as `layers.linear` writes it."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", f"{name}.weight", f"{name}.bias"], ["product"], transB=1),
         helper.make_node("Identity", ["product"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, weight.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, weight.shape[0]])],
        [numpy_helper.from_array(weight, f"{name}.weight"),
         numpy_helper.from_array(np.linspace(-1, 1, weight.shape[0], dtype=np.float32), f"{name}.bias")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def weights_as_computed(model: onnx.ModelProto, width: int) -> NDArray[np.float32]:
    """[out, in]: each unit vector through the layer, less the bias."""
    bias = run(model, {"x": np.zeros((1, width), np.float32)})["y"]
    return np.asarray((run(model, {"x": np.eye(width, dtype=np.float32)})["y"] - bias).T)


@pytest.mark.parametrize(("bits", "steps"), [(8, 127), (4, 7)])
def test_a_packed_weight_is_off_by_at_most_half_a_step_of_its_block(bits: int, steps: int) -> None:
    weight = random(OUT, WIDTH) * np.geomspace(0.01, 100, WIDTH).astype(np.float32)
    packed = packed_matrices(linear(weight), bits, ["decoder.*"])
    assert "MatMulNBits" in {node.op_type for node in packed.graph.node}
    got = weights_as_computed(packed, WIDTH)
    largest = np.abs(weight.reshape(OUT, -1, BLOCK)).max(axis=2)
    allowed = np.repeat(0.5 * largest / steps, BLOCK, axis=1).reshape(OUT, WIDTH)
    # onnxruntime may round the rows of a product with 8-bit weights too: a hundredth of the block's largest on top.
    assert np.all(np.abs(got - weight) <= allowed + 0.01 * np.repeat(largest, BLOCK, axis=1).reshape(OUT, WIDTH))
    assert np.abs(got - weight).max() > 0


def test_the_bias_stays_exact_and_eight_bits_are_closer_than_four() -> None:
    weight, x = random(OUT, WIDTH), random(5, WIDTH, seed=1)
    exact = run(linear(weight), {"x": x})["y"]
    off = {}
    for bits in (4, 8):
        model = packed_matrices(linear(weight), bits, ["decoder.*"])
        off[bits] = np.abs(run(model, {"x": x})["y"] - exact).mean()
        silence = run(model, {"x": np.zeros((1, WIDTH), np.float32)})["y"]
        np.testing.assert_array_equal(silence, np.linspace(-1, 1, OUT, dtype=np.float32)[None])
    assert 0 < off[8] < off[4] / 4


def test_a_matrix_of_another_width_or_another_name_is_left_as_it_is() -> None:
    for model in (linear(random(OUT, WIDTH - 1)), linear(random(OUT, WIDTH), "bert.layer")):
        packed = packed_matrices(model, 8, ["decoder.*"])
        assert [node.op_type for node in packed.graph.node] == ["Gemm", "Identity"]


def test_half_weights_are_rounded_once_and_take_half_the_room() -> None:
    weight = random(64, WIDTH)
    model = linear(weight)
    half = half_weights(model)
    stored = {tensor.name: tensor for tensor in half.graph.initializer}
    assert stored["decoder.layer.weight/half"].data_type == TensorProto.FLOAT16
    assert "decoder.layer.weight" not in stored
    assert stored["decoder.layer.bias"].data_type == TensorProto.FLOAT, "too small to be worth a Cast"
    np.testing.assert_array_equal(weights_of_cast(half), weight.astype(np.float16).astype(np.float32))
    assert len(half.SerializeToString()) < 0.6 * len(model.SerializeToString())


def weights_of_cast(model: onnx.ModelProto) -> NDArray[np.float32]:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("/half"))
    return numpy_helper.to_array(tensor).astype(np.float32)


def test_a_weight_beyond_float16_becomes_its_largest_number_and_not_infinity() -> None:
    weight = np.full((32, WIDTH), 1e6, np.float32)
    weight[1:] = -1e6
    assert weight.size >= LEAST_VALUES
    got = weights_of_cast(half_weights(linear(weight)))
    assert set(np.unique(got)) == {-65504.0, 65504.0}


def test_weights_outside_the_pattern_stay_float32() -> None:
    half = half_weights(linear(random(64, WIDTH), "bert.layer"))
    assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT}
