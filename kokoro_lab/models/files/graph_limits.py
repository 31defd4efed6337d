"""What an ONNX graph would become, checked before anything opens it: expanded functions, subgraphs, tensors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import onnx

from kokoro_lab.errors import ModelError

__all__ = ["MOST_FUNCTIONS", "MOST_NODES", "check_graph", "tensor_bytes"]

MOST_NODES = 50_000  # once functions are expanded, subgraphs included; a Kokoro export has about 2,500
MOST_FUNCTIONS = 2_000
DEEPEST_CALL = 40  # functions that call functions
MOST_VALUES = 1 << 28  # in a tensor; Kokoro's largest has 3.3 million

T = onnx.TensorProto
BITS: dict[int, int] = {
    T.FLOAT: 32, T.DOUBLE: 64, T.FLOAT16: 16, T.BFLOAT16: 16, T.COMPLEX64: 64, T.COMPLEX128: 128, T.BOOL: 8,
    T.INT8: 8, T.UINT8: 8, T.INT16: 16, T.UINT16: 16, T.INT32: 32, T.UINT32: 32, T.INT64: 64, T.UINT64: 64,
    T.INT4: 4, T.UINT4: 4, T.FLOAT8E4M3FN: 8, T.FLOAT8E4M3FNUZ: 8, T.FLOAT8E5M2: 8, T.FLOAT8E5M2FNUZ: 8,
}  # fmt: skip
"""Type of a tensor of numbers -> bits of a value."""
LISTS: dict[int, str] = {
    T.FLOAT: "float_data", T.DOUBLE: "double_data", T.INT64: "int64_data", T.UINT32: "uint64_data",
    T.UINT64: "uint64_data", T.COMPLEX64: "float_data", T.COMPLEX128: "double_data", T.STRING: "string_data",
}  # fmt: skip
"""Type of a tensor -> the field with its values where they are not in `raw_data`; int32_data for the others."""

Function = tuple[str, str]
"""Domain and name."""


def check_graph(model: onnx.ModelProto, name: str) -> None:
    """Raise ModelError where the graph is larger than any of Kokoro's once it is opened, or its tensors are damaged."""
    functions: dict[Function, onnx.FunctionProto] = {(each.domain, each.name): each for each in model.functions}
    if len(model.functions) > MOST_FUNCTIONS or len(functions) < len(model.functions):
        raise ModelError(f"{name} has too many functions, or two of one name; export it again")
    sizes: dict[Function, int] = {}

    def size(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > DEEPEST_CALL:
            raise ModelError(f"{name} has functions that call each other without end; choose another file")
        total = 0
        for node in _with_subgraphs(nodes):
            key = (node.domain, node.op_type)
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, depth + 1)
            total += sizes.get(key, 1)
            if total > MOST_NODES:
                raise ModelError(f"{name} expands to more than {MOST_NODES:,} nodes; choose another file")
        return total

    _check_names(model, name)
    size(model.graph.node, 0)
    for function in functions.values():
        _check_tensors(_graphs(function.node), function.node, name)
    _check_tensors([model.graph, *_graphs(model.graph.node)], model.graph.node, name)
    bodies = (model.graph.node, *(function.node for function in functions.values()))
    inner = (tensor for nodes in bodies for graph in _graphs(nodes) for tensor in graph.initializer)
    if any(tensor.data_location == T.EXTERNAL for tensor in inner):  # `read_tensors` does not look for files there
        raise ModelError(f"{name} has a tensor of a subgraph outside of the file; export it again")


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the values of a tensor of numbers, by its shape and type. Raises ModelError for an impossible one."""
    if min(tensor.dims, default=0) < 0 or tensor.data_type not in BITS:
        raise ModelError(f"tensor {tensor.name[:80]!r} has an impossible shape or type; get the file again")
    count: int = math.prod(tensor.dims)
    if count > MOST_VALUES:
        raise ModelError(f"tensor {tensor.name[:80]!r} has {count:.1e} values, more than Kokoro's; choose another file")
    return (count * BITS[tensor.data_type] + 7) // 8


def _with_subgraphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of the graphs in their attributes."""
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            yield node
            waiting.extend(graph.node for graph in _graphs_of(node))


def _graphs(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    """All graphs within the attributes of nodes."""
    return [graph for node in _with_subgraphs(nodes) for graph in _graphs_of(node)]


def _graphs_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    graphs: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        graphs.extend(attribute.graphs)
    return graphs


def _check_names(model: onnx.ModelProto, name: str) -> None:
    """Names that are no UTF-8 text come as bytes, which nothing that compares or prints names expects."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    names: Iterator[object] = itertools.chain(
        (info.name for graph in (model.graph, *_graphs(nodes)) for info in (*graph.input, *graph.output)),
        (tensor.name for graph in (model.graph, *_graphs(nodes)) for tensor in graph.initializer),
        (
            word
            for node in _with_subgraphs(nodes)
            for word in (node.name, node.domain, node.op_type, *node.input, *node.output)
        ),
        (attribute.name for node in _with_subgraphs(nodes) for attribute in node.attribute),
        (word for entry in model.metadata_props for word in (entry.key, entry.value)),
        (word for function in model.functions for word in (function.domain, function.name)),
    )
    if not all(isinstance(word, str) for word in names):
        raise ModelError(f"{name} has names that are no text; export it again")


def _check_tensors(graphs: list[onnx.GraphProto], nodes: Iterable[onnx.NodeProto], name: str) -> None:
    for graph in graphs:
        if graph.sparse_initializer:
            raise ModelError(f"{name} has sparse tensors, which no Kokoro file has; choose another file")
        for tensor in graph.initializer:
            _check_tensor(tensor)
    for node in _with_subgraphs(nodes):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ModelError(f"{name} has sparse tensors, which no Kokoro file has; choose another file")
            for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]:
                if tensor.data_location == T.EXTERNAL:
                    raise ModelError(f"{name} has an attribute outside of the file; export it again")
                _check_tensor(tensor)


def _check_tensor(tensor: onnx.TensorProto) -> None:
    """Whether a tensor's values are as many as its shape declares; those in other files are checked when read."""
    if tensor.data_type == T.STRING:
        needed, there = math.prod(tensor.dims), len(tensor.string_data)
    else:
        needed = tensor_bytes(tensor)
        there = len(tensor.raw_data) if tensor.HasField("raw_data") else _listed_bytes(tensor)
    if tensor.data_location != T.EXTERNAL and there != needed:
        raise ModelError(
            f"tensor {tensor.name[:80]!r} is damaged, its data do not match its shape and type; get the file again"
        )


def _listed_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the values in the typed list of a tensor."""
    values: Any = getattr(tensor, LISTS.get(tensor.data_type, "int32_data"))
    bits = BITS[tensor.data_type]
    if tensor.data_type in {T.COMPLEX64, T.COMPLEX128}:
        bits //= 2
    return len(values) * max(8, bits) // 8  # two values of four bits share an entry
