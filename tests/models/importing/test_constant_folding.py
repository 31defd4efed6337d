"""Constants of a foreign graph: every operation as onnxruntime does it, and bounds that a hostile graph cannot pass."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kokoro_lab.errors import ModelError
from kokoro_lab.models.importing import constant_folding
from kokoro_lab.models.importing.constant_folding import OPERATIONS, Constants
from kokoro_lab.models.importing.weight_consumers import consumed_weights

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


def ints(*values: int) -> NDArray[np.int64]:
    return np.asarray(values, np.int64)


def graph_of(nodes: list[onnx.NodeProto], **initializers: NDArray[Any]) -> onnx.GraphProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in initializers.items()]
    fed = helper.make_tensor_value_info("fed", TensorProto.FLOAT, [2, 3, 4])
    return helper.make_graph(
        nodes, "graph", [fed], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors
    )


def computed(graph: onnx.GraphProto) -> NDArray[Any]:
    """What onnxruntime gives for `y`."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    del copy.output[:]
    copy.output.append(onnx.ValueInfoProto(name="y"))
    model = helper.make_model(copy, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"fed": X})[0])


CASES: list[tuple[str, list[NDArray[Any] | None], dict[str, Any]]] = [
    ("Abs", [X], {}),
    ("Add", [X, X[:1]], {}),
    ("Cast", [X], {"to": TensorProto.FLOAT16}),
    ("Concat", [X, X[:, :1]], {"axis": 1}),
    ("Constant", [], {"value": numpy_helper.from_array(X)}),
    ("Constant", [], {"value_ints": [3, 1]}),
    ("DequantizeLinear", [np.arange(12, dtype=np.uint8).reshape(3, 4), np.float32(0.5), np.uint8(3)], {}),
    ("DequantizeLinear", [np.arange(12, dtype=np.int8).reshape(3, 4), np.float32([1, 2, 3]), np.int8([0, 1, 2])],
     {"axis": 0}),
    ("DequantizeLinear", [np.arange(12, dtype=np.int8).reshape(3, 4), np.float32([1, 2, 3, 4])], {"axis": 1}),
    ("Div", [X, 2 + np.abs(X)], {}),
    ("Gather", [X, ints(1, 0, 1)], {"axis": 1}),
    ("Identity", [X], {}),
    ("Mul", [X, X[0, 0]], {}),
    ("Pow", [np.abs(X), np.float32(2)], {}),
    ("ReduceL2", [X, ints(1, 2)], {"keepdims": 1}),
    ("ReduceL2", [X, ints(-1)], {"keepdims": 0}),
    ("ReduceL2", [X], {}),
    ("ReduceSum", [X, ints(0)], {"keepdims": 0}),
    ("Reshape", [X, ints(0, -1)], {}),
    ("Slice", [X, ints(1), ints(3), ints(1)], {}),
    ("Slice", [X, ints(-1, 3), ints(-100, 0), ints(1, 2), ints(-1, -2)], {}),
    ("Slice", [X, ints(0, 1), ints(1, 100)], {}),
    ("Sqrt", [np.abs(X)], {}),
    ("Squeeze", [X[:1], ints(0)], {}),
    ("Squeeze", [X[:1]], {}),
    ("Sub", [X, X[0]], {}),
    ("Transpose", [X], {"perm": [2, 0, 1]}),
    ("Transpose", [X], {}),
    ("Unsqueeze", [X, ints(0, 2)], {}),
]  # fmt: skip


def test_every_operation_is_tried() -> None:
    assert {kind for kind, *_ in CASES} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_operation_gives_what_onnxruntime_gives(
    kind: str, inputs: list[NDArray[Any]], attributes: dict[str, Any]
) -> None:
    names = [f"input_{place}" for place in range(len(inputs))]
    node = helper.make_node(kind, names, ["y"], **attributes)
    graph = graph_of([node], **{name: np.asarray(array) for name, array in zip(names, inputs, strict=True)})
    expected, got = computed(graph), Constants(graph).value("y")
    assert got.shape == expected.shape and got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_constants_follow_from_constants_and_from_nothing_that_is_fed() -> None:
    nodes = [
        helper.make_node("Mul", ["weight", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "fed"], ["y"]),
        helper.make_node("Identity", ["y"], ["after"]),
        helper.make_node("Tanh", ["weight"], ["unknown operation"]),
        helper.make_node("Abs", ["weight"], ["foreign"], domain="com.example"),
    ]
    constants = Constants(graph_of(nodes, weight=X, scale=np.float32(3)))
    assert constants.names == ["weight", "scale", "scaled"]
    assert "y" not in constants and "after" not in constants and "fed" not in constants
    np.testing.assert_allclose(constants.value("scaled"), 3 * X)
    assert constants.sources("scaled") == {"weight", "scale"}
    assert constants.sources("weight") == {"weight"}
    with pytest.raises(KeyError):
        constants.value("y")


