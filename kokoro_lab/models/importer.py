"""Takes other people's Kokoro files apart: ONNX exports of upstream's model, and upstream's own .pth.

A parameter is found by the name that the exporter left on it, raw or in two halves of a weight normalisation. One
that constant folding has renamed is found by the node that reads it: by the named bias beside it, by the module path
in the node's own name, and last by its turn among the nodes of one kind and shape. `variants.proof` then runs the
rebuilt graph against the original, so that a wrong guess cannot pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import ModelError
from kokoro_lab.models.anchors import Anchor, anchors
from kokoro_lab.models.architecture import FULL, UNREAD_PARAMETERS, Architecture, parameters
from kokoro_lab.models.constants import Constants
from kokoro_lab.models.contract import Contract, read_contract
from kokoro_lab.models.onnxfile import contract_ports, read_onnx
from kokoro_lab.models.state import fold
from kokoro_lab.models.torchfile import read_torch_file

__all__ = ["Recovered", "folded_shapes", "recover", "recover_onnx", "recover_torch"]

Floats = NDArray[np.float32]
TORCH_PARTS = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")
NEWER_NAMES = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
FLOAT_TYPES = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
LSTM_PARTS = tuple(
    f"{kind}_{part}_l0{way}" for kind in ("weight", "bias") for part in ("ih", "hh") for way in ("", "_reverse")
)
SAMPLE = 6  # names that a message lists before it says how many more there are


@dataclass(frozen=True, eq=False)
class Recovered:
    """The parameters of a foreign file, as `graph.build` takes them."""

    state: Mapping[str, Floats]
    """Weight normalisation folded, LSTMs stacked in ONNX's gate order."""
    precision: Literal["fp32", "fp16"]
    """What the file kept its weights in."""
    contract: Contract | None
    """How the file wants to be called; None for a .pth."""
    unread: tuple[str, ...]
    """Tensors of the file that are no parameter our graph reads."""


def recover(path: Path, arch: Architecture = FULL) -> Recovered:
    """Take `path` apart: a .pth or .pt by its suffix, else an ONNX file.

    Raises ModelNotFoundError or ModelError; nothing in the file is run.
    """
    return recover_torch(path, arch) if path.suffix in {".pth", ".pt"} else recover_onnx(read_onnx(path), arch)


def recover_torch(path: Path, arch: Architecture = FULL) -> Recovered:
    """The parameters in upstream's .pth: five state dicts, their names with or without `module.`."""
    parts = read_torch_file(path)
    if not isinstance(parts, dict) or not set(TORCH_PARTS) <= set(parts):
        raise ModelError(f"{path.name} is no Kokoro checkpoint: it lacks the parts {', '.join(TORCH_PARTS)}")
    found: dict[str, Any] = {}
    for part in TORCH_PARTS:
        if not isinstance(parts[part], dict):
            raise ModelError(f"{path.name} is no Kokoro checkpoint: {part} is no state dict")
        for name, array in parts[part].items():
            found[f"{part}.{str(name).removeprefix('module.')}"] = array
    named = {_older(name): array for name, array in found.items() if isinstance(array, np.ndarray)}
    known = _known_names(arch)
    unread = tuple(sorted({*named} - known | {*UNREAD_PARAMETERS} & {*named}))
    halves = all(array.dtype == np.float16 for array in named.values())
    return _finished({name: named[name] for name in named.keys() & known}, arch, None, unread, half=halves)


def recover_onnx(model: onnx.ModelProto, arch: Architecture = FULL) -> Recovered:
    """The parameters of an export. Raises ModelError when it is no Kokoro export or a parameter cannot be found."""
    contract = read_contract(*contract_ports(model))
    constants = Constants(model.graph)
    found: dict[str, NDArray[Any]] = {}
    read: set[str] = set()
    for name in constants.names:
        known = _parameter_named(name, arch)
        if known is not None and known not in found:
            found[known] = constants.value(name)
            read |= constants.sources(name)
    shapes = folded_shapes(arch)
    wanted = {name: shape for name, shape in shapes.items() if name not in _complete(found)}
    for name, anchor in _matched(anchors(model.graph, constants), wanted).items():
        found[name] = anchor.value
        read |= anchor.sources
    unread = tuple(
        sorted(
            tensor.name
            for tensor in model.graph.initializer
            if tensor.name not in read and tensor.data_type in FLOAT_TYPES and np.prod(tensor.dims) > 1
        )
    )
    return _finished(found, arch, contract, unread, half=_mostly_half(model, read))


def folded_shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor our graph reads, as `state.fold` names them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in parameters(arch).items():
        if name in UNREAD_PARAMETERS or name.endswith((".weight_g", "_reverse")):
            continue
        stem, _, leaf = name.rpartition(".")
        if leaf == "weight_v":
            shapes[f"{stem}.weight"] = shape
        elif leaf in {"weight_ih_l0", "weight_hh_l0"}:
            shapes[f"{stem}.{leaf.removesuffix('_l0')}"] = (2, *shape)
        elif leaf == "bias_ih_l0":
            shapes[f"{stem}.bias"] = (2, 2 * shape[0])
        elif leaf != "bias_hh_l0":
            shapes[name] = shape
    return shapes


