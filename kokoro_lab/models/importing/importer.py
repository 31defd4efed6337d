"""Recovers the parameters from other exporters' Kokoro files: ONNX exports of upstream's model, and upstream's .pth.

A parameter is identified by the name that the exporter left on it, raw or as the two halves of a weight normalisation.
A parameter that constant folding has renamed is identified by the node that reads it: by the named bias beside it, by
the module path in the node's own name, and last by its order among the nodes of the same kind and shape.
`variants.import_proof` then runs the rebuilt graph against the original, so that a wrong guess is detected.
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
from kokoro_lab.files.reading import decoding
from kokoro_lab.models.files.contract import Contract, read_contract
from kokoro_lab.models.files.onnxfile import contract_ports, read_onnx
from kokoro_lab.models.files.torchfile import read_torch_file
from kokoro_lab.models.graph.architecture import FULL, UNREAD_PARAMETERS, Architecture, parameters
from kokoro_lab.models.graph.state_dict import fold
from kokoro_lab.models.importing.constant_folding import Constants
from kokoro_lab.models.importing.weight_consumers import ConsumedWeight, consumed_weights

__all__ = ["RecoveredParameters", "folded_shapes", "recover", "recover_onnx", "recover_torch"]

Floats = NDArray[np.float32]
TORCH_PARTS = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")
NEWER_NAMES = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
FLOAT_TYPES = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
LSTM_PARTS = tuple(
    f"{kind}_{part}_l0{way}" for kind in ("weight", "bias") for part in ("ih", "hh") for way in ("", "_reverse")
)
SAMPLE = 6  # names listed in a message before "and N more"


@dataclass(frozen=True, eq=False)
class RecoveredParameters:
    """The parameters of a foreign file, in the form that `model_graph.build` takes."""

    state: Mapping[str, Floats]
    """Weight normalisation folded, LSTMs stacked in ONNX's gate order."""
    precision: Literal["fp32", "fp16"]
    """Precision of the weights in the file."""
    contract: Contract | None
    """How the file is called; None for a .pth."""
    unread: tuple[str, ...]
    """Tensors of the file that are not parameters of our graph."""


def recover(path: Path, arch: Architecture = FULL) -> RecoveredParameters:
    """Recover the parameters of `path`: a .pth or .pt by its suffix, else an ONNX file.

    Raises ModelNotFoundError or ModelError; no code in the file is run.
    """
    with decoding(f"model file {path.name}", error=ModelError, advice="export it again"):
        return recover_torch(path, arch) if path.suffix in {".pth", ".pt"} else recover_onnx(read_onnx(path), arch)


def recover_torch(path: Path, arch: Architecture = FULL) -> RecoveredParameters:
    """The parameters of upstream's .pth: five state dicts, their names with or without `module.`."""
    parts = read_torch_file(path)
    if not isinstance(parts, dict) or not set(TORCH_PARTS) <= set(parts):
        raise ModelError(
            f"{path.name} is not a Kokoro checkpoint, it lacks {', '.join(TORCH_PARTS)}; choose upstream's .pth"
        )
    tensors: dict[str, Any] = {}
    for part in TORCH_PARTS:
        if not isinstance(parts[part], dict):
            raise ModelError(f"{path.name} is not a Kokoro checkpoint, {part} is no state dict; choose upstream's .pth")
        for name, array in parts[part].items():
            tensors[f"{part}.{str(name).removeprefix('module.')}"] = array
    named = {_older(name): array for name, array in tensors.items() if isinstance(array, np.ndarray)}
    known = _known_names(arch)
    unread = tuple(sorted({*named} - known | {*UNREAD_PARAMETERS} & {*named}))
    halves = all(array.dtype == np.float16 for array in named.values())
    return _finished({name: named[name] for name in named.keys() & known}, arch, None, unread, half=halves)


def recover_onnx(model: onnx.ModelProto, arch: Architecture = FULL) -> RecoveredParameters:
    """The parameters of an export. Raises ModelError for a foreign model or an unidentifiable parameter."""
    contract = read_contract(*contract_ports(model))
    constants = Constants(model.graph)
    tensors: dict[str, NDArray[Any]] = {}
    read: set[str] = set()
    for name in constants.names:
        known = _parameter_named(name, arch)
        if known is not None and known not in tensors:
            tensors[known] = constants.value(name)
            read |= constants.sources(name)
    shapes = folded_shapes(arch)
    wanted = {name: shape for name, shape in shapes.items() if name not in _complete(tensors)}
    for name, anchor in _matched(consumed_weights(model.graph, constants), wanted).items():
        tensors[name] = anchor.value
        read |= anchor.sources
    unread = tuple(
        sorted(
            tensor.name
            for tensor in model.graph.initializer
            if tensor.name not in read and tensor.data_type in FLOAT_TYPES and np.prod(tensor.dims) > 1
        )
    )
    return _finished(tensors, arch, contract, unread, half=_mostly_half(model, read))


