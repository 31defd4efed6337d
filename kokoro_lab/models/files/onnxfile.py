"""Reads untrusted ONNX files: a truncated, foreign or hostile file raises a ModelError and has no other effect.

This is the only place that parses ONNX files. Bytes, fields, depth, nodes, expanded functions and the sizes of tensors
are bounded before anything is made of them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.files.reading import decoding, is_regular, opened, read_bytes
from kokoro_lab.models.files.graph_limits import check_graph, tensor_bytes
from kokoro_lab.models.files.model_record import MOST_BYTES
from kokoro_lab.models.files.protobuf_scan import scan

__all__ = ["contract_ports", "parse_onnx", "read_onnx", "to_array"]

LONGEST_NUMBER = 15  # digits


def read_onnx(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """The model in `path`, with external data loaded from the file's own folder.

    weights: False leaves external data where they are; what the file says of them is checked all the same.

    Raises ModelNotFoundError when the file does not exist, ModelError when it is not a complete ONNX model, is too
    large or too deep, or points to data outside its folder.
    """
    data = read_bytes(path, what="model file", most=MOST_BYTES, error=ModelError, missing=ModelNotFoundError)
    model = parse_onnx(data, path.name)
    _load_external(model, path, weights)
    return model


def parse_onnx(data: bytes, name: str) -> onnx.ModelProto:
    """The model in `data`, external data not loaded; `name` is the file's, for messages."""
    with decoding(f"model file {name}", error=ModelError, advice="fetch or export it again"):
        scan(data, name)
        model = onnx.load_model_from_string(data)
        if not model.graph.node or not model.graph.input:
            raise ModelError(f"{name} is empty or not an ONNX model; fetch or export it again")
        check_graph(model, name)
    return model


def to_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """The tensor's values; ModelError when its data do not match its shape."""
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # NumPy raises nearly everything on shapes and types that do not fit
        raise ModelError(
            f"tensor {tensor.name[:80]!r} is damaged, its data do not match its shape and type; get the file again"
        ) from error


def contract_ports(model: onnx.ModelProto) -> tuple[list[_Port], list[_Port], list[_Port]]:
    """Required inputs, outputs and overridable inputs, in the form that `contract.read_contract` takes."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [_Port(info) for info in model.graph.input]
    return (
        [port for port in inputs if port.name not in initializers],
        [_Port(info) for info in model.graph.output],
        [port for port in inputs if port.name in initializers],
    )


PORT_TYPES = {
    onnx.TensorProto.FLOAT: "tensor(float)",
    onnx.TensorProto.FLOAT16: "tensor(float16)",
    onnx.TensorProto.INT32: "tensor(int32)",
    onnx.TensorProto.INT64: "tensor(int64)",
}


class _Port:
    """A graph input or output, with the attributes of onnxruntime's NodeArg."""

    def __init__(self, info: onnx.ValueInfoProto) -> None:
        self.name: str = info.name
        self.type: str = PORT_TYPES.get(info.type.tensor_type.elem_type, "other")


def _load_external(model: onnx.ModelProto, path: Path, weights: bool) -> None:
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if not outside:
        return
    folder = path.resolve().parent
    total = 0
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        data = _inside(location, folder)
        if data is None or not is_regular(data):
            raise ModelError(
                f"{path.name} points to data outside its folder or missing from it ({location[:80]!r}); "
                "put the data file beside it"
            )
        needed = tensor_bytes(tensor)
        total += needed
        if total > MOST_BYTES:
            raise ModelError(f"{path.name} with its data is larger than {MOST_BYTES:,} bytes; choose another file")
        offset, length = (_number(entries.get(key, ""), tensor) for key in ("offset", "length"))
        with opened(data, what="data file", most=MOST_BYTES, error=ModelError) as stream:
            there = stream.seek(0, 2) - (offset or 0)
            if there < needed or length not in {None, needed}:
                raise ModelError(f"cannot read the data of tensor {tensor.name[:80]!r}; get the file again")
            if weights:
                stream.seek(offset or 0)
                tensor.raw_data = stream.read(needed)
                tensor.data_location = onnx.TensorProto.DEFAULT
                del tensor.external_data[:]


def _inside(location: str, folder: Path) -> Path | None:
    """The file at `location` when that is a relative path inside `folder`, symbolic links resolved; else None."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    if not location or posix.is_absolute() or windows.drive or windows.root or ".." in {*posix.parts, *windows.parts}:
        return None
    try:
        target = (folder / location).resolve()
    except (OSError, ValueError, RuntimeError):  # a null character; a loop of symbolic links
        return None
    return target if target.is_relative_to(folder) else None


def _number(text: str, tensor: onnx.TensorProto) -> int | None:
    """A number of bytes; None where there is none."""
    if not text:
        return None
    if len(text) > LONGEST_NUMBER or not text.isdecimal():
        raise ModelError(f"the place of tensor {tensor.name[:80]!r} in its data file is no number; get the file again")
    return int(text)
