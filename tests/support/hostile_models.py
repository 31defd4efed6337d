"""ONNX files with the contract of a Kokoro model that were made to crash, hang or fill whatever opens them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
INPUTS = [
    helper.make_tensor_value_info("tokens", INT64, [1, "T"]),
    helper.make_tensor_value_info("style", FLOAT, [1, 256]),
    helper.make_tensor_value_info("speed", FLOAT, [1]),
]
OUTPUTS = [helper.make_tensor_value_info("audio", FLOAT, None)]


def kokoro_like(
    nodes: Sequence[onnx.NodeProto], initializers: Sequence[onnx.TensorProto] = (), functions: Sequence = (), **settings
) -> onnx.ModelProto:
    """A model of these nodes, which must make `audio`."""
    graph = helper.make_graph(list(nodes), "hostile", INPUTS, OUTPUTS, list(initializers))
    opsets = settings.pop("opsets", [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)])
    return helper.make_model(graph, functions=list(functions), opset_imports=opsets, ir_version=8, **settings)


def tensor(name: str, *values: int, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, kind), name)


def plain() -> onnx.ModelProto:
    """Harmless: it doubles the style."""
    return kokoro_like([helper.make_node("Add", ["style", "style"], ["audio"])])


def function_bomb(levels: int = 25) -> onnx.ModelProto:
    """Each function calls the one below twice: two to the power of `levels` nodes."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    functions = [helper.make_function("mine", "f0", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], opsets)]
    for level in range(1, levels):
        calls = [helper.make_node(f"f{level - 1}", [a], [b], domain="mine") for a, b in (("x", "m"), ("m", "y"))]
        functions.append(helper.make_function("mine", f"f{level}", ["x"], ["y"], calls, opsets))
    return kokoro_like([helper.make_node(f"f{levels - 1}", ["style"], ["audio"], domain="mine")], (), functions)


def circular_functions() -> onnx.ModelProto:
    """Two functions that call each other."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("mine", 1)]
    functions = [
        helper.make_function("mine", a, ["x"], ["y"], [helper.make_node(b, ["x"], ["y"], domain="mine")], opsets)
        for a, b in (("f", "g"), ("g", "f"))
    ]
    return kokoro_like([helper.make_node("f", ["style"], ["audio"], domain="mine")], (), functions)


def nested_if(levels: int = 30) -> onnx.ModelProto:
    """A condition within a condition, many times."""
    node = helper.make_node("Add", ["style", "style"], ["audio"])
    for level in range(levels):
        output = [helper.make_tensor_value_info(node.output[0], FLOAT, None)]
        graph = helper.make_graph([node], f"branch{level}", [], output)
        name = "audio" if level == levels - 1 else f"out{level}"
        node = helper.make_node("If", ["yes"], [name], then_branch=graph, else_branch=graph)
        if level >= 10:  # two branches each would be a billion graphs
            del node.attribute[1:]
            other = helper.make_graph(
                [helper.make_node("Identity", ["style"], ["same"])], "other", [],
                [helper.make_tensor_value_info("same", FLOAT, None)],
            )  # fmt: skip
            node.attribute.append(helper.make_attribute("else_branch", other))
    return kokoro_like([node], [numpy_helper.from_array(np.array(True), "yes")])


def endless_loop() -> onnx.ModelProto:
    """A loop whose condition stays true, for as many rounds as there are."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("x", FLOAT, None),
        ],
        [helper.make_tensor_value_info("still", BOOL, []), helper.make_tensor_value_info("y", FLOAT, None)],
    )
    return kokoro_like(
        [helper.make_node("Loop", ["most", "yes", "style"], ["audio"], body=body)],
        [numpy_helper.from_array(np.array(2**62), "most"), numpy_helper.from_array(np.array(True), "yes")],
    )


