"""Nodes that CoreML would leave to the CPU by its published limits: a static check, as CoreML runs on Apple devices
only.

Operators and limits are those that onnxruntime's page of the CoreML provider lists for MLProgram; for Gather, Pad and
PRelu those of its older list, because only that list states them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper

__all__ = ["COREML_OPERATORS", "Fallback", "coreml_fallbacks"]

COREML_OPERATORS = frozenset((
    "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "ConvTranspose",
    "DepthToSpace", "Div", "Elu", "Erf", "Exp", "Flatten", "Gather", "Gelu", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "GridSample", "GroupNormalization", "HardSigmoid", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "MatMul", "Max", "MaxPool", "Min", "Mul", "Pad", "Pow", "PRelu",
    "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Relu", "Reshape",
    "Resize", "Round", "Shape", "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub",
    "Tanh", "Transpose", "Unsqueeze",
))  # fmt: skip
MOST_DIMENSIONS = 5
WIDE = {TensorProto.DOUBLE: "64-bit floats", TensorProto.COMPLEX64: "complex numbers"}


@dataclass(frozen=True)
class Fallback:
    """Nodes that a provider would leave to the CPU, and the reason."""

    operator: str
    count: int
    reason: str


class _Graph:
    """The constants, ranks and attributes that the limits refer to."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {tensor.name for tensor in model.graph.initializer}
        self.constants -= {info.name for info in model.graph.input}
        self.constants |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
        inferred = onnx.shape_inference.infer_shapes(model).graph
        infos = (*inferred.input, *inferred.value_info, *inferred.output)
        self.types = {info.name: info.type.tensor_type for info in infos}
        self.ranks = {name: len(each.shape.dim) for name, each in self.types.items() if each.HasField("shape")}
        self.ranks |= {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}

    def constant(self, node: onnx.NodeProto, *places: int) -> bool:
        """Whether the inputs at those indices, as far as they exist, are constants."""
        return all(
            place >= len(node.input) or not node.input[place] or node.input[place] in self.constants for place in places
        )


Limit = Callable[[_Graph, onnx.NodeProto, dict[str, Any]], str]


def _conv(graph: _Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
    if graph.ranks.get(node.input[0], 3) > 4:
        return "only one and two dimensions are supported"
    return "" if graph.constant(node, 2) else "its bias is not constant"


def _conv_transpose(graph: _Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
    if not graph.constant(node, 1, 2):
        return "its weight or bias is not constant"
    if attributes.get("auto_pad", b"NOTSET") in {b"SAME_UPPER", b"SAME_LOWER"} or "output_shape" in attributes:
        return "output_shape and SAME padding are not supported"
    return "output_padding must be zero" if any(attributes.get("output_padding", [])) else ""


def _gather(graph: _Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
    return "scalar indices" if graph.ranks.get(node.input[1]) == 0 else ""


def _pad(graph: _Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
    return "" if attributes.get("mode", b"constant") == b"constant" else "only constant padding is supported"


def _constant(what: str, *places: int) -> Limit:
    def limit(graph: _Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> str:
        return "" if graph.constant(node, *places) else f"{what} must be constant"

    return limit


LIMITS: dict[str, Limit] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gather": _gather,
    "Gemm": _constant("B", 1),
    "PRelu": _constant("the slope", 1),
    "Pad": _pad,
    "Resize": _constant("scales or sizes", 2, 3),
    "Slice": _constant("starts, ends, axes and steps", 1, 2, 3, 4),
    "Split": _constant("the parts' sizes", 1),
}


def coreml_fallbacks(model: onnx.ModelProto) -> list[Fallback]:
    """Unsupported operators, nodes beyond CoreML's limits, 64-bit floats and open input shapes, most frequent first."""
    graph = _Graph(model)
    reasons: Counter[tuple[str, str]] = Counter()
    for node in model.graph.node:
        if reason := _refusal(graph, node):
            reasons[(node.op_type, reason)] += 1
    open_inputs = [
        info.name for info in model.graph.input if any(each.dim_param for each in info.type.tensor_type.shape.dim)
    ]
    fallbacks = [Fallback(kind, count, why) for (kind, why), count in reasons.most_common()]
    if open_inputs:
        fallbacks.append(
            Fallback("input", len(open_inputs), f"open shapes ({', '.join(open_inputs)}): use a fixed bucket")
        )
    return fallbacks


def _refusal(graph: _Graph, node: onnx.NodeProto) -> str:
    """Why CoreML would not take the node; empty where no published limit excludes it."""
    if node.domain not in {"", "ai.onnx"} or node.op_type not in COREML_OPERATORS:
        return "no such operator in CoreML's list"
    for name in (*node.input, *node.output):
        if name in graph.types and graph.types[name].elem_type in WIDE:
            return WIDE[graph.types[name].elem_type]
        if graph.ranks.get(name, 0) > MOST_DIMENSIONS:
            return f"more than {MOST_DIMENSIONS} dimensions"
    limit = LIMITS.get(node.op_type)
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return limit(graph, node, attributes) if limit else ""
