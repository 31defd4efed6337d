"""The tiny graph in the form of another exporter's file, which must be imported first."""

from __future__ import annotations

import onnx

from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["as_upstream"]


def as_upstream(model: onnx.ModelProto) -> onnx.ModelProto:
    """The tiny graph as an export of somebody else's: other names of inputs and outputs, an integer speed."""
    surgeon = Surgeon(model)
    surgeon.add("Cast", "speed", name="whole_speed", to=onnx.TensorProto.FLOAT)
    for node in surgeon.nodes:
        for index, name in enumerate(node.input):
            if name == "tokens":
                node.input[index] = "input_ids"
            if name == "speed" and node.op_type != "Cast":
                node.input[index] = "whole_speed"
        for index, name in enumerate(node.output):
            if name == "audio":
                node.output[index] = "waveform"
    exported = onnx.ModelProto()
    for info in model.graph.output:
        if info.name == "audio":
            info.name = "waveform"
    surgeon._outputs = list(model.graph.output)
    exported.CopyFrom(surgeon.finish())
    del exported.metadata_props[:]
    for info in exported.graph.input:
        if info.name == "tokens":
            info.name = "input_ids"
        if info.name == "speed":
            info.type.tensor_type.elem_type = onnx.TensorProto.INT32
    kept = [info for info in exported.graph.input if info.name not in {"seed", "noise_scale"}]
    del exported.graph.input[:]
    exported.graph.input.extend(kept)
    return exported
