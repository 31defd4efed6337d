from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch_archive import save_object

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import TINY, UNREAD_PARAMETERS
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.state_dict import fold
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.importing.constant_folding import Constants
from kokoro_lab.models.importing.importer import folded_shapes, recover, recover_onnx
from kokoro_lab.models.importing.weight_consumers import consumed_weights

STATE = seeded_state(TINY, 5)
FOLDED = fold(STATE)


@pytest.fixture
def model() -> onnx.ModelProto:
    return build(TINY, STATE)


def _same(state: object) -> None:
    assert isinstance(state, dict)
    assert set(state) == set(FOLDED)
    for name, array in FOLDED.items():
        np.testing.assert_allclose(state[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


def _rename(model: onnx.ModelProto, change: Callable[[str], str]) -> None:
    names = {tensor.name: change(tensor.name) for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
    for info in model.graph.input:
        info.name = names.get(info.name, info.name)


def _matrices(model: onnx.ModelProto) -> set[str]:
    kinds = {"Conv", "ConvTranspose", "Gemm", "LSTM"}
    return {name for node in model.graph.node if node.op_type in kinds for name in node.input[1:2] if "weight" in name}


def test_folded_shapes_are_those_of_the_folded_state() -> None:
    assert folded_shapes(TINY) == {name: array.shape for name, array in FOLDED.items()}


def test_parameters_are_found_by_name_behind_a_wrapper(model: onnx.ModelProto) -> None:
    _rename(model, lambda name: f"kmodel.{name}" if name in FOLDED else name)
    recovered = recover_onnx(model, TINY)
    _same(recovered.state)
    assert recovered.precision == "fp32"
    assert all(name.startswith(("constant", "stft", "noise")) for name in recovered.unread)


def test_weights_that_folding_renamed_are_found_by_the_bias_or_by_the_node(
    model: onnx.ModelProto,
) -> None:
    renamed = {name: f"onnx::Weight_{index}" for index, name in enumerate(sorted(_matrices(model)))}
    assert len(renamed) > 80
    for node in model.graph.node:  # exporters put the module's path into the node's name
        if len(node.input) > 1 and node.input[1] in renamed:
            node.name = "/" + node.input[1].rpartition(".")[0].replace(".", "/", 1) + "/" + node.op_type
    _rename(model, lambda name: renamed.get(name, name))
    _same(recover_onnx(model, TINY).state)


def test_a_weight_normalisation_left_in_the_graph_is_worked_out(model: onnx.ModelProto) -> None:
    stem = "decoder.generator.conv_post"
    kept = [tensor for tensor in model.graph.initializer if tensor.name != f"{stem}.weight"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    halves = {f"{stem}.g": STATE[f"{stem}.weight_g"], f"{stem}.v": STATE[f"{stem}.weight_v"]}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in halves.items())
    nodes = [
        helper.make_node("ReduceL2", [f"{stem}.v", "axes"], ["norm"], keepdims=1),
        helper.make_node("Div", [f"{stem}.v", "norm"], ["direction"]),
        helper.make_node("Mul", ["direction", f"{stem}.g"], [f"{stem}.weight"]),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([1, 2]), "axes"))
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    _same(recover_onnx(model, TINY).state)


def test_float16_weights_are_read_as_what_they_were_rounded_to(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name in FOLDED:
            tensor.CopyFrom(numpy_helper.from_array(FOLDED[tensor.name].astype(np.float16), tensor.name))
    recovered = recover_onnx(model, TINY)
    assert recovered.precision == "fp16"
    name = "bert_encoder.weight"
    np.testing.assert_array_equal(recovered.state[name], FOLDED[name].astype(np.float16).astype(np.float32))


def test_a_missing_parameter_is_named_and_nothing_is_rebuilt(model: onnx.ModelProto) -> None:
    _rename(model, lambda name: "lost" if name == "text_encoder.embedding.weight" else name)
    with pytest.raises(ModelError, match=r"lacks text_encoder\.embedding\.weight"):
        recover_onnx(model, TINY)


def test_a_parameter_of_another_shape_is_another_model(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "text_encoder.embedding.weight":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((5, 32), np.float32), tensor.name))
    with pytest.raises(ModelError, match="another model"):
        recover_onnx(model, TINY)


def test_values_that_are_not_finite_are_refused(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "bert_encoder.bias":
            tensor.CopyFrom(numpy_helper.from_array(np.full(32, np.nan, np.float32), tensor.name))
    with pytest.raises(ModelError, match=r"not finite in bert_encoder\.bias"):
        recover_onnx(model, TINY)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("newer", [False, True])
def test_a_checkpoint_gives_the_same_parameters(tmp_path: Path, prefix: str, newer: bool) -> None:
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in STATE.items():
        part, _, rest = name.partition(".")
        if newer:
            rest = rest.replace(".weight_g", ".parametrizations.weight.original0")
            rest = rest.replace(".weight_v", ".parametrizations.weight.original1")
        parts.setdefault(part, {})[prefix + rest] = array
    parts["decoder"][f"{prefix}generator.stft.window"] = np.ones(4, np.float32)
    save_object(tmp_path / "k.pth", parts)
    recovered = recover(tmp_path / "k.pth", TINY)
    _same(recovered.state)
    assert recovered.contract is None
    assert set(recovered.unread) == {"decoder.generator.stft.window", *UNREAD_PARAMETERS}


def test_a_checkpoint_without_a_part_is_refused(tmp_path: Path) -> None:
    save_object(tmp_path / "k.pth", {"bert": {}})
    with pytest.raises(ModelError, match="not a Kokoro checkpoint"):
        recover(tmp_path / "k.pth", TINY)


def test_a_zip_bomb_is_refused_by_what_it_says_it_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("k/data.pkl", b"")
        archive.writestr("k/data/0", bytes(1 << 20))
        archive.infolist()[-1].file_size = 3 << 30
    with pytest.raises(ModelError, match="unpacks to more than"):
        recover(path, TINY)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08" * 50, bytes(5000)])
def test_a_foreign_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX model") as caught:
        recover(path, TINY)
    assert "\n" not in caught.value.message


def test_a_truncated_file_is_refused(tmp_path: Path, model: onnx.ModelProto) -> None:
    path = tmp_path / "cut.onnx"
    data = model.SerializeToString()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError):
        recover(path, TINY)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        recover(tmp_path / "nothing.onnx")


def test_another_model_is_told_by_its_inputs(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="not a Kokoro model"):
        recover(tmp_path / "other.onnx")


def test_a_tensor_whose_data_do_not_fill_its_shape_is_refused(model: onnx.ModelProto) -> None:
    next(tensor for tensor in model.graph.initializer if tensor.name == "bert_encoder.weight").raw_data = b"1234"
    with pytest.raises(ModelError, match="damaged"):
        recover_onnx(model, TINY)


def _external(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    tensor = next(t for t in model.graph.initializer if t.name == "bert_encoder.weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(4 * 32 * 32))):
        tensor.external_data.add(key=key, value=value)
    return model


def test_external_data_beside_the_file_is_read(tmp_path: Path, model: onnx.ModelProto) -> None:
    (tmp_path / "weights.bin").write_bytes(FOLDED["bert_encoder.weight"].tobytes())
    (tmp_path / "k.onnx").write_bytes(_external(model, "weights.bin").SerializeToString())
    _same(recover(tmp_path / "k.onnx", TINY).state)


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "C:\\secret", "", "link", "missing"])
def test_external_data_outside_its_folder_is_refused(tmp_path: Path, model: onnx.ModelProto, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "k.onnx").write_bytes(_external(model, location).SerializeToString())
    with pytest.raises(ModelError, match="outside its folder or missing"):
        read_onnx(folder / "k.onnx")


def _graph(nodes: list[onnx.NodeProto], **arrays: np.ndarray) -> onnx.GraphProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return helper.make_graph(nodes, "g", [], [], initializer=tensors)


def test_constants_bigger_than_any_of_kokoros_are_refused() -> None:
    column, row = np.ones((1 << 14, 1), np.float32), np.ones((1, 1 << 14), np.float32)
    constants = Constants(_graph([helper.make_node("Mul", ["a", "b"], ["c"])], a=column, b=row))
    with pytest.raises(ModelError):
        constants.value("c")
    constants = Constants(
        _graph(
            [helper.make_node("Gather", ["a", "i"], ["c"])], a=np.ones((2, 1 << 20), np.float32), i=np.zeros(99, int)
        )
    )
    with pytest.raises(ModelError):
        constants.value("c")


def test_a_long_chain_of_constants_neither_overflows_the_stack_nor_the_memory() -> None:
    nodes = [helper.make_node("Add", [f"x{i}", f"x{i}"], [f"x{i + 1}"]) for i in range(3000)]
    assert Constants(_graph(nodes, x0=np.zeros(1, np.float32))).value("x3000")[0] == 0.0
    with pytest.raises(ModelError, match=r"memory|work"):
        Constants(_graph(nodes, x0=np.zeros(1 << 20, np.float32))).value("x3000")


def test_what_depends_on_an_input_or_a_custom_operator_is_no_constant() -> None:
    nodes = [
        helper.make_node("Add", ["a", "x"], ["b"]),
        helper.make_node("Add", ["a", "a"], ["c"], domain="evil"),
        helper.make_node("Loop", ["a"], ["d"]),
    ]
    constants = Constants(_graph(nodes, a=np.zeros(1, np.float32)))
    assert [name for name in "abcdx" if name in constants] == ["a"]


def test_anchors_of_shared_weights_are_one(model: onnx.ModelProto) -> None:
    found = consumed_weights(model.graph, Constants(model.graph))
    assert len({anchor.digest for anchor in found}) == len(found)
    assert len(found) < sum(node.op_type in {"Conv", "Gemm", "LSTM", "ConvTranspose"} for node in model.graph.node) * 3
