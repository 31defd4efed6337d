"""Writer of ONNX graphs: names follow the scope they are created in, equal constants are stored once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IR_VERSION", "OPSET", "GraphBuilder"]

OPSET = 18
"""The lowest opset in which reductions take their axes as inputs; every runtime in use today reads it."""
IR_VERSION = 8

Array = NDArray[Any]


class GraphBuilder:
    """Collects nodes and the parameters they read.

    `weights` maps initializer names to arrays; only the parameters that a node reads enter the graph.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counts: dict[str, int] = {}
        self._scope: list[str] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._boundaries: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names created inside with `name/`."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with a single output and return its name; `name` overrides the generated name."""
        return self.ops(kind, *inputs, outputs=1, names=(name,) if name else (), **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, outputs: int, names: tuple[str, ...] = (), **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node with several outputs and return their names."""
        node = self._unique(kind)
        results = names or tuple(f"{node}.{index}" if index else node for index in range(outputs))
        self._nodes.append(helper.make_node(kind, list(inputs), list(results), name=node, **attributes))
        return results

    def weight(self, name: str) -> str:
        """Make the parameter `name` an initializer of the graph; KeyError for an unknown parameter."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(self._weights[name]), name)
        return name

    def has_weight(self, name: str) -> bool:
        """Whether the parameter `name` exists."""
        return name in self._weights

    def initializer(self, name: str, array: Array) -> str:
        """Add a named tensor that is not a learnt parameter."""
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def overridable(self, name: str, default: Array) -> str:
        """An initializer that is also a graph input: feeding it is optional."""
        self.initializer(name, default)
        self._inputs.append(_value_info(name, default.dtype, default.shape))
        return name

    def constant(self, value: Any, dtype: type[np.generic]) -> str:
        """A constant tensor; equal constants share an initializer."""
        array = np.asarray(value, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant/{len(self._constants)}"
            self._constants[key] = self.initializer(name, array)
        return self._constants[key]

    def floats(self, value: Any) -> str:
        """A float32 constant."""
        return self.constant(value, np.float32)

    def ints(self, value: Any) -> str:
        """An int64 constant."""
        return self.constant(value, np.int64)

    def input(self, name: str, dtype: type[np.generic], shape: tuple[int | str, ...]) -> str:
        """Declare a required graph input."""
        self._inputs.append(_value_info(name, np.dtype(dtype), shape))
        return name

    def boundary(self, name: str, dtype: type[np.generic], shape: tuple[int | str, ...]) -> str:
        """Declare type and shape of an inner tensor at the boundary between stages."""
        self._boundaries.append(_value_info(name, np.dtype(dtype), shape))
        return name

    def output(self, name: str, dtype: type[np.generic], shape: tuple[int | str, ...]) -> str:
        """Declare a graph output."""
        self._outputs.append(_value_info(name, np.dtype(dtype), shape))
        return name

    def model(self, graph_name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The finished model. Required inputs come first, then overridable inputs."""
        inputs = sorted(self._inputs, key=lambda info: info.name in self._initializers)
        declared = {info.name for info in (*inputs, *self._outputs)}
        graph = helper.make_graph(
            self._nodes,
            graph_name,
            inputs,
            self._outputs,
            initializer=list(self._initializers.values()),
            value_info=[info for info in self._boundaries if info.name not in declared],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "kokoro-lab"
        helper.set_model_props(model, dict(metadata))
        return model

    def _unique(self, kind: str) -> str:
        stem = "/".join((*self._scope, kind))
        count = self._counts.get(stem, 0)
        self._counts[stem] = count + 1
        return f"{stem}_{count}" if count else stem


def _value_info(name: str, dtype: np.dtype[Any], shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    element: int = helper.np_dtype_to_tensor_dtype(dtype)
    assert element != TensorProto.UNDEFINED
    return helper.make_tensor_value_info(name, element, list(shape))