def test_weight_normalisation_is_worked_out_through_all_its_nodes() -> None:
    nodes = [
        helper.make_node("ReduceL2", ["v", "axes"], ["norm"], keepdims=1),
        helper.make_node("Div", ["v", "norm"], ["direction"]),
        helper.make_node("Mul", ["direction", "g"], ["y"]),
    ]
    gain = np.arange(1, 3, dtype=np.float32).reshape(2, 1, 1)
    constants = Constants(graph_of(nodes, v=X, g=gain, axes=ints(1, 2)))
    weight = constants.value("y")
    np.testing.assert_allclose(np.sqrt((weight**2).sum((1, 2))), [1, 2], rtol=1e-6)
    assert constants.sources("y") == {"v", "g", "axes"}


def test_inputs_that_do_not_fit_are_named_by_their_node() -> None:
    node = helper.make_node("Reshape", ["weight", "shape"], ["y"], name="torn")
    with pytest.raises(ModelError, match=r"'torn' \(Reshape\)"):
        Constants(graph_of([node], weight=X, shape=ints(5, 7))).value("y")


def test_a_tensor_that_grows_beyond_kokoros_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constant_folding, "MOST_VALUES", 100)
    row, column = np.ones((1, 20), np.float32), np.ones((20, 1), np.float32)
    product = graph_of([helper.make_node("Mul", ["row", "column"], ["y"], name="large")], row=row, column=column)
    with pytest.raises(ModelError, match="'large'"):
        Constants(product).value("y")
    rows = graph_of(
        [helper.make_node("Gather", ["table", "ids"], ["y"], name="large")],
        table=np.ones((5, 20), np.float32),
        ids=ints(*[0] * 6),
    )
    with pytest.raises(ModelError, match="'large'"):
        Constants(rows).value("y")
    with pytest.raises(ModelError, match="'big'"):
        Constants(graph_of([], big=np.ones(101, np.float32))).value("big")


def test_what_follows_from_much_together_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [helper.make_node("Identity", [f"step_{n}"], [f"step_{n + 1}"]) for n in range(10)]
    constants = Constants(graph_of(nodes, step_0=X))
    assert constants.value("step_10").nbytes == X.nbytes
    monkeypatch.setattr(constant_folding, "MOST_BYTES", 5 * X.nbytes)
    assert constants.value("step_3").nbytes == X.nbytes
    with pytest.raises(ModelError, match="memory"):
        constants.value("step_10")


def test_a_small_file_cannot_ask_for_endless_work() -> None:
    """A chain that each of a thousand convolutions reads from its start, and values repeated into large ones."""
    chain = [helper.make_node("Identity", [f"w{i}"], [f"w{i + 1}"]) for i in range(2000)]
    readers = [helper.make_node("Conv", ["x", "w2000"], [f"y{i}"]) for i in range(1000)]
    start = numpy_helper.from_array(np.ones((4, 4, 3), np.float32), "w0")
    graph = helper.make_graph([*chain, *readers], "work", [], [], [start])
    began = time.process_time()
    with pytest.raises(ModelError, match="takes more work than Kokoro's"):
        consumed_weights(graph, Constants(graph))
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("node", "arrays"),
    [
        (helper.make_node("Concat", ["a"] * 10_000, ["out"], axis=0), {"a": np.ones(1 << 16, np.float32)}),
        (
            helper.make_node("DequantizeLinear", ["a", "s", "z"], ["out"], axis=0),
            {"a": np.ones((1 << 16, 1), "i1"), "s": np.ones((1, 1 << 16), "f4"), "z": np.zeros((), "i1")},
        ),
        (helper.make_node("Constant", [], ["out"]), {}),
        (helper.make_node("Cast", ["a"], ["out"], to=8), {"a": np.ones(3, "f4")}),
        (helper.make_node("Unsqueeze", ["a"], ["out"], axes=list(range(100))), {"a": np.ones(3, "f4")}),
    ],
)
def test_operands_that_do_not_match_or_spread_out_are_an_error(
    node: onnx.NodeProto, arrays: dict[str, np.ndarray]
) -> None:
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    constants = Constants(helper.make_graph([node], "odd", [], [], tensors))
    with pytest.raises(ModelError, match="; "):
        constants.value("out")
