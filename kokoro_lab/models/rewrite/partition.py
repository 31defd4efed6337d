"""Splits a graph of ours at the boundaries of its stages, and sets its open dimensions to fixed sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from kokoro_lab.models.files.model_record import ModelFile
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import Architecture
from kokoro_lab.models.graph.stages import boundaries

__all__ = ["BOUNDARY", "between", "fixed", "joined", "read_whole", "split"]

BOUNDARY = ("text_encoding", "frame_token", "f0", "energy", "source_spectrum")
"""The tensors that the part before the decoder passes on; durations, alignment and phase are computed before it, in
fp32."""


def split(model: onnx.ModelProto, arch: Architecture) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """(front, back): tokens, style, speed -> duration and BOUNDARY; BOUNDARY and style -> audio.

    Two sessions over them can overlap: the front of the next segment runs while the back of this one does.
    """
    front = between(model, arch, ("tokens", "style", "speed"), ("duration", *BOUNDARY))
    return front, between(model, arch, (*BOUNDARY, "style"), ("audio",))


def joined(front: onnx.ModelProto, back: onnx.ModelProto) -> onnx.ModelProto:
    """The inverse of `split`: tokens, style, speed -> audio, duration."""
    whole = onnx.ModelProto()
    whole.CopyFrom(front)
    graph = whole.graph
    graph.node.extend(back.graph.node)
    initializers = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in back.graph.initializer if tensor.name not in initializers)
    durations = [info for info in graph.output if info.name not in BOUNDARY]
    graph.value_info.extend(info for info in graph.output if info.name in BOUNDARY)
    del graph.output[:]
    graph.output.extend([*back.graph.output, *durations])
    return whole


def read_whole(file: ModelFile) -> onnx.ModelProto:
    """The graph of a model file, joined when it is split. Raises what `onnxfile.read_onnx` raises."""
    model = read_onnx(file.path)
    return joined(model, read_onnx(file.back[0])) if file.back else model


def between(
    model: onnx.ModelProto, arch: Architecture, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The part of the graph from the one set of boundary tensors to the other, with the initializers it reads."""
    graph = model.graph
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    live: set[int] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        index = makers.get(name)
        if name not in inputs and index is not None and index not in live:
            live.add(index)
            waiting += graph.node[index].input
    nodes = [graph.node[index] for index in sorted(live)]
    read = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    initializers = {tensor.name for tensor in tensors}
    table = boundaries(arch)
    infos = [_info(table[name].name, table[name].dtype, table[name].shape) for name in inputs if name in read]
    infos += [info for info in graph.input if info.name in initializers]
    results = [_info(name, table[name].dtype, table[name].shape) for name in outputs]
    part = helper.make_model(
        helper.make_graph(nodes, f"{graph.name}-part", infos, results, initializer=tensors),
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
    )
    part.producer_name = model.producer_name
    helper.set_model_props(part, {entry.key: entry.value for entry in model.metadata_props})
    return part


def fixed(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """The model with named open dimensions (`T` tokens, `F` frames, ...) of inputs and outputs set to sizes.

    A call then takes exactly that many tokens: padding cannot fill it up, because the model would speak the padding.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for info in (*result.graph.input, *result.graph.output, *result.graph.value_info):
        for dimension in info.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    return result


def _info(name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
