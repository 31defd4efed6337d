"""Reads ONNX files from strangers: a truncated, foreign or hostile one ends in a ModelError and does nothing else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import external_data_helper, numpy_helper

from kokoro_lab.errors import ModelError, ModelNotFoundError

__all__ = ["MOST_BYTES", "contract_ports", "read_onnx", "to_array"]

MOST_BYTES = 2 << 30  # protobuf's own limit; the largest published Kokoro file has 326 MB


def read_onnx(path: Path) -> onnx.ModelProto:
    """The model in `path`, with external data loaded from the file's own folder.

    Raises ModelNotFoundError when there is no file, ModelError when it is not a whole ONNX model, is too large, or
    points to data outside its folder.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path.name} is larger than 2 GiB and no Kokoro file")
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"there is no file {path}") from error
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path.name} is truncated or not an ONNX model; fetch or export it again") from error
    if not model.graph.node or not model.graph.input:
        raise ModelError(f"{path.name} is empty or not an ONNX model; fetch or export it again")
    _load_external(model, path)
    return model


def to_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """The tensor's values; ModelError when its data do not fill its shape."""
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"tensor {tensor.name!r} is damaged: its data do not fit its shape and type") from error


def contract_ports(model: onnx.ModelProto) -> tuple[list[_Port], list[_Port], list[_Port]]:
    """Required inputs, outputs and overridable inputs, as `contract.read_contract` takes them."""
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [_Port(info) for info in model.graph.input]
    return (
        [port for port in inputs if port.name not in held],
        [_Port(info) for info in model.graph.output],
        [port for port in inputs if port.name in held],
    )


PORT_TYPES = {
    onnx.TensorProto.FLOAT: "tensor(float)",
    onnx.TensorProto.FLOAT16: "tensor(float16)",
    onnx.TensorProto.INT32: "tensor(int32)",
    onnx.TensorProto.INT64: "tensor(int64)",
}


class _Port:
    """A graph input or output, described as onnxruntime's sessions do it."""

    def __init__(self, info: onnx.ValueInfoProto) -> None:
        self.name: str = info.name
        self.type: str = PORT_TYPES.get(info.type.tensor_type.elem_type, "other")


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    outside = [tensor for tensor in model.graph.initializer if external_data_helper.uses_external_data(tensor)]
    if not outside:
        return
    folder = path.resolve().parent
    total = 0
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        data = _inside(entries.get("location", ""), folder)
        if data is None or not data.is_file():
            raise ModelError(
                f"{path.name} points to data outside its folder or missing from it ({entries.get('location', '')!r}); "
                "it was not read"
            )
        total += _external_bytes(entries, data)
        if total > MOST_BYTES:
            raise ModelError(f"{path.name} with its data is larger than 2 GiB and no Kokoro file")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"the data of tensor {tensor.name!r} cannot be read; get the file again") from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _inside(location: str, folder: Path) -> Path | None:
    """The file at `location` when that is a plain relative path that stays in `folder`, links followed."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or posix.is_absolute() or windows.drive or windows.root or ".." in {*posix.parts, *windows.parts}:
        return None
    target = (folder / location).resolve()
    return target if target.is_relative_to(folder) else None


def _external_bytes(entries: dict[str, str], data: Path) -> int:
    length = entries.get("length", "")
    return int(length) if length.isdecimal() else data.stat().st_size
