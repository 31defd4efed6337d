"""Rewrites a graph of ours to the compiled operators of `kokoro_lab.kernels`.

The graph before the decoder and the vocoder stays unchanged, node by node, so the harmonic source is the same to the
last bit. The two stages after it are rewritten channels last ([1, time, channels]), with a node for each convolution
and everything around it. Parameters keep their names and values; the operators transform them when a session is
created.

Precision `int16` rounds the inputs of the products of the transformed convolutions: each point's inputs and each
column's weights have their own scale, so that a single convolution is at least 44 dB above its rounding error.

The operators, domain `kokoro_lab`, version 1 (inputs and outputs in this order, optional inputs may be empty):

Convolution  x [1, T, in], weight [out, in, taps] (an initializer), bias [out], statistics [2, in], style [1, 2 in],
             norm_weight [in], norm_bias [in], alpha [1, in, 1], residual, residual [1, T', out]
             -> y [1, T', out], statistics [2, out]
             attributes dilation, left and right (rows of zeros), activation (0 none, 1 leaky ReLU of `slope`, 2 Snake),
             epsilon, gain, shorts (1: products of 16-bit integers on x86-64 from v3 on, else of floats).
             y = gain (conv(activation(norm(x))) + bias + residuals); with a style the input is normalised by its
             statistics (means, then variances; computed when not given).
Upsample     the same with weight [in, out, 2 stride] of a transposed convolution; attributes stride, trim (samples cut
             from both ends) and reflect (put a copy of row 1 before row 0) instead of dilation, left and right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from kokoro_lab.errors import ModelError
from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.models.files.model_record import data_path
from kokoro_lab.models.graph import transform
from kokoro_lab.models.graph.architecture import Architecture, architecture_named
from kokoro_lab.models.graph.builder import GraphBuilder
from kokoro_lab.models.graph.layers import EPSILON, STYLE_SLOPE, adain, conv, leaky_relu, linear, transposed_conv
from kokoro_lab.models.graph.stages import LAST_SLOPE, VOCODER_SLOPE

__all__ = ["DOMAIN", "PRECISIONS", "VERSION", "Precision", "rewrite_for_kernels", "save_apart", "uses_kernels"]

DOMAIN, VERSION = "kokoro_lab", 1
NO_ACTIVATION, LEAKY, SNAKE = 0, 1, 2
BOUNDARIES = ("text_encoding", "frame_token", "f0", "energy", "source_spectrum")
GENERATOR = "decoder.generator"
RESIDUAL = 8  # the input whose memory an output may reuse
APART_BYTES = 1 << 16  # tensors of at least this size are mapped from the data file

Precision = Literal["fp32", "int16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int16")


def uses_kernels(model: onnx.ModelProto) -> bool:
    """Whether the model has our operators, so that a session needs the compiled library."""
    return any(entry.domain == DOMAIN for entry in model.opset_import)


def rewrite_for_kernels(model: onnx.ModelProto, precision: Precision = "fp32") -> onnx.ModelProto:
    """The same model on our operators; ModelError when it is not a graph of ours, or was rewritten already."""
    arch = _architecture(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    arrays = _Arrays(weights)
    g = GraphBuilder(arrays)
    try:
        with g.scope("kernels"):
            _Writer(g, arch, arrays, precision).write()
    except KeyError as error:
        raise ModelError(
            f"the model has no parameter {error.args[0]}; rewrite the fp32 model that it was derived from"
        ) from error
    tail = g.model("tail", {}).graph
    _set_apart(tail)
    kept = _upstream(model.graph, (*BOUNDARIES, *(output.name for output in model.graph.output)))
    read = {name for node in (*kept, *tail.node) for name in node.input}
    outputs = {name for node in kept for name in node.output}
    fresh = {tensor.name for tensor in tail.initializer}
    graph = helper.make_graph(
        [*kept, *tail.node],
        model.graph.name,
        model.graph.input,
        model.graph.output,
        initializer=[
            *(tensor for name, tensor in weights.items() if name in read and name not in fresh),
            *tail.initializer,
        ],
        value_info=[*(info for info in model.graph.value_info if info.name in outputs), *_shapes(tail)],
    )
    result = helper.make_model(
        graph,
        opset_imports=[*model.opset_import, helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=model.ir_version,
        producer_name=model.producer_name,
    )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(result, {**metadata, "kokoro_lab.graph": f"kernels-{precision}"})
    return result


def save_apart(model: onnx.ModelProto, path: Path) -> Path:
    """Write the graph to `path` and its large tensors beside it (its data file, returned); changes `model`.

    onnxruntime maps such tensors from the file, and the operators release them once they are packed: about 190 MB less
    memory at full size than with a single file. Both files appear only when they are complete.
    """
    data = data_path(path)
    with scratch_folder(path.parent, prefix=f".{path.name}.", error=ModelError) as folder:
        written = folder / path.name
        onnx.save(model, written, save_as_external_data=True, location=data.name, size_threshold=APART_BYTES)
        data.unlink(missing_ok=True)
        if (large := written.with_name(data.name)).is_file():
            large.chmod(0o644)
            large.replace(data)
        written.replace(path)
    return data


def _architecture(model: onnx.ModelProto) -> Architecture:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    outputs = {name for node in model.graph.node for name in node.output}
    if uses_kernels(model) or not outputs.issuperset(BOUNDARIES):
        raise ModelError("only a graph built by kokoro-lab can be rewritten for the kernels; import the model first")
    if "kokoro_lab.architecture" not in metadata:
        raise ModelError("the model's metadata lack its architecture; import the model again")
    return architecture_named(metadata["kokoro_lab.architecture"])


class _Arrays(dict[str, NDArray[Any]]):
    """Initializers by name, converted to arrays on request."""

    def __init__(self, tensors: dict[str, onnx.TensorProto]) -> None:
        super().__init__()
        self._tensors = tensors

    def __missing__(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = numpy_helper.to_array(self._tensors[name])
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._tensors


def _set_apart(graph: onnx.GraphProto) -> None:
    """Rename the constants, because every builder numbers them from 0."""

    def apart(name: str) -> str:
        return f"kernels/{name}" if name.startswith("constant/") else name

    for tensor in graph.initializer:
        tensor.name = apart(tensor.name)
    for node in graph.node:
        node.input[:] = [apart(name) for name in node.input]


def _shapes(tail: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Shapes of our operators' outputs, lengths by name: tensors with equal lengths can reuse each other's memory."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in tail.initializer}
    lengths: dict[str, str] = {}
    shapes = []
    for node in (node for node in tail.node if node.domain == DOMAIN):
        x, weight, *others = node.input
        residual = others[RESIDUAL - 2] if len(others) > RESIDUAL - 2 else ""
        number = {entry.name: entry.i for entry in node.attribute}
        columns, _, taps = weights[weight]
        pads = number.get("left", 0) + number.get("right", 0)
        keeps = node.op_type == "Convolution" and pads == number.get("dilation", 1) * (taps - 1)
        like = residual or (x if keeps else "")
        lengths[node.output[0]] = lengths.get(like, f"rows of {like or node.output[0]}")
        channels = weights[weight][1] if node.op_type == "Upsample" else columns
        shapes.append(
            helper.make_tensor_value_info(
                node.output[0], onnx.TensorProto.FLOAT, [1, lengths[node.output[0]], channels]
            )
        )
    return shapes


def _upstream(graph: onnx.GraphProto, names: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that the tensors `names` depend on, without decoder and vocoder, in the graph's order."""
    maker = {output: index for index, node in enumerate(graph.node) for output in node.output}
    needed: set[int] = set()
    open_names = [name for name in names if name != "audio"]
    while open_names:
        index = maker.get(open_names.pop())
        if index is not None and index not in needed:
            needed.add(index)
            open_names += graph.node[index].input
    return [graph.node[index] for index in sorted(needed)]