def giant_constant(values: int = 1 << 34) -> onnx.ModelProto:
    """A constant that is written as its shape, and made when the graph is optimised."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"], value=tensor("v", 1, kind=np.float32)),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["style", "sum"], ["audio"]),
    ]
    return kokoro_like(nodes, [tensor("shape", values)])


def giant_expansion() -> onnx.ModelProto:
    """Sixteen values that are tiled into many."""
    nodes = [
        helper.make_node("Tile", ["few", "times"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("Add", ["style", "sum"], ["audio"]),
    ]
    return kokoro_like(nodes, [tensor("few", *range(16), kind=np.float32), tensor("times", 1 << 31)])


def claimed_tensor() -> onnx.ModelProto:
    """An initializer of 36 TiB, as its shape says."""
    model = kokoro_like([helper.make_node("Add", ["style", "w"], ["audio"])], [tensor("w", 1, kind=np.float32)])
    model.graph.initializer[0].dims[:] = [10 * 2**40]
    return model


def sparse_tensor() -> onnx.ModelProto:
    """One value in a sparse initializer of a terabyte."""
    model = kokoro_like([helper.make_node("Add", ["style", "w"], ["audio"])])
    model.graph.sparse_initializer.add(
        values=tensor("w", 1, kind=np.float32), indices=tensor("places", 5), dims=[1 << 40]
    )
    return model


def cyclic_graph() -> onnx.ModelProto:
    """Two nodes that need each other."""
    nodes = [helper.make_node("Add", ["style", "audio"], ["b"]), helper.make_node("Add", ["b", "b"], ["audio"])]
    return kokoro_like(nodes)


def duplicate_names() -> onnx.ModelProto:
    """Two nodes of one output, and two initializers of one name."""
    nodes = [helper.make_node("Add", ["style", "w"], ["audio"], name="n") for _ in range(2)]
    return kokoro_like(nodes, [tensor("w", 1, kind=np.float32), tensor("w", 2, kind=np.float32)])


def unknown_operator() -> onnx.ModelProto:
    """An operator of a library that is not loaded, with its path as an attribute."""
    node = helper.make_node("Mine", ["style"], ["audio"], domain="mine", library="/tmp/evil.so")
    model = kokoro_like([node])
    helper.set_model_props(model, {"ort_config": '{"custom_ops_library": "/tmp/evil.so"}', "library": "/tmp/evil.so"})
    return model


def impossible_version() -> onnx.ModelProto:
    """Operators of a version that does not exist."""
    opsets = [helper.make_opsetid("", 2**60), helper.make_opsetid("", -1)]
    return kokoro_like([helper.make_node("Add", ["style", "style"], ["audio"])], opsets=opsets)


def context_node() -> onnx.ModelProto:
    """A node that names a compiled file of a provider to load."""
    node = helper.make_node(
        "EPContext", ["style"], ["audio"], domain="com.microsoft", embed_mode=0, ep_cache_context="/etc/passwd"
    )
    return kokoro_like([node], opsets=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)])


def wide_graph(nodes: int = 60_000) -> onnx.ModelProto:
    """More nodes than any export has."""
    chain = ["style", *(f"x{i}" for i in range(nodes - 1)), "audio"]
    return kokoro_like([helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(chain)])


HOSTILE: dict[str, Callable[[], onnx.ModelProto]] = {
    each.__name__: each
    for each in (
        function_bomb, circular_functions, nested_if, endless_loop, giant_constant, giant_expansion, claimed_tensor,
        sparse_tensor, cyclic_graph, duplicate_names, unknown_operator, impossible_version, context_node, wide_graph,
    )
}  # fmt: skip


def empty_nodes(path: Path, count: int = 20_000_000) -> None:
    """Write a file whose every two bytes are a node, of which a parser makes a hundred bytes."""

    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes([*out, number])

    graph = b"\x0a\x00" * count
    path.write_bytes(b"\x08\x08" + b"\x3a" + varint(len(graph)) + graph)
