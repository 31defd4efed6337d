"""The constants of a graph and their values, computed in NumPy: weight normalisation, transposed and joined weights.

Only the operations that exporters put between a parameter and the node that reads it are supported, and each result is
bounded, so that a hostile graph can neither run anything else nor fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError
from kokoro_lab.models.files.onnxfile import to_array

__all__ = ["Constants"]

Array = NDArray[Any]
MOST_VALUES = 1 << 25  # in a tensor; Kokoro's largest has 3.3 million
MOST_BYTES = 1 << 30  # of a tensor and all that it is computed from
LEAST_WORK = 1 << 28  # bytes that may be computed for any file in all
WORK_PER_BYTE = 24  # and for each byte of its graph; a Kokoro file of 329 MB takes 1.46e9, or 4.4 per byte
STEP_WORK = 5_000  # what a node costs beside its bytes


class Constants:
    """The constants of a graph by tensor name, each computed on request."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._left = LEAST_WORK + WORK_PER_BYTE * graph.ByteSize()
        self._makers: dict[str, tuple[int, onnx.NodeProto]] = {}
        """Constant tensor -> (its node's index in the graph's topological order, the node)."""
        for place, node in enumerate(graph.node):
            known = node.op_type in OPERATIONS and node.domain in {"", "ai.onnx"} and len(node.output) == 1
            if known and all(not name or name in self for name in node.input):
                self._makers[node.output[0]] = (place, node)

    def __contains__(self, name: str) -> bool:
        return name in self._initializers or name in self._makers

    @property
    def names(self) -> list[str]:
        """Every constant: initializers first, then the constants computed from them."""
        return [*self._initializers, *self._makers]

    def value(self, name: str) -> Array:
        """The value of the constant `name`; KeyError for another tensor, ModelError if it is damaged or oversized."""
        values: dict[str, Array] = {}
        total = 0
        for each in self._ancestors(name):
            values[each] = self._work_out(each, values)
            self.charge(values[each].nbytes)
            total += values[each].nbytes
            if total > MOST_BYTES:
                raise ModelError(f"computing {name!r} takes more memory than Kokoro's tensors; import another file")
        return values[name]

    def charge(self, work: int) -> None:
        """Count bytes that were computed or read; ModelError when the file takes more than any of Kokoro's."""
        self._left -= work
        if self._left < 0:
            raise ModelError("computing the file's constants takes more work than Kokoro's; import another file")

    def sources(self, name: str) -> frozenset[str]:
        """The initializers that the constant `name` is computed from."""
        return frozenset(each for each in self._ancestors(name) if each in self._initializers)

    def _ancestors(self, name: str) -> list[str]:
        """Everything that `name` is computed from, in order of computation, with `name` last."""
        visited: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current not in visited:
                visited.add(current)
                if current not in self._initializers:
                    waiting += [each for each in self._makers[current][1].input if each]
            self.charge(STEP_WORK)
        return sorted(visited, key=lambda each: -1 if each in self._initializers else self._makers[each][0])

    def _work_out(self, name: str, values: dict[str, Array]) -> Array:
        if name in self._initializers:
            tensor = self._initializers[name]
            if np.prod(tensor.dims, dtype=np.float64) > MOST_VALUES:
                raise ModelError(f"tensor {name[:80]!r} is larger than any of Kokoro's; import another file")
            return to_array(tensor)
        node = self._makers[name][1]
        inputs = [values[each] if each else None for each in node.input]
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(OPERATIONS[node.op_type](inputs, attributes))
        except ModelError:
            raise
        except Exception as error:  # NumPy raises nearly everything on inputs that do not match
            raise ModelError(
                f"node {node.name[:80]!r} ({node.op_type}) has inputs that do not match; export the model again"
            ) from error
        if result.size > MOST_VALUES or result.dtype.kind not in "biuf":
            raise ModelError(f"tensor {name[:80]!r} is larger than any of Kokoro's; import another file")
        return result


Inputs = Sequence[Any]
Attributes = dict[str, Any]


def _constant(inputs: Inputs, attributes: Attributes) -> Array:
    value = next(iter(attributes.values()))
    return to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _cast(inputs: Inputs, attributes: Attributes) -> Array:
    return np.asarray(inputs[0]).astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _concat(inputs: Inputs, attributes: Attributes) -> Array:
    if sum(each.size for each in inputs) > MOST_VALUES:
        raise ValueError("the result is larger than any of Kokoro's tensors")
    return np.asarray(np.concatenate(inputs, axis=attributes["axis"]))


