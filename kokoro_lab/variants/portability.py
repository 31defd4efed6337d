"""Where a graph would run: node by node in the providers that are here, and by CoreML's published list without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.models.records import ModelFile
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings

__all__ = ["COREML_OPERATORS", "Fallback", "Placement", "coreml_fallbacks", "openvino_obstacles", "place"]

COREML_OPERATORS = frozenset(
    [
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Elu",
        "Erf",
        "Exp",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GridSample",
        "GroupNormalization",
        "HardSigmoid",
        "InstanceNormalization",
        "LayerNormalization",
        "LeakyRelu",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Pad",
        "Pow",
        "PRelu",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    ]
)
"""MLProgram operators in onnxruntime's CoreML provider documentation."""
COREML_RANK = 5  # most dimensions of a tensor
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


@dataclass(frozen=True)
class Placement:
    """Who took the nodes of a file in one provider."""

    provider: str
    status: str
    """`ok`, `partial`, `unavailable`, or `failed`."""
    share: float
    """Of the nodes, in the provider that was asked for."""
    nodes: dict[str, int]
    reason: str = ""


@dataclass(frozen=True)
class Fallback:
    """Nodes that a provider would leave to the CPU, and why."""

    operator: str
    count: int
    reason: str


def place(file: ModelFile, providers: Sequence[str]) -> list[Placement]:
    """Open the file in each provider and read back who took which node; a provider that is not here says so."""
    found = []
    for provider in providers:
        try:
            session = Session.open(file, SessionSettings(provider=provider))
        except KokoroLabError as error:
            found.append(Placement(provider, "unavailable", 0.0, {}, error.message))
            continue
        counted = {each.provider: each.nodes for each in session.assignment}
        effective: Any = session.effective_provider()
        found.append(Placement(provider, str(effective.status), float(effective.share), counted))
        session.close()
    return found


def coreml_fallbacks(model: onnx.ModelProto) -> list[Fallback]:
    """What CoreML's published limits leave to the CPU: unknown operators, 64-bit arithmetic, open input shapes.

    A static check: CoreML itself runs on Apple machines only.
    """
    reasons: Counter[tuple[str, str]] = Counter()
    types = {
        info.name: info.type.tensor_type.elem_type
        for info in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    for node in model.graph.node:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in COREML_OPERATORS:
            reasons[(node.op_type, "no such operator in CoreML's list")] += 1
        elif any(types.get(name) == TensorProto.DOUBLE for name in node.output):
            reasons[(node.op_type, "64-bit floats")] += 1
        elif node.op_type in {"Conv", "ConvTranspose"} and not _constant_weight(model, node):
            reasons[(node.op_type, "its weight is no constant")] += 1
    open_inputs = [
        info.name for info in model.graph.input if any(each.dim_param for each in info.type.tensor_type.shape.dim)
    ]
    found = [Fallback(kind, count, why) for (kind, why), count in reasons.most_common()]
    if open_inputs:
        found.append(Fallback("input", len(open_inputs), f"open shapes ({', '.join(open_inputs)}): use a fixed bucket"))
    return found


def openvino_obstacles(model: onnx.ModelProto) -> list[Fallback]:
    """What is known to keep onnxruntime's OpenVINO provider (1.24) from taking a graph whole."""
    counts: Counter[str] = Counter(node.op_type for node in model.graph.node)
    loose = sum(node.op_type == "Squeeze" and len(node.input) < 2 and not node.attribute for node in model.graph.node)
    found = [
        Fallback(kind, counts[kind], "control flow and sequences are refused")
        for kind in ("If", "Loop", "Scan", "SequenceAt", "SequenceEmpty", "SequenceInsert", "SplitToSequence")
        if counts[kind]
    ]
    found += [Fallback(kind, counts[kind], "random nodes split the graph") for kind in RANDOM if counts[kind]]
    if loose:
        found.append(Fallback("Squeeze", loose, "without axes its rank is open"))
    return found


def _constant_weight(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    return any(tensor.name == node.input[1] for tensor in model.graph.initializer)
