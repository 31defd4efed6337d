"""Surgery on a graph small enough to see: what is looked up, what is changed, what the finished model holds."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from variant_inputs import run

from kokoro_lab.models.rewrite.surgery import Surgeon

X = np.array([1.0, -2.0, 3.0], np.float32)


def model() -> onnx.ModelProto:
    """y = relu(x + bias) * scale, and a side branch that nothing reads."""
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "bias"], ["sum"], name="add"),
            helper.make_node("Relu", ["sum"], ["positive"], name="relu"),
            helper.make_node("Mul", ["positive", "scale"], ["y"], name="scaled"),
            helper.make_node("Neg", ["sum"], ["unread"], name="side"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [
            numpy_helper.from_array(np.ones(3, np.float32), "bias"),
            numpy_helper.from_array(np.asarray(2.0, np.float32), "scale"),
        ],
        value_info=[helper.make_tensor_value_info("positive", TensorProto.FLOAT, [3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(made, {"origin": "test"})
    return made


def y(changed: onnx.ModelProto) -> list[float]:
    onnx.checker.check_model(changed, full_check=True)
    return list(run(changed, {"x": X})["y"])


def kinds(changed: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in changed.graph.node]


def test_a_tensor_knows_its_maker_and_its_readers() -> None:
    surgeon = Surgeon(model())
    relu = surgeon.reader("positive", "Mul")
    assert relu is not None and relu.name == "scaled"
    assert [node.name for node in surgeon.readers("sum")] == ["relu", "side"]
    assert surgeon.reader("sum", "Relu") is None, "two nodes read it"
    assert surgeon.reader("positive", "Add") is None, "its reader is of another kind"
    maker = surgeon.maker("sum")
    assert maker is not None and maker.name == "add"
    assert surgeon.maker("x") is None and surgeon.maker("bias") is None
    assert surgeon.is_constant("bias") and not surgeon.is_constant("sum")
    with pytest.raises(KeyError):
        surgeon.array("sum")


def test_nothing_done_gives_the_same_answers_without_what_nothing_reads() -> None:
    source = model()
    before = source.SerializeToString()
    same = Surgeon(source).finish({"note": "same"})
    assert y(same) == y(source) == [4.0, 0.0, 8.0]
    assert kinds(same) == ["Add", "Relu", "Mul"]
    assert {entry.key: entry.value for entry in same.metadata_props} == {"origin": "test", "note": "same"}
    assert source.SerializeToString() == before


def test_a_redirected_tensor_is_read_in_place_of_the_old_one_and_the_node_added_last_runs_first() -> None:
    source = model()
    surgeon = Surgeon(source)
    absolute = surgeon.add("Abs", "sum")
    surgeon.redirect("positive", absolute)
    assert [node.name for node in surgeon.readers(absolute)] == ["scaled"]
    assert surgeon.readers("positive") == []
    changed = surgeon.finish()
    assert y(changed) == [4.0, 2.0, 8.0]
    assert kinds(changed) == ["Add", "Abs", "Mul"]
    assert y(source) == [4.0, 0.0, 8.0], "the model handed in is not changed"


def test_a_constant_that_is_put_replaces_the_one_of_its_name_and_unread_ones_are_left_out() -> None:
    surgeon = Surgeon(model())
    surgeon.put("bias", np.full(3, 10, np.float32))
    surgeon.put("stray", np.zeros(1000, np.float32))
    assert list(surgeon.array("bias")) == [10.0] * 3
    changed = surgeon.finish()
    assert y(changed) == [22.0, 16.0, 26.0]
    assert sorted(tensor.name for tensor in changed.graph.initializer) == ["bias", "scale"]


def test_a_dropped_node_is_gone_and_what_it_made_has_no_maker() -> None:
    surgeon = Surgeon(model())
    relu = surgeon.maker("positive")
    assert relu is not None
    surgeon.redirect("positive", "sum")
    surgeon.drop(relu)
    assert surgeon.maker("positive") is None
    assert [node.name for node in surgeon.readers("sum")] == ["scaled", "side"]
    assert y(surgeon.finish()) == [4.0, -2.0, 8.0]


def test_an_exposed_tensor_is_an_output_too_and_keeps_its_nodes_alive() -> None:
    surgeon = Surgeon(model())
    surgeon.expose("unread", [3])
    assert list(run(surgeon.finish(), {"x": X})["unread"]) == [-2.0, 1.0, -4.0]


def test_a_retyped_tensor_loses_its_declared_type_and_another_keeps_it() -> None:
    assert [info.name for info in Surgeon(model()).finish().graph.value_info] == ["positive"]
    surgeon = Surgeon(model())
    surgeon.retype(["positive"])
    assert not surgeon.finish().graph.value_info