@cache
def _known_names(arch: Architecture) -> frozenset[str]:
    return frozenset({*parameters(arch), *folded_shapes(arch)})


def _older(name: str) -> str:
    """Newer torch names the halves of a weight normalisation another way."""
    for newer, older in NEWER_NAMES.items():
        if name.endswith(newer):
            return name.removesuffix(newer) + older
    return name


def _parameter_named(name: str, arch: Architecture) -> str | None:
    """The parameter that a tensor's name ends with, wrappers such as `kmodel.` before it."""
    known = _known_names(arch)
    parts = _older(name).split(".")
    for start in range(len(parts)):
        candidate = ".".join(parts[start:])
        if candidate in known:
            return candidate
    return None


def _complete(found: Mapping[str, Any]) -> set[str]:
    """Folded names that the found parameters give, whole or by all their parts."""
    ready = set(found)
    for name in found:
        stem = name.removesuffix(".weight_v")
        if stem != name and f"{stem}.weight_g" in found:
            ready.add(f"{stem}.weight")
        stem = name.removesuffix(".weight_ih_l0")
        if stem != name and all(f"{stem}.{part}" in found for part in LSTM_PARTS):
            ready |= {f"{stem}.weight_ih", f"{stem}.weight_hh", f"{stem}.bias"}
    return ready


def _matched(found: list[Anchor], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Anchor]:
    """Give each wanted tensor the anchor that is it: by exact path, then by elimination, then by turn."""
    open_names = dict(wanted)
    matched: dict[str, Anchor] = {}
    left = list(found)

    def give(name: str, anchor: Anchor) -> None:
        matched[name] = anchor
        del open_names[name]
        left[:] = [other for other in left if other.digest != anchor.digest]

    for anchor in found:
        for path in anchor.paths:
            name = f"{path}.{anchor.leaf}"
            if open_names.get(name) == anchor.value.shape and anchor in left:
                give(name, anchor)
    progress = True
    while progress:
        progress = False
        for anchor in list(left):
            choices = [n for n, shape in open_names.items() if shape == anchor.value.shape and anchor.may_be(n)]
            if len(choices) == 1 and anchor in left:
                give(choices[0], anchor)
                progress = True
    for name, shape in list(open_names.items()):
        leaf = name.rpartition(".")[2]
        turn = next((a for a in left if a.value.shape == shape and a.leaf == leaf), None)
        rest = [n for n, other in open_names.items() if other == shape and n.rpartition(".")[2] == leaf]
        candidates = {a.digest for a in left if a.value.shape == shape and a.leaf == leaf}
        if turn is not None and len(rest) == len(candidates):
            give(name, turn)
    return matched


def _mostly_half(model: onnx.ModelProto, read: set[str]) -> bool:
    """Whether more of the values that were read are stored as float16 than as float32, whatever casts follow them."""
    sizes = dict.fromkeys(FLOAT_TYPES, 0)
    for tensor in model.graph.initializer:
        if tensor.name in read and tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims))
    return sizes[onnx.TensorProto.FLOAT16] > sizes[onnx.TensorProto.FLOAT]


def _finished(
    found: Mapping[str, NDArray[Any]],
    arch: Architecture,
    contract: Contract | None,
    unread: tuple[str, ...],
    *,
    half: bool,
) -> Recovered:
    floats = {name: np.asarray(array, np.float32) for name, array in found.items() if array.dtype.kind == "f"}
    whole = {name: array for name, array in floats.items() if _has_partners(name, floats)}
    try:
        folded = fold(whole)
    except (KeyError, ValueError) as error:
        raise ModelError(f"the file's weight normalisation does not fit together: {error}") from error
    shapes = folded_shapes(arch)
    missing = [name for name in shapes if name not in folded]
    if missing:
        raise ModelError(f"the file lacks {_listed(missing)}; export it again with all of the model's parameters")
    wrong = [name for name, shape in shapes.items() if folded[name].shape != shape]
    if wrong:
        raise ModelError(f"the file is another model: the shapes of {_listed(wrong)} are not Kokoro's")
    bad = [name for name in shapes if not np.isfinite(folded[name]).all()]
    if bad:
        raise ModelError(f"the file holds values that are not finite in {_listed(bad)}; get it again")
    state = {name: np.ascontiguousarray(folded[name], np.float32) for name in shapes}
    return Recovered(state, "fp16" if half else "fp32", contract, unread)


def _has_partners(name: str, found: Mapping[str, Any]) -> bool:
    """Whether the other parts that `fold` needs together with this one are there."""
    stem, _, leaf = name.rpartition(".")
    if leaf in {"weight_g", "weight_v"}:
        return f"{stem}.weight_g" in found and f"{stem}.weight_v" in found
    return "_l0" not in leaf or all(f"{stem}.{part}" in found for part in LSTM_PARTS)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SAMPLE} more" if len(names) > SAMPLE else ""
    return ", ".join(names[:SAMPLE]) + more
