"""Static int8 convolutions with per-channel scales for inputs and outputs, in standard ONNX operators.

QLinearConv has a single scale for its input and a single scale for its output. Per-channel scales are still possible:
the input's QuantizeLinear takes a scale per channel, and its ratio to the common scale 1 is folded into the weights
before they are rounded; the output's channel scale is folded into the weight scale, and DequantizeLinear reverses it.
Only the input's zero point must be common to all channels, because the convolution also pads with it.

Snake takes a form with a single addition: sin(y)^2 = (1 - cos 2y) / 2, so with u = 2y - pi/2 the activation
x + sin(alpha x)^2 / alpha is (u + sin(u) + c) / (2 alpha), c = 1 + pi/2. The factor is folded into the weights, and c
into the zero points, for which each channel's scale is made a divisor of c.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.models.rewrite.adain_sites import AdainSite, find_sites
from kokoro_lab.models.rewrite.folding import affine_rows, fold_styles
from kokoro_lab.models.rewrite.polyphase import split_phases
from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["OFFSET", "ActivationRange", "conv_names", "observed", "prepare", "quantize_static", "ranges", "selected"]

Floats = NDArray[np.float64]
OFFSET = 1.0 + np.pi / 2
LEVELS = 255  # steps of uint8
WEIGHT_LEVELS = 127  # of int8, symmetric
LEAST_SCALE = 1e-8
BALANCE = 0.6  # share of a channel's range that its own scale absorbs; the weights absorb the rest


@dataclass(frozen=True, eq=False)
class ActivationRange:
    """Lowest and highest value of each channel of a tensor: [C] each."""

    low: Floats
    high: Floats

    def joined(self, other: ActivationRange) -> ActivationRange:
        """The smallest range that contains both."""
        return ActivationRange(np.minimum(self.low, other.low), np.maximum(self.high, other.high))


def conv_names(model: onnx.ModelProto) -> list[str]:
    """Modules whose convolutions can be quantised: ordinary convolutions with more than one input channel."""
    surgeon = Surgeon(model)
    return [_module(node) for node in surgeon.nodes if _quantisable(surgeon, node)]


def selected(names: Collection[str], include: Collection[str], exclude: Collection[str] = ()) -> list[str]:
    """The names that match a pattern of `include` and no pattern of `exclude`; shell wildcards."""

    def fits(name: str, patterns: Collection[str]) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    return [name for name in names if fits(name, include) and not fits(name, exclude)]


def prepare(model: onnx.ModelProto, convs: Collection[str]) -> onnx.ModelProto:
    """The fp32 graph, optimised, with the one-addition Snake before the convolutions that will be quantised."""
    surgeon = Surgeon(model)
    chosen = set(convs)
    split_phases(surgeon, chosen)
    sites = [site for site in find_sites(surgeon) if site.alpha and _feeds_only(surgeon, site, chosen)]
    rows = {}
    for site in sites:
        alpha = surgeon.array(site.alpha).reshape(-1)
        rows[site.name] = affine_rows(surgeon, site, 2 * alpha, -np.pi / 2)
        u = site.norm.output[0]
        sine = surgeon.add("Sin", u, name=f"{site.name}/snake/Sin")
        total = surgeon.add("Add", u, sine, name=f"{site.name}/snake/Add")
        offset = surgeon.put("snake/offset", np.asarray(OFFSET, np.float32))
        for conv in surgeon.readers(site.activated):
            weight = surgeon.array(conv.input[1])
            conv.input[1] = surgeon.put(f"{conv.input[1]}/alpha", weight / (2 * alpha)[None, :, None])
        surgeon.redirect(site.activated, surgeon.add("Add", total, offset, name=f"{site.name}/snake/whole"))
    fold_styles(surgeon, also=(sites, rows))
    return surgeon.finish({"kokoro_lab.graph": "optimized"})


def observed(prepared: onnx.ModelProto, convs: Collection[str]) -> onnx.ModelProto:
    """The prepared graph with each channel's range at the input and output of the named convolutions as graph outputs.

    They are named `observed/MODULE/in/low`, `.../in/high`, `.../out/low` and `.../out/high`, float32 [C] each.
    """
    surgeon = Surgeon(prepared)
    axes = surgeon.put("observed/axes", np.asarray([0, 2], np.int64))
    for module, node in _convolutions(surgeon, convs):
        for end, tensor in (("in", node.input[0]), ("out", node.output[0])):
            for kind, side in (("ReduceMin", "low"), ("ReduceMax", "high")):
                name = surgeon.add(kind, tensor, axes, name=f"observed/{module}/{end}/{side}", keepdims=0)
                surgeon.expose(name, ["C"])
    return surgeon.finish()


def ranges(outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, ActivationRange]:
    """The observed outputs of a call: `MODULE/in` or `MODULE/out` -> range."""
    observed_ranges = {}
    for name, low in outputs.items():
        if name.startswith("observed/") and name.endswith("/low"):
            stem = name.removesuffix("/low")
            observed_ranges[stem.removeprefix("observed/")] = ActivationRange(
                low.astype(np.float64), outputs[f"{stem}/high"].astype(np.float64)
            )
    return observed_ranges


def quantize_static(
    prepared: onnx.ModelProto, convs: Collection[str], reach: Mapping[str, ActivationRange]
) -> onnx.ModelProto:
    """Turn the named convolutions of a prepared graph into int8, by the ranges of their inputs and outputs."""
    surgeon = Surgeon(prepared)
    quantised: dict[str, tuple[str, str, Floats]] = {}
    for module, node in _convolutions(surgeon, convs):
        tensor = str(node.input[0])
        if tensor not in quantised:
            quantised[tensor] = _quantise_input(surgeon, tensor, reach[f"{module}/in"])
        _quantise_conv(surgeon, node, quantised[tensor], reach[f"{module}/out"])
    return surgeon.finish({"kokoro_lab.precision": "int8"})


def _convolutions(surgeon: Surgeon, modules: Collection[str]) -> list[tuple[str, onnx.NodeProto]]:
    chosen = set(modules)
    pairs = [(_module(node), node) for node in surgeon.nodes if node.op_type == "Conv"]
    return [(module, node) for module, node in pairs if module in chosen]


def _quantise_input(surgeon: Surgeon, tensor: str, reach: ActivationRange) -> tuple[str, str, Floats]:
    """(quantised tensor, its common zero point, the scale of each channel)."""
    offset = 0.0
    source = tensor
    maker = surgeon.maker(tensor)
    if maker is not None and maker.op_type == "Add" and maker.name.endswith("/snake/whole"):
        source, offset = maker.input[0], OFFSET
    low, high = np.minimum(reach.low, 0.0), np.maximum(reach.high, 0.0)
    low, high = _balanced(low, high)
    zero = _common_zero(low, high, offset)
    scale = _scales(low, high, zero, offset)
    steps = np.rint(offset / scale).astype(np.int64)
    root = f"{tensor}/int8"
    result = surgeon.add(
        "QuantizeLinear",
        source,
        surgeon.put(f"{root}/scale", scale.astype(np.float32)),
        surgeon.put(f"{root}/zeros", (zero + steps).astype(np.uint8)),
        name=f"{root}/QuantizeLinear",
        axis=1,
    )
    return result, surgeon.put(f"{root}/zero", np.asarray(zero, np.uint8)), scale


def _balanced(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Ranges drawn together: if each channel's scale absorbed its whole range, the weights would get the imbalance."""
    reach = np.maximum(high - low, LEAST_SCALE)
    widened = (reach.max() / reach) ** (1 - BALANCE)
    return low * widened, high * widened


