"""The writer of graphs: names that follow scopes, constants stored once, inputs in the order a caller needs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from variant_inputs import run

from kokoro_lab.models.graph.builder import IR_VERSION, OPSET, GraphBuilder


def test_names_follow_the_scope_and_are_never_given_twice() -> None:
    g = GraphBuilder({})
    with g.scope("outer"):
        first = g.op("Abs", "x")
        with g.scope("inner"):
            second = g.op("Abs", first)
        third = g.op("Abs", second)
    assert (first, second, third, g.op("Abs", third)) == ("outer/Abs", "outer/inner/Abs", "outer/Abs_1", "Abs")


def test_a_scope_ends_when_its_block_fails() -> None:
    g = GraphBuilder({})
    with pytest.raises(RuntimeError), g.scope("outer"):
        raise RuntimeError
    assert g.op("Abs", "x") == "Abs"


def test_equal_constants_share_one_initializer_and_types_are_told_apart() -> None:
    g = GraphBuilder({})
    assert g.ints([1, 2]) == g.ints([1, 2])
    assert len({g.ints([1]), g.ints(1), g.floats(1), g.floats([1.0])}) == 4
    assert g.constant(0, np.int32) != g.constant(0, np.float32), "their bytes are the same"
    assert len(g.model("m", {}).graph.initializer) == 7


def test_only_weights_that_a_node_asked_for_enter_the_graph_each_once() -> None:
    g = GraphBuilder({"read": np.ones(2, np.float32), "unread": np.ones(2, np.float32)})
    assert (g.has_weight("unread"), g.has_weight("absent")) == (True, False)
    assert g.weight("read") == g.weight("read") == "read"
    with pytest.raises(KeyError):
        g.weight("absent")
    assert [tensor.name for tensor in g.model("m", {}).graph.initializer] == ["read"]


def test_a_model_runs_with_an_overridable_input_fed_and_left_out() -> None:
    g = GraphBuilder({"weight": np.array([10.0, 20.0], np.float32)})
    g.overridable("gain", np.asarray(2.0, np.float32))
    g.input("x", np.float32, ("N",))
    g.op("Mul", g.op("Add", "x", g.weight("weight")), "gain", name="y")
    g.output("y", np.float32, ("N",))
    g.boundary("Add", np.float32, ("N",))
    model = g.model("small", {"origin": "test"})
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.input] == ["x", "gain"], "required inputs come first"
    assert [info.name for info in model.graph.value_info] == ["Add"]
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"origin": "test"}
    x = np.array([1.0, 2.0], np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert list(session.run(["y"], {"x": x})[0]) == [22.0, 44.0]
    assert list(session.run(["y"], {"x": x, "gain": np.asarray(1.0, np.float32)})[0]) == [11.0, 22.0]


def test_an_output_that_is_a_boundary_too_is_declared_once() -> None:
    g = GraphBuilder({})
    g.input("x", np.float32, (2,))
    g.op("Abs", "x", name="y")
    g.boundary("y", np.float32, (2,))
    g.output("y", np.float32, (2,))
    assert not g.model("m", {}).graph.value_info


def test_a_node_of_several_outputs_has_a_name_for_each() -> None:
    g = GraphBuilder({})
    g.input("x", np.float32, (1, 4))
    left, right = g.ops("Split", "x", outputs=2, axis=1, num_outputs=2)
    g.op("Sub", right, left, name="y")
    g.output("y", np.float32, (1, 2))
    x = np.array([[1.0, 2.0, 5.0, 9.0]], np.float32)
    assert run(g.model("m", {}), {"x": x})["y"].tolist() == [[4.0, 7.0]]