@dataclass(frozen=True)
class _Extras:
    """What an operator of ours takes beside its input, weight and bias; empty: nothing of that kind."""

    norm: str = ""
    """Parameters of an adaptive instance normalisation."""
    statistics: str = ""
    """Statistics of the input, for that normalisation."""
    alpha: str = ""
    residuals: tuple[str, ...] = ()
    """Added to the output."""


NO_EXTRAS = _Extras()


class _Writer:
    """Writes decoder and vocoder, channels last."""

    def __init__(
        self, g: GraphBuilder, arch: Architecture, weights: Mapping[str, NDArray[Any]], precision: Precision
    ) -> None:
        self._g = g
        self._arch = arch
        self._weights = weights
        self._shorts = int(precision == "int16")
        self._style = g.op("Slice", "style", g.ints([0]), g.ints([arch.style]), g.ints([1]))

    def write(self) -> None:
        """From the boundaries to `audio`."""
        self._vocoder(self._decoder())

    def _op(
        self,
        kind: str,
        operands: Sequence[str],
        extras: _Extras = NO_EXTRAS,
        *,
        measured: bool = False,
        exact: bool = False,
        **attributes: Any,
    ) -> tuple[str, str]:
        """Add one of our nodes; returns its output and, if `measured`, its statistics. `exact` nodes stay in fp32."""
        g = self._g
        if self._shorts and not exact:
            attributes["shorts"] = 1
        styled = ("", "", "")
        if extras.norm:
            styled = (
                linear(g, self._style, f"{extras.norm}.fc"),
                g.weight(f"{extras.norm}.norm.weight"),
                g.weight(f"{extras.norm}.norm.bias"),
            )
        inputs = [*operands, extras.statistics, *styled, extras.alpha, *extras.residuals]
        while not inputs[-1]:
            inputs.pop()
        outputs = g.ops(kind, *inputs, outputs=1 + measured, domain=DOMAIN, **attributes)
        return outputs[0], outputs[1] if measured else ""

    def _conv(
        self, x: str, name: str, taps: int, extras: _Extras = NO_EXTRAS, *, dilation: int = 1, **rest: Any
    ) -> tuple[str, str]:
        """A convolution that keeps the length, named after its parameters."""
        g = self._g
        bias = g.weight(f"{name}.bias") if g.has_weight(f"{name}.bias") else ""
        pad = dilation * (taps - 1) // 2
        with g.scope(name):
            return self._op(
                "Convolution",
                (x, g.weight(f"{name}.weight"), bias),
                extras,
                dilation=dilation,
                left=pad,
                right=pad,
                epsilon=EPSILON,
                **rest,
            )

    def _rows(self, x: str) -> str:
        """[1, channels, time] -> [1, time, channels], or back."""
        return self._g.op("Transpose", x, perm=[0, 2, 1])

    def _decoder(self) -> str:
        g, a = self._g, self._arch
        asr = g.op("Unsqueeze", g.op("Gather", "text_encoding", "frame_token", axis=0), g.ints([0]))
        f0 = self._rows(conv(g, "f0", "decoder.F0_conv", kernel=3, stride=2))
        energy = self._rows(conv(g, "energy", "decoder.N_conv", kernel=3, stride=2))
        x = self._style_block(g.op("Concat", asr, f0, energy, axis=2), "decoder.encode")
        residual, _ = self._conv(asr, "decoder.asr_res.0", 1)
        width = a.decoder + 2 + a.asr_residual
        for index in range(4):
            x = g.op("Concat", x, residual, f0, energy, axis=2)
            name = f"decoder.decode.{index}"
            x = self._style_block(x, name) if index < 3 else self._doubling_block(x, name, width)
        return x

    def _style_block(self, x: str, name: str) -> str:
        inner, statistics = self._conv(
            x, f"{name}.conv1", 3, _Extras(norm=f"{name}.norm1"), activation=LEAKY, slope=STYLE_SLOPE, measured=True
        )
        shortcut, _ = self._conv(x, f"{name}.conv1x1", 1)
        return self._second_half(inner, statistics, shortcut, name)

    def _doubling_block(self, x: str, name: str, width: int) -> str:
        """A style block that doubles the time steps; the shortcut's 1x1 convolution comes before its doubling."""
        g = self._g
        columns = leaky_relu(g, adain(g, self._rows(x), self._style, f"{name}.norm1"), STYLE_SLOPE)
        pooled = transposed_conv(g, columns, f"{name}.pool", kernel=3, stride=2, pads=(1, 0), groups=width)
        inner, statistics = self._conv(self._rows(pooled), f"{name}.conv1", 3, measured=True)
        shortcut, _ = self._conv(x, f"{name}.conv1x1", 1)
        pairs = g.op("Expand", g.op("Unsqueeze", shortcut, g.ints([2])), g.ints([1, 1, 2, 1]))
        shortcut = g.op("Reshape", pairs, g.ints([1, -1, self._arch.upsample_initial]))
        return self._second_half(inner, statistics, shortcut, name)

    def _second_half(self, inner: str, statistics: str, shortcut: str, name: str) -> str:
        return self._conv(
            inner,
            f"{name}.conv2",
            3,
            _Extras(norm=f"{name}.norm2", statistics=statistics, residuals=(shortcut,)),
            activation=LEAKY,
            slope=STYLE_SLOPE,
            gain=float(np.sqrt(0.5)),
        )[0]

    def _vocoder(self, x: str) -> None:
        g, a = self._g, self._arch
        spectrum = self._rows("source_spectrum")
        last = len(a.upsample_rates) - 1
        for stage, (rate, kernel) in enumerate(zip(a.upsample_rates, a.upsample_kernels, strict=True)):
            source, statistics = self._noise_conv(spectrum, stage)
            source, _ = self._resblock(
                source, statistics, f"{GENERATOR}.noise_res.{stage}", a.noise_resblock_kernels[stage]
            )
            name = f"{GENERATOR}.ups.{stage}"
            with g.scope(name):
                x, statistics = self._op(
                    "Upsample",
                    (x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias")),
                    _Extras(residuals=(source,)),
                    stride=rate,
                    trim=(kernel - rate) // 2,
                    reflect=int(stage == last),
                    activation=LEAKY,
                    slope=VOCODER_SLOPE,
                    measured=True,
                )
            total = ""
            for index, taps in enumerate(a.resblock_kernels):
                block = stage * len(a.resblock_kernels) + index
                share = 1 / len(a.resblock_kernels) if index == len(a.resblock_kernels) - 1 else 1.0
                total, _ = self._resblock(
                    x, statistics, f"{GENERATOR}.resblocks.{block}", taps, total=total, gain=share
                )
            x = total
        bins, _ = self._conv(x, f"{GENERATOR}.conv_post", 7, activation=LEAKY, slope=LAST_SLOPE, exact=True)
        transform.add_inverse(g, a, self._rows(bins), "audio")

    def _noise_conv(self, spectrum: str, stage: int) -> tuple[str, str]:
        """The noise convolution of a stage. A stride of s over a kernel of 2 s is two taps over rows of s frames."""
        g, a = self._g, self._arch
        name = f"{GENERATOR}.noise_convs.{stage}"
        stride = int(np.prod(a.upsample_rates[stage + 1 :]))
        if stage == len(a.upsample_rates) - 1:
            return self._conv(spectrum, name, 1, measured=True)
        left = (stride + 1) // 2
        padded = g.op("Pad", spectrum, g.ints([0, left, 0, 0, stride - 1 - left, 0]))
        rows = g.op("Reshape", padded, g.ints([1, -1, stride * 2 * a.bins]))
        weight = self._weights[f"{name}.weight"]  # [width, 2 bins, 2 stride]
        split = weight.reshape(*weight.shape[:2], 2, stride).transpose(0, 3, 1, 2)
        taps = g.initializer(f"{name}.rows", np.ascontiguousarray(split.reshape(len(weight), -1, 2)))
        with g.scope(name):
            return self._op("Convolution", (rows, taps, g.weight(f"{name}.bias")), measured=True, exact=True)

    def _resblock(
        self, x: str, statistics: str, name: str, taps: int, *, total: str = "", gain: float = 1.0
    ) -> tuple[str, str]:
        """gain * (total + the block's output)."""
        last = len(self._arch.resblock_dilations) - 1
        for index, dilation in enumerate(self._arch.resblock_dilations):
            inner, middle = self._conv(
                x,
                f"{name}.convs1.{index}",
                taps,
                _Extras(f"{name}.adain1.{index}", statistics, self._g.weight(f"{name}.alpha1.{index}")),
                dilation=dilation,
                activation=SNAKE,
                measured=True,
            )
            residuals = (x, total) if index == last and total else (x,)
            x, statistics = self._conv(
                inner,
                f"{name}.convs2.{index}",
                taps,
                _Extras(f"{name}.adain2.{index}", middle, self._g.weight(f"{name}.alpha2.{index}"), residuals),
                activation=SNAKE,
                measured=index < last,
                gain=gain if index == last else 1.0,
            )
        return x, statistics