def _axes(inputs: Inputs, attributes: Attributes) -> tuple[int, ...] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in np.ravel(inputs[1]))
    return tuple(attributes["axes"]) if "axes" in attributes else None


def _unsqueeze(inputs: Inputs, attributes: Attributes) -> Array:
    return np.asarray(np.expand_dims(inputs[0], _axes(inputs, attributes) or ()))


def _squeeze(inputs: Inputs, attributes: Attributes) -> Array:
    return np.asarray(np.squeeze(inputs[0], _axes(inputs, attributes)))


def _reshape(inputs: Inputs, attributes: Attributes) -> Array:
    wanted = [int(size) for size in inputs[1]]
    given = inputs[0].shape
    return np.reshape(inputs[0], [given[i] if size == 0 else size for i, size in enumerate(wanted)])


def _transpose(inputs: Inputs, attributes: Attributes) -> Array:
    return np.asarray(np.transpose(inputs[0], attributes.get("perm")))


def _slice(inputs: Inputs, attributes: Attributes) -> Array:
    data, starts, ends = inputs[:3]
    axes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else np.arange(len(starts))
    steps = inputs[4] if len(inputs) > 4 and inputs[4] is not None else np.ones(len(starts), np.int64)
    parts: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = data.shape[int(axis)]
        stop = None if step < 0 and end < -size else int(end)
        parts[int(axis)] = slice(int(start), stop, int(step))
    return np.asarray(data[tuple(parts)])


def _reduce_l2(inputs: Inputs, attributes: Attributes) -> Array:
    keep = bool(attributes.get("keepdims", 1))
    square = np.square(inputs[0], dtype=np.float64)
    return np.asarray(np.sqrt(np.sum(square, axis=_axes(inputs, attributes), keepdims=keep)), inputs[0].dtype)


def _reduce_sum(inputs: Inputs, attributes: Attributes) -> Array:
    keep = bool(attributes.get("keepdims", 1))
    return np.asarray(np.sum(inputs[0], axis=_axes(inputs, attributes), keepdims=keep))


def _elementwise(function: Callable[[Any, Any], Any]) -> Callable[[Inputs, Attributes], Any]:
    def bounded(inputs: Inputs, attributes: Attributes) -> Any:
        if np.prod(np.broadcast_shapes(*(np.shape(each) for each in inputs)), dtype=np.float64) > MOST_VALUES:
            raise ValueError("the result is larger than any of Kokoro's tensors")
        return function(*inputs)

    return bounded


def _gather(inputs: Inputs, attributes: Attributes) -> Array:
    data, rows = inputs
    if data.size / max(1, data.shape[attributes.get("axis", 0)]) * rows.size > MOST_VALUES:
        raise ValueError("the result is larger than any of Kokoro's tensors")
    return np.asarray(np.take(data, rows.astype(np.int64), axis=attributes.get("axis", 0)))


def _dequantize(inputs: Inputs, attributes: Attributes) -> Array:
    data, scale = inputs[:2]
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros_like(scale, dtype=np.int32)
    if np.ndim(scale) == 1 and np.size(scale) > 1:
        shape = [1] * data.ndim
        shape[attributes.get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    if np.prod(np.broadcast_shapes(data.shape, zero.shape, scale.shape), dtype=np.float64) > MOST_VALUES:
        raise ValueError("the result is larger than any of Kokoro's tensors")
    return np.asarray((data.astype(np.int32) - zero.astype(np.int32)) * scale, np.float32)


OPERATIONS: dict[str, Callable[[Inputs, Attributes], Any]] = {
    "Abs": lambda i, a: np.abs(i[0]),
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "DequantizeLinear": _dequantize,
    "Div": _elementwise(np.divide),
    "Gather": _gather,
    "Identity": lambda i, a: i[0],
    "Mul": _elementwise(np.multiply),
    "Pow": _elementwise(np.power),
    "ReduceL2": _reduce_l2,
    "ReduceSum": _reduce_sum,
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": lambda i, a: np.sqrt(i[0]),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