def folded_shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that our graph reads, under the names of `state_dict.fold`."""
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
    """The older of torch's two names for each half of a weight normalisation."""
    for newer, older in NEWER_NAMES.items():
        if name.endswith(newer):
            return name.removesuffix(newer) + older
    return name


def _parameter_named(name: str, arch: Architecture) -> str | None:
    """The parameter that a tensor's name ends with, after wrappers such as `kmodel.`."""
    known = _known_names(arch)
    parts = _older(name).split(".")
    for start in range(len(parts)):
        candidate = ".".join(parts[start:])
        if candidate in known:
            return candidate
    return None


def _complete(tensors: Mapping[str, Any]) -> set[str]:
    """Folded names for which the tensors suffice, as a whole or by all their parts."""
    ready = set(tensors)
    for name in tensors:
        stem = name.removesuffix(".weight_v")
        if stem != name and f"{stem}.weight_g" in tensors:
            ready.add(f"{stem}.weight")
        stem = name.removesuffix(".weight_ih_l0")
        if stem != name and all(f"{stem}.{part}" in tensors for part in LSTM_PARTS):
            ready |= {f"{stem}.weight_ih", f"{stem}.weight_hh", f"{stem}.bias"}
    return ready


def _matched(weights: list[ConsumedWeight], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, ConsumedWeight]:
    """Assign an anchor to each wanted tensor: by exact path, then by elimination, then by order."""
    open_names = dict(wanted)
    matched: dict[str, ConsumedWeight] = {}
    left = list(weights)

    def give(name: str, anchor: ConsumedWeight) -> None:
        matched[name] = anchor
        del open_names[name]
        left[:] = [other for other in left if other.digest != anchor.digest]

    for anchor in weights:
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
    """Whether more of the values read are stored as float16 than as float32, whatever casts follow them."""
    sizes = dict.fromkeys(FLOAT_TYPES, 0)
    for tensor in model.graph.initializer:
        if tensor.name in read and tensor.data_type in sizes:
            sizes[tensor.data_type] += int(np.prod(tensor.dims))
    return sizes[onnx.TensorProto.FLOAT16] > sizes[onnx.TensorProto.FLOAT]


def _finished(
    tensors: Mapping[str, NDArray[Any]],
    arch: Architecture,
    contract: Contract | None,
    unread: tuple[str, ...],
    *,
    half: bool,
) -> RecoveredParameters:
    floats = {name: np.asarray(array, np.float32) for name, array in tensors.items() if array.dtype.kind == "f"}
    whole = {name: array for name, array in floats.items() if _has_partners(name, floats)}
    raw, shapes = parameters(arch), folded_shapes(arch)
    complete = _complete(whole)
    missing = [name for name in shapes if name not in complete]
    if missing:
        raise ModelError(f"the file lacks {_listed(missing)}; export it again with all of the model's parameters")
    # Before they are multiplied: operands of foreign shapes may spread out to any size.
    if wrong := [name for name, array in whole.items() if array.shape not in {raw.get(name), shapes.get(name)}]:
        raise _other_shapes(wrong)
    try:
        with np.errstate(all="ignore"):  # a damaged value shows below, where each must be finite
            folded = fold(whole)
    except (KeyError, ValueError) as error:
        raise ModelError(f"the file's weight normalisation is inconsistent: {error}; export it again") from error
    wrong = [name for name, shape in shapes.items() if folded[name].shape != shape]
    if wrong:
        raise _other_shapes(wrong)
    bad = [name for name in shapes if not np.isfinite(folded[name]).all()]
    if bad:
        raise ModelError(f"the file has values that are not finite in {_listed(bad)}; get the file again")
    state = {name: np.ascontiguousarray(folded[name], np.float32) for name in shapes}
    return RecoveredParameters(state, "fp16" if half else "fp32", contract, unread)


def _other_shapes(names: list[str]) -> ModelError:
    return ModelError(
        f"the shapes of {_listed(names)} are not Kokoro's, so the file is another model; import another file"
    )


def _has_partners(name: str, tensors: Mapping[str, Any]) -> bool:
    """Whether the other parts that `fold` needs together with this parameter exist."""
    stem, _, leaf = name.rpartition(".")
    if leaf in {"weight_g", "weight_v"}:
        return f"{stem}.weight_g" in tensors and f"{stem}.weight_v" in tensors
    return "_l0" not in leaf or all(f"{stem}.{part}" in tensors for part in LSTM_PARTS)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SAMPLE} more" if len(names) > SAMPLE else ""
    return ", ".join(names[:SAMPLE]) + more
