"""The nodes of a foreign graph that read a weight, with hints at the module each belongs to."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError
from kokoro_lab.models.importing.constant_folding import Constants

__all__ = ["ConsumedWeight", "consumed_weights"]

MOST_WEIGHTS = 2_000  # distinct ones; Kokoro has about 300
WRAPPERS = re.compile(r"^(kmodel|module|model)\.")
REPEAT = re.compile(r"_\d+$")


@dataclass(frozen=True, eq=False)
class ConsumedWeight:
    """A weight in the form that our graph reads, with hints at its name."""

    leaf: str
    """`weight`, or an LSTM's `weight_ih`, `weight_hh` or `bias`."""
    value: NDArray[Any]
    paths: tuple[str, ...]
    """Module paths it may have, the most reliable first: from a named neighbour, then from the node's own name."""
    sources: frozenset[str]
    """The initializers that it is computed from."""
    digest: str

    def may_be(self, name: str) -> bool:
        """Whether the parameter `name` matches a path; the path of a method call lacks its first parts."""
        stem, _, leaf = name.rpartition(".")
        return leaf == self.leaf and any(stem == path or stem.endswith(f".{path}") for path in self.paths)


def consumed_weights(graph: onnx.GraphProto, constants: Constants) -> list[ConsumedWeight]:
    """Every distinct weight that a node reads, in the graph's order."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    distinct: dict[str, ConsumedWeight] = {}
    for node in graph.node:
        for leaf, name, value in _weights(node, constants):
            constants.charge(value.nbytes)
            digest = hashlib.sha256(f"{leaf}{value.shape}".encode() + value.tobytes()).hexdigest()
            paths = tuple(dict.fromkeys([*_neighbours(node, readers, constants), _scope(node)]))
            if digest in distinct:
                paths = tuple(dict.fromkeys([*distinct[digest].paths, *paths]))
            distinct[digest] = ConsumedWeight(leaf, value, paths, constants.sources(name), digest)
            if len(distinct) > MOST_WEIGHTS:
                raise ModelError(f"the file has more than {MOST_WEIGHTS:,} weights; import another file")
    return list(distinct.values())


def _weights(node: onnx.NodeProto, constants: Constants) -> list[tuple[str, str, NDArray[Any]]]:
    """(leaf, tensor, value) of the weights of a node, converted to our graph's form."""
    kind = node.op_type
    inputs = list(node.input)
    if kind == "LSTM" and len(inputs) >= 4:
        parts = zip(("weight_ih", "weight_hh", "bias"), inputs[1:4], strict=True)
        return [(leaf, name, constants.value(name)) for leaf, name in parts if name in constants]
    if kind not in {"Conv", "ConvTranspose", "Gemm", "MatMul"} or len(inputs) < 2 or inputs[1] not in constants:
        return []
    value = constants.value(inputs[1])
    if kind == "MatMul" and value.ndim == 2:
        return [("weight", inputs[1], np.ascontiguousarray(value.T))]
    if kind == "Gemm":
        transposed = any(each.name == "transB" and each.i for each in node.attribute)
        return [("weight", inputs[1], value if transposed else np.ascontiguousarray(value.T))]
    return [("weight", inputs[1], value)] if kind.startswith("Conv") else []


def _neighbours(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], constants: Constants) -> list[str]:
    """Module paths from the named bias that this node, or the Add after it, reads."""
    names = [name for name in node.input[2:] if name]
    if node.op_type == "MatMul":
        for reader in readers.get(node.output[0], []):
            if reader.op_type == "Add":
                names += [name for name in reader.input if name in constants]
    paths = []
    for name in names:
        if name.endswith(".bias"):
            paths += _without_wrappers(name.removesuffix(".bias"))
    return paths


def _scope(node: onnx.NodeProto) -> str:
    """`/decoder/generator/ups.0/ConvTranspose` -> `decoder.generator.ups.0`."""
    parts = [REPEAT.sub("", part) for part in node.name.strip("/").split("/")[:-1]]
    return WRAPPERS.sub("", ".".join(parts))


def _without_wrappers(path: str) -> list[str]:
    shorter = WRAPPERS.sub("", path)
    return [path] if shorter == path else [shorter, path]
