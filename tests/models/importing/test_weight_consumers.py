"""Which weights a foreign graph's nodes read, in our graph's form, and which module each may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from kokoro_lab.models.importing.constant_folding import Constants
from kokoro_lab.models.importing.weight_consumers import ConsumedWeight, consumed_weights

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)  # [out, in]


def found(nodes: list[onnx.NodeProto], **initializers: NDArray[Any]) -> list[ConsumedWeight]:
    tensors = [numpy_helper.from_array(array, name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "graph", [], [], tensors)
    return consumed_weights(graph, Constants(graph))


def test_a_linear_layers_weight_is_out_by_in_however_it_was_exported() -> None:
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    turned = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    bias = np.zeros(2, np.float32)
    for node, stored in ((gemm, WEIGHT), (turned, WEIGHT.T), (product, WEIGHT.T)):
        (anchor,) = found([node], w=np.ascontiguousarray(stored), b=bias)
        assert anchor.leaf == "weight"
        np.testing.assert_array_equal(anchor.value, WEIGHT)
        assert anchor.sources == {"w"}


def test_an_lstm_has_three_weights() -> None:
    parts = {
        "ih": np.ones((2, 8, 3), np.float32),
        "hh": np.ones((2, 8, 2), np.float32),
        "b": np.ones((2, 16), np.float32),
    }
    node = helper.make_node("LSTM", ["x", "ih", "hh", "b"], ["y"], name="/model/text_encoder/lstm/LSTM")
    assert [(each.leaf, each.value.shape, each.paths) for each in found([node], **parts)] == [
        ("weight_ih", (2, 8, 3), ("text_encoder.lstm",)),
        ("weight_hh", (2, 8, 2), ("text_encoder.lstm",)),
        ("bias", (2, 16), ("text_encoder.lstm",)),
    ]


def test_products_of_two_activations_and_other_nodes_have_no_weight() -> None:
    nodes = [helper.make_node("MatMul", ["x", "z"], ["y"]), helper.make_node("Mul", ["x", "w"], ["v"])]
    assert found(nodes, w=WEIGHT) == []


def test_the_name_of_a_bias_is_surer_than_the_name_of_the_node() -> None:
    kernel = np.ones((4, 2, 3), np.float32)
    conv = helper.make_node(
        "Conv", ["x", "onnx::Conv_1", "kmodel.decoder.encode.conv1.bias"], ["y"], name="/decoder/other/Conv_2"
    )
    (anchor,) = found([conv], **{"onnx::Conv_1": kernel, "kmodel.decoder.encode.conv1.bias": np.ones(4, np.float32)})
    assert anchor.paths == ("decoder.encode.conv1", "kmodel.decoder.encode.conv1", "decoder.other")


def test_a_product_takes_the_name_of_the_bias_that_is_added_after_it() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="/bert/dense_3/MatMul"),
        helper.make_node("Add", ["bert.dense.bias", "product"], ["y"]),
    ]
    (anchor,) = found(nodes, w=np.ascontiguousarray(WEIGHT.T), **{"bert.dense.bias": np.zeros(2, np.float32)})
    assert anchor.paths == ("bert.dense",), "the repeat's number is no part of a module's path"


def test_a_weight_that_two_nodes_read_is_one_weight_with_the_paths_of_both() -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], [f"y{n}"], name=f"/layer{n}/Gemm", transB=1) for n in range(2)]
    (anchor,) = found(nodes, w=WEIGHT, b=np.zeros(2, np.float32))
    assert anchor.paths == ("layer0", "layer1")


def test_a_path_fits_a_parameter_of_its_leaf_that_ends_with_it() -> None:
    anchor = ConsumedWeight("weight", WEIGHT, ("generator.ups.0",), frozenset({"w"}), "digest")
    assert anchor.may_be("generator.ups.0.weight")
    assert anchor.may_be("decoder.generator.ups.0.weight")
    assert not anchor.may_be("decoder.generator.ups.0.bias")
    assert not anchor.may_be("decoder.generator.ups.1.weight")
    assert not anchor.may_be("decoder.othergenerator.ups.0.weight"), "a path begins at a dot"
