"""Dynamic int8 as in public Kokoro files: onnxruntime's own quantiser over every operator that it supports."""

from __future__ import annotations

import contextlib
import io
import logging

import onnx

from kokoro_lab.errors import ModelError
from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["quantize_dynamic"]

FLOATS_UNLESS_KNOWN = {"DefaultTensorType": int(onnx.TensorProto.FLOAT)}
"""Turns Gemm into MatMul and Add, whose results shape inference has not seen."""


def quantize_dynamic(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights in int8, activations by the range of each call. Includes the text stages, so durations may change."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as quantize

    logger = logging.getLogger()
    level = logger.level
    with scratch_folder(prefix="kokoro-lab-quantize-", error=ModelError) as folder:
        source, target = folder / "source.onnx", folder / "target.onnx"
        onnx.save(_without_gemm(model), source)
        logger.setLevel(logging.ERROR)  # it warns about every node that it does not quantise
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                quantize(source, target, weight_type=QuantType.QUInt8, extra_options=FLOATS_UNLESS_KNOWN)
        finally:
            logger.setLevel(level)
        result = read_onnx(target)
    onnx.helper.set_model_props(
        result, {**{entry.key: entry.value for entry in model.metadata_props}, "kokoro_lab.precision": "int8"}
    )
    return result


def _without_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Gemm as MatMul and Add: the quantiser would quantise a shared weight again for each Gemm that reads it."""
    surgeon = Surgeon(model)
    for node in list(surgeon.nodes):
        if node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute):
            turned = surgeon.put(f"{node.input[1]}/turned", surgeon.array(node.input[1]).T)
            product = surgeon.add("MatMul", node.input[0], turned, name=f"{node.name}/MatMul")
            surgeon.redirect(node.output[0], surgeon.add("Add", product, node.input[2], name=f"{node.name}/Add"))
    return surgeon.finish()
