"""Upsampling as a plain convolution: a transposed convolution of stride s and kernel 2 s is s convolutions of two taps,
one for each phase of the output, whose results are interleaved.

onnxruntime's ConvTranspose adds up overlapping columns on a single thread, and has no 8-bit form; its Conv is
multithreaded and has an 8-bit form.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx

from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["split_phases"]


def split_phases(surgeon: Surgeon, modules: Collection[str] | None = None) -> list[str]:
    """Rewrite the transposed convolutions of these modules (of all suitable modules when None); returns their names."""
    done = []
    for node in list(surgeon.nodes):
        if node.op_type != "ConvTranspose" or not node.input[1].endswith(".weight"):
            continue
        module = str(node.input[1]).removesuffix(".weight")
        if (modules is None or module in modules) and _split(surgeon, node, module):
            done.append(module)
    return done


def _split(surgeon: Surgeon, node: onnx.NodeProto, module: str) -> bool:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    stride = attributes["strides"][0]
    weight = surgeon.array(node.input[1])  # [in, out, kernel]
    fits = weight.shape[2] == 2 * stride and attributes.get("group", 1) == 1
    if not fits or attributes["pads"] != [stride // 2] * 2 or any(attributes.get("output_padding", [0])):
        return False
    out = weight.shape[1]
    # phase r of output step m is W[r] x[m] + W[r + stride] x[m - 1]
    taps = np.stack([weight[:, :, stride:], weight[:, :, :stride]])  # [tap, in, out, phase]
    plain = taps.transpose(2, 3, 1, 0).reshape(out * stride, weight.shape[0], 2)
    bias = np.repeat(surgeon.array(node.input[2]), stride)
    root = f"{module}/phases"
    phases = surgeon.add(
        "Conv",
        node.input[0],
        surgeon.put(f"{module}.weight/phases", plain),
        surgeon.put(f"{module}.bias/phases", bias),
        name=f"{root}/Conv",
        kernel_shape=[2],
        strides=[1],
        dilations=[1],
        pads=[1, 1],
    )

    def ints(name: str, *values: int) -> str:
        return surgeon.put(f"{root}/{name}", np.asarray(values, np.int64))

    apart = surgeon.add("Reshape", phases, ints("apart", out, stride, -1), name=f"{root}/apart_")
    woven = surgeon.add("Transpose", apart, name=f"{root}/Transpose", perm=[0, 2, 1])
    joined = surgeon.add("Reshape", woven, ints("joined", 1, out, -1), name=f"{root}/joined_")
    half = stride // 2
    whole = surgeon.add("Slice", joined, ints("start", half), ints("end", -half), ints("axis", 2), name=f"{root}/Slice")
    surgeon.redirect(node.output[0], whole)
    return True