def _scales(low: Floats, high: Floats, zero: int, offset: float) -> Floats:
    scale = np.maximum(-low / max(zero, 1), high / max(LEVELS - zero, 1))
    if not offset:
        return np.maximum(scale, LEAST_SCALE)
    scale = np.maximum(scale, offset / (LEVELS - zero))  # its own zero point has to fit uint8
    return offset / np.maximum(np.floor(offset / scale), 1)


def _common_zero(low: Floats, high: Floats, offset: float) -> int:
    """The zero point with the least loss, by the mean square of the channels' scales relative to their ranges."""
    reach = np.maximum(high - low, LEAST_SCALE)
    first = 0 if low.min() >= 0 else 1
    last = LEVELS if high.max() <= 0 else LEVELS - 1
    losses = [np.mean(np.square(_scales(low, high, zero, offset) / reach)) for zero in range(first, last + 1)]
    return first + int(np.argmin(losses))


def _quantise_conv(
    surgeon: Surgeon, conv: onnx.NodeProto, source: tuple[str, str, Floats], reach: ActivationRange
) -> None:
    quantised, zero, scale = source
    name = _module(conv)
    root = f"{name}/int8"
    weight = surgeon.array(conv.input[1]).astype(np.float64) * scale[None, :, None]
    steps = np.maximum(np.abs(weight).max(axis=(1, 2)) / WEIGHT_LEVELS, LEAST_SCALE)
    rounded = np.rint(weight / steps[:, None, None]).astype(np.int8)
    bias = surgeon.array(conv.input[2]).astype(np.float64) if len(conv.input) > 2 else np.zeros(len(steps))
    low, high = np.minimum(reach.low, 0.0), np.maximum(reach.high, 0.0)
    woven = surgeon.reader(conv.output[0], "Reshape") if conv.input[1].endswith("/phases") else None
    phases = len(bias) // int(surgeon.array(woven.input[1])[0]) if woven is not None else 1
    low = np.repeat(low.reshape(-1, phases).min(axis=1), phases)
    high = np.repeat(high.reshape(-1, phases).max(axis=1), phases)
    out_scale = np.maximum((high - low) / LEVELS, LEAST_SCALE)
    zeros = np.clip(np.rint(-low / out_scale), 0, LEVELS)
    middle = 128
    shifted = np.rint((bias + out_scale * (zeros - middle)) / steps)
    bias_name = surgeon.put(f"{root}/bias", np.clip(shifted, -(2**31) + 1, 2**31 - 1).astype(np.int32))
    one = surgeon.put("int8/one", np.asarray(1.0, np.float32))
    result = surgeon.add(
        "QLinearConv",
        quantised,
        one,
        zero,
        surgeon.put(f"{root}/weight", rounded),
        surgeon.put(f"{root}/weight_scale", (steps / out_scale).astype(np.float32)),
        surgeon.put("int8/none", np.asarray(0, np.int8)),
        one,
        surgeon.put("int8/middle", np.asarray(middle, np.uint8)),
        bias_name,
        name=f"{root}/QLinearConv",
        **{each.name: onnx.helper.get_attribute_value(each) for each in conv.attribute},
    )
    whole = conv.output[0]
    if woven is not None:  # interleave as bytes, then convert to float
        woven.input[0] = result
        result = whole = _end_of_weaving(surgeon, woven)
    readers = list(surgeon.readers(whole))
    dequantised = surgeon.add(
        "DequantizeLinear",
        result,
        surgeon.put(f"{root}/scale", out_scale[::phases].astype(np.float32)),
        surgeon.put(f"{root}/zeros", zeros[::phases].astype(np.uint8)),
        name=f"{root}/DequantizeLinear",
        axis=1,
    )
    for reader in readers:
        for place, each in enumerate(reader.input):
            if each == whole:
                reader.input[place] = dequantised


def _end_of_weaving(surgeon: Surgeon, first: onnx.NodeProto) -> str:
    node: onnx.NodeProto | None = first
    while node is not None and node.op_type != "Slice":
        node = surgeon.readers(node.output[0])[0]
    assert node is not None
    return str(node.output[0])


def _feeds_only(surgeon: Surgeon, site: AdainSite, convs: Collection[str]) -> bool:
    return all(node.op_type == "Conv" and _module(node) in convs for node in surgeon.readers(site.activated))


def _quantisable(surgeon: Surgeon, node: onnx.NodeProto) -> bool:
    if node.op_type not in {"Conv", "ConvTranspose"} or ".weight" not in node.input[1]:
        return False
    groups = next((each.i for each in node.attribute if each.name == "group"), 1)
    return groups == 1 and surgeon.array(node.input[1]).shape[1] > 1


def _module(node: onnx.NodeProto) -> str:
    """The module of a convolution, from the name of its weight."""
    return str(node.input[1]).partition(".weight")[0]
