"""ONNX files from strangers: whole ones are read, all others end in a named error and touch nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.files import onnxfile
from kokoro_lab.models.files.onnxfile import contract_ports, read_onnx, to_array

WEIGHT = np.arange(1000, dtype=np.float32)


def model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])],
        "small",
        [
            helper.make_tensor_value_info("x", TensorProto.INT64, [1000]),
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, [1000]),
            helper.make_tensor_value_info("odd", TensorProto.DOUBLE, [1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1000])],
        [numpy_helper.from_array(WEIGHT, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A model whose weight lies in `model.data` beside it."""
    path = tmp_path / "folder" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model(), path, save_as_external_data=True, location="model.data", size_threshold=0)
    return path


def pointing_to(path: Path, location: str) -> Path:
    changed = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in changed.graph.initializer[0].external_data if entry.key == "location")
    entry.value = location
    path.write_bytes(changed.SerializeToString())
    return path


def test_a_whole_model_is_read_with_the_data_beside_it(beside: Path) -> None:
    (tensor,) = read_onnx(beside).graph.initializer
    np.testing.assert_array_equal(to_array(tensor), WEIGHT)
    assert not tensor.external_data


@pytest.mark.parametrize(
    "location", ["../secret.data", "/etc/hostname", "", "C:\\secret", "missing.data", "..\\secret.data"]
)
def test_data_outside_the_folder_or_missing_from_it_are_not_read(beside: Path, location: str) -> None:
    (beside.parent.parent / "secret.data").write_bytes(WEIGHT.tobytes())
    with pytest.raises(ModelError, match="outside its folder or missing"):
        read_onnx(pointing_to(beside, location))


def test_a_link_out_of_the_folder_is_not_followed(beside: Path) -> None:
    secret = beside.parent.parent / "secret.data"
    secret.write_bytes(WEIGHT.tobytes())
    (beside.parent / "link.data").symlink_to(secret)
    with pytest.raises(ModelError, match="outside its folder"):
        read_onnx(pointing_to(beside, "link.data"))


def test_data_that_are_too_short_for_their_tensor_are_an_error(beside: Path) -> None:
    data = beside.parent / "model.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(ModelError):
        to_array(read_onnx(beside).graph.initializer[0])


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelNotFoundError, match=r"model\.onnx"):
        read_onnx(path)
    whole = model().SerializeToString()
    for content in (b"", b"\x00" * 100, b"<html>not found</html>", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.onnx"):
            read_onnx(path)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxfile, "MOST_BYTES", 3000)
    with pytest.raises(ModelError, match="with its data is larger"):
        read_onnx(beside)
    onnx.save(model(), tmp_path / "large.onnx")
    with pytest.raises(ModelError, match=r"large\.onnx has 4,\d+ bytes, which is more than any model file has"):
        read_onnx(tmp_path / "large.onnx")


def test_a_tensor_whose_data_do_not_fill_its_shape_is_damaged() -> None:
    tensor = numpy_helper.from_array(WEIGHT, "weight")
    tensor.raw_data = tensor.raw_data[:-4]
    with pytest.raises(ModelError, match="'weight' is damaged"):
        to_array(tensor)


def test_ports_are_told_apart_as_onnxruntime_tells_them() -> None:
    required, outputs, overridable = contract_ports(model())
    assert [(port.name, port.type) for port in required] == [("x", "tensor(int64)"), ("odd", "other")]
    assert [(port.name, port.type) for port in outputs] == [("y", "tensor(float16)")]
    assert [(port.name, port.type) for port in overridable] == [("weight", "tensor(float)")]
