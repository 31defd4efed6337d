"""Editing of ONNX graphs: producers and readers of a tensor, values of a constant, nodes added and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["Surgeon"]

Array = NDArray[Any]


class Surgeon:
    """A graph being edited. `finish` sorts the nodes, drops unused nodes, and returns the new model.

    The original model is not changed.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            self.nodes.append(copy)
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._arrays: dict[str, Array] = {}
        self._outputs = list(model.graph.output)
        self._made = 0
        self._retyped: set[str] = set()
        self._index()

    def _index(self) -> None:
        self._makers = {name: node for node in self.nodes for name in node.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def maker(self, name: str) -> onnx.NodeProto | None:
        """The node that produces the tensor; None for inputs and constants."""
        return self._makers.get(name)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read the tensor."""
        return self._readers.get(name, [])

    def reader(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The tensor's reader, if it is the only one and of that kind; else None."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is an initializer."""
        return name in self._tensors or name in self._arrays

    def array(self, name: str) -> Array:
        """An initializer's values; KeyError for another tensor."""
        if name not in self._arrays:
            self._arrays[name] = np.asarray(numpy_helper.to_array(self._tensors[name]))
        return self._arrays[name]

    def put(self, name: str, array: Array) -> str:
        """Set the initializer `name` to `array`."""
        self._arrays[name] = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        self._tensors.pop(name, None)
        return name

    def add(self, kind: str, *inputs: str, name: str = "", outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Append a node and return its first output; `finish` sorts it into place."""
        if not name:
            self._made += 1
            name = f"surgery/{kind}_{self._made}"
        results = list(outputs) or [name]
        node = helper.make_node(kind, list(inputs), results, name=name, **attributes)
        self.nodes.append(node)
        for result in results:
            self._makers[result] = node
        for each in inputs:
            self._readers.setdefault(each, []).append(node)
        return results[0]

    def drop(self, *nodes: onnx.NodeProto) -> None:
        """Remove nodes."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]
        self._index()

    def redirect(self, old: str, new: str) -> None:
        """Make every reader of `old` read `new` instead."""
        for node in self.readers(old):
            for place, name in enumerate(node.input):
                if name == old:
                    node.input[place] = new
        self._readers.setdefault(new, []).extend(self._readers.pop(old, []))

    def expose(self, name: str, shape: Sequence[int | str | None], kind: int = onnx.TensorProto.FLOAT) -> None:
        """Make a tensor a graph output as well."""
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def retype(self, names: Iterable[str]) -> None:
        """Forget the declared types of inner tensors whose types have changed."""
        self._retyped.update(names)

    def finish(
        self, metadata: Mapping[str, str] | None = None, domains: Mapping[str, int] | None = None
    ) -> onnx.ModelProto:
        """The new model; `metadata` is added to the original's."""
        live = self._live()
        order = _sorted(live, self._known())
        read = {name for node in order for name in node.input}
        source = self._model.graph
        tensors = [self._tensor(name) for name in [*self._tensors, *self._arrays] if name in read]
        unique = {tensor.name: tensor for tensor in tensors}
        produced = {name for node in order for name in node.output} - self._retyped
        inputs = [info for info in source.input if info.name in unique or info.name not in self._initializers()]
        outputs = {info.name: info for info in self._outputs}
        graph = helper.make_graph(
            order,
            source.name,
            inputs,
            list(outputs.values()),
            initializer=list(unique.values()),
            value_info=[info for info in source.value_info if info.name in produced and info.name not in outputs],
        )
        imports = {each.domain: each.version for each in self._model.opset_import} | dict(domains or {})
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in imports.items()],
            ir_version=self._model.ir_version,
        )
        model.producer_name = self._model.producer_name
        existing = {entry.key: entry.value for entry in self._model.metadata_props}
        helper.set_model_props(model, {**existing, **(metadata or {})})
        return model

    def _initializers(self) -> set[str]:
        return {tensor.name for tensor in self._model.graph.initializer}

    def _known(self) -> set[str]:
        return {"", *self._tensors, *self._arrays, *(info.name for info in self._model.graph.input)}

    def _tensor(self, name: str) -> onnx.TensorProto:
        if name in self._tensors:
            return self._tensors[name]
        return numpy_helper.from_array(self._arrays[name], name)

    def _live(self) -> list[onnx.NodeProto]:
        """The nodes that some output depends on, in their order."""
        makers = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        waiting = [info.name for info in self._outputs]
        live: set[int] = set()
        while waiting:
            index = makers.get(waiting.pop())
            if index is not None and index not in live:
                live.add(index)
                waiting += self.nodes[index].input
        return [self.nodes[index] for index in sorted(live)]


def _sorted(nodes: list[onnx.NodeProto], known: set[str]) -> list[onnx.NodeProto]:
    """The nodes in topological order, otherwise in the order given."""
    makers = {name: index for index, node in enumerate(nodes) for name in node.output}
    done: set[int] = set()
    order: list[onnx.NodeProto] = []
    for start in range(len(nodes)):
        waiting = [start]
        while waiting:
            index = waiting[-1]
            if index in done:
                waiting.pop()
                continue
            needed = [makers[name] for name in nodes[index].input if name not in known and name in makers]
            missing = [each for each in needed if each not in done]
            if missing:
                waiting += reversed(missing)
                continue
            done.add(index)
            order.append(nodes[index])
            waiting.pop()
    return order
