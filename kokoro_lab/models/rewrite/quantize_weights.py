"""Variants that change how weights are stored: float16 for decoder and vocoder, 4 or 8 bits for matrix products.

float16 weights are followed by a Cast, which onnxruntime folds when it opens the file: half the file size at the same
speed. With float16 arithmetic the whole decoder and vocoder run in half precision where the provider has kernels for
it; the CPU provider mostly lacks them and casts back and forth. Text, durations, prosody and source stay float32 in
both.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from kokoro_lab.models.rewrite.partition import BOUNDARY
from kokoro_lab.models.rewrite.quantize_static import selected
from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["half_arithmetic", "half_weights", "packed_matrices"]

LEAST_VALUES = 1024  # in the smallest tensor that is worth a Cast
BLOCK = 32  # weights that share a scale
CONTRIB = "com.microsoft"
FLOAT_INPUTS_ONLY = {"Resize": (0,)}
"""Operator -> the indices of its only inputs that may be float16."""


def half_weights(model: onnx.ModelProto, include: Collection[str] = ("decoder.*",)) -> onnx.ModelProto:
    """Store the weights whose names match `include` as float16."""
    surgeon = Surgeon(model)
    for tensor in model.graph.initializer:
        big = tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LEAST_VALUES
        if not big or not selected([tensor.name], include):
            continue
        half = surgeon.put(f"{tensor.name}/half", _half(surgeon.array(tensor.name)))
        surgeon.redirect(tensor.name, surgeon.add("Cast", half, name=f"{tensor.name}/Cast", to=TensorProto.FLOAT))
    return surgeon.finish({"kokoro_lab.precision": "fp16-weights"})


def half_arithmetic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Run decoder and vocoder in float16, with casts at their boundary and a cast of the audio."""
    surgeon = Surgeon(model)
    inside = _after_boundary(surgeon)
    outputs = {name for node in inside for name in node.output}
    halves: dict[str, str] = {}
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for node in inside:
        for place, name in enumerate(node.input):
            if not name or name in outputs or place not in FLOAT_INPUTS_ONLY.get(node.op_type, range(len(node.input))):
                continue
            if name in floats:
                halves.setdefault(name, surgeon.put(f"{name}/half", _half(surgeon.array(name))))
            elif name in {"style", "f0", "energy", "text_encoding", "source_spectrum"}:
                halves.setdefault(name, surgeon.add("Cast", name, name=f"{name}/half", to=TensorProto.FLOAT16))
            node.input[place] = halves.get(name, name)
    surgeon.retype(outputs)
    last = surgeon.maker("audio")
    if last is not None:
        last.output[0] = "audio/half"
        surgeon.add("Cast", "audio/half", name="audio", to=TensorProto.FLOAT)
    return surgeon.finish({"kokoro_lab.precision": "fp16"})


def packed_matrices(model: onnx.ModelProto, bits: int, include: Collection[str]) -> onnx.ModelProto:
    """Store the matrices of the linear layers that match `include` in 4 or 8 bits, with a scale per 32 weights.

    They become onnxruntime's MatMulNBits, which unpacks them inside the product.
    """
    surgeon = Surgeon(model)
    for node in list(surgeon.nodes):
        if node.op_type != "Gemm" or not selected([node.input[1]], include):
            continue
        weight = surgeon.array(node.input[1])
        if weight.shape[1] % BLOCK:
            continue
        packed, scales = _packed(weight, bits)
        root = f"{node.input[1]}/{bits}bit"
        product = surgeon.add(
            "MatMulNBits",
            node.input[0],
            surgeon.put(f"{root}/packed", packed),
            surgeon.put(f"{root}/scales", scales),
            domain=CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=bits,
            block_size=BLOCK,
        )
        surgeon.redirect(node.output[0], surgeon.add("Add", product, node.input[2]))
    return surgeon.finish({"kokoro_lab.precision": f"int{bits}-weights"}, domains={CONTRIB: 1})


def _half(array: NDArray[np.float32]) -> NDArray[np.float16]:
    top = float(np.finfo(np.float16).max)
    return np.clip(array, -top, top).astype(np.float16)


def _packed(weight: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[out, in] -> bytes [out, blocks, BLOCK * bits / 8] and scales [out * blocks]; the zero point is the middle."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    middle = 1 << (bits - 1)
    scales = np.maximum(np.abs(blocks).max(axis=2) / (middle - 1), np.finfo(np.float32).tiny)
    whole = np.clip(np.rint(blocks / scales[:, :, None]) + middle, 0, 2 * middle - 1).astype(np.uint8)
    packed = whole if bits == 8 else whole[:, :, 0::2] | (whole[:, :, 1::2] << 4)
    return packed, scales.astype(np.float32).reshape(-1)


def _after_boundary(surgeon: Surgeon) -> list[onnx.NodeProto]:
    """The nodes between the boundary and the audio."""
    inside: dict[int, onnx.NodeProto] = {}
    waiting = ["audio"]
    while waiting:
        node = surgeon.maker(waiting.pop())
        if node is not None and id(node) not in inside:
            inside[id(node)] = node
            waiting += [name for name in node.input if name not in BOUNDARY]
    return [node for node in surgeon.nodes if id(node) in inside]
