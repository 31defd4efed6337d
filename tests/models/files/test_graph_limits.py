"""What a graph would become is known before anything opens it."""

from __future__ import annotations

import time
from pathlib import Path

import hostile_models
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from kokoro_lab.errors import ModelError
from kokoro_lab.models.files.graph_limits import check_graph, tensor_bytes
from kokoro_lab.models.files.onnxfile import parse_onnx


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("function_bomb", "expands to more than 50,000 nodes"),
        ("circular_functions", "call each other without end"),
        ("nested_if", "nested too deeply"),
        ("wide_graph", "expands to more than 50,000 nodes"),
        ("claimed_tensor", r"'w' has 1.1e\+13 values"),
        ("sparse_tensor", "sparse tensors"),
    ],
)
def test_a_hostile_graph_is_refused_at_once(name: str, problem: str) -> None:
    data = hostile_models.HOSTILE[name]().SerializeToString()
    began = time.process_time()
    with pytest.raises(ModelError, match=problem):
        parse_onnx(data, "hostile.onnx")
    assert time.process_time() - began < 10.0


@pytest.mark.parametrize("levels", [25, 39, 60, 500])
def test_a_function_bomb_of_any_height_is_refused(levels: int) -> None:
    with pytest.raises(ModelError, match=r"expands to more|call each other"):
        check_graph(hostile_models.function_bomb(levels), "bomb")


@pytest.mark.parametrize("outside", [False, True])
def test_a_tensor_of_a_subgraph_is_in_the_file(outside: bool) -> None:
    """Nobody would look for the file that holds it, neither to hash it nor to drop it from the page cache."""
    model = hostile_models.nested_if(2)
    (branch, *_) = [attribute.g for node in model.graph.node for attribute in node.attribute if attribute.HasField("g")]
    tensor = numpy_helper.from_array(np.ones(2, "f4"), "w")
    if outside:
        set_external_data(tensor, "elsewhere.data")
        tensor.ClearField("raw_data")
    branch.initializer.append(tensor)
    if not outside:
        check_graph(model, "branches")
        return
    with pytest.raises(ModelError, match="has a tensor of a subgraph outside of the file; export it again"):
        check_graph(model, "branches")


def test_ordinary_functions_and_branches_pass() -> None:
    check_graph(hostile_models.function_bomb(10), "functions")
    check_graph(hostile_models.nested_if(8), "branches")


@pytest.mark.parametrize(
    "array",
    [np.ones((2, 3), kind) for kind in ("f4", "f8", "f2", "i1", "u1", "i8", "i4", "u2", "u4", "u8", "?", "c8", "c16")]
    + [np.ones((0, 5), "f4"), np.array(1.0, "f4")],
)
def test_a_tensor_has_as_many_bytes_as_its_shape(array: np.ndarray) -> None:
    raw = numpy_helper.from_array(array, "w")
    listed = helper.make_tensor("w", raw.data_type, array.shape, array.ravel().tolist())
    for tensor in (raw, listed):
        assert tensor_bytes(tensor) == array.nbytes
        model = hostile_models.plain()
        model.graph.initializer.append(tensor)
        check_graph(model, "tensor")
        model.graph.initializer[0].dims.append(2)
        if array.size:
            with pytest.raises(ModelError, match="'w' is damaged"):
                check_graph(model, "tensor")


@pytest.mark.parametrize(("dims", "kind"), [([-1], TensorProto.FLOAT), ([2], 99), ([2], TensorProto.UNDEFINED)])
def test_an_impossible_tensor_is_refused(dims: list[int], kind: int) -> None:
    with pytest.raises(ModelError, match="impossible shape or type"):
        tensor_bytes(onnx.TensorProto(name="w", dims=dims, data_type=kind))


def test_only_one_place_parses_onnx_files() -> None:
    package = Path(__file__).parents[3] / "kokoro_lab"
    words = ("onnx.load(", "load_model_from_string", "onnx.load_model", "ParseFromString(", "np.load(", "pickle.load")
    rooms = [*package.glob("models/**/*.py"), *package.glob("runtime/**/*.py"), *package.glob("engine/*.py")]
    users = {path.name for path in rooms if any(word in path.read_text("utf-8") for word in words)}
    # The probe reads an archive that its own parent has written.
    assert users == {"onnxfile.py", "provider_probe.py"}


@pytest.mark.parametrize("old", [b"speed", b"audio", b"doubled", b"Add", b"author"])
def test_names_that_are_no_text_are_refused(old: bytes) -> None:
    model = hostile_models.kokoro_like([helper.make_node("Add", ["style", "style"], ["audio"], "doubled")])
    helper.set_model_props(model, {"author": "nobody"})
    data = model.SerializeToString()
    parse_onnx(data, "sound.onnx")
    assert old in data
    with pytest.raises(ModelError, match=r"hostile\.onnx"):
        parse_onnx(data.replace(old, b"\xff" * len(old)), "hostile.onnx")
