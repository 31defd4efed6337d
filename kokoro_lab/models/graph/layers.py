"""Kokoro's layers, written as ONNX nodes.

Text tensors are [T, channels]; curves and audio features are [1, channels, time]. Names are those of the upstream
modules, and `state_dict.fold` turns upstream's parameters into the tensors read here.
"""

from __future__ import annotations

import numpy as np

from kokoro_lab.models.graph.builder import GraphBuilder

__all__ = [
    "adain",
    "conv",
    "layer_norm",
    "leaky_relu",
    "linear",
    "lstm",
    "repeat_over",
    "resblock",
    "snake",
    "style_block",
    "transposed_conv",
]

EPSILON = 1e-5  # PyTorch's default of InstanceNorm1d and LayerNorm
STYLE_SLOPE = 0.2  # leaky ReLU inside the style blocks and the text encoder


def linear(g: GraphBuilder, x: str, name: str) -> str:
    """[rows, in] -> [rows, out]."""
    return g.op("Gemm", x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), transB=1)


def layer_norm(g: GraphBuilder, x: str, scale: str, shift: str, *, epsilon: float = EPSILON) -> str:
    """Normalise the last axis."""
    return g.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def leaky_relu(g: GraphBuilder, x: str, slope: float) -> str:
    """x where positive, slope times x elsewhere."""
    return g.op("LeakyRelu", x, alpha=slope)


def lstm(g: GraphBuilder, x: str, name: str, hidden: int) -> str:
    """A bidirectional LSTM over rows: [T, in] -> [T, hidden], forward states in the first half."""
    with g.scope(name):
        sequence = g.op("Unsqueeze", x, g.ints([1]))  # [T, batch 1, in]
        states = g.op(
            "LSTM",
            sequence,
            g.weight(f"{name}.weight_ih"),
            g.weight(f"{name}.weight_hh"),
            g.weight(f"{name}.bias"),
            direction="bidirectional",
            hidden_size=hidden // 2,
        )  # [T, 2, 1, hidden / 2]
        return g.op("Reshape", states, g.ints([-1, hidden]))


def repeat_over(g: GraphBuilder, row: str, like: str, width: int) -> str:
    """Repeat a [1, width] row for every row of `like`."""
    rows = g.op("Shape", like, start=0, end=1)
    return g.op("Expand", row, g.op("Concat", rows, g.ints([width]), axis=0))


def conv(
    g: GraphBuilder,
    x: str,
    name: str,
    *,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    padding: int | None = None,
) -> str:
    """[1, in, time] -> [1, out, time]; the default padding keeps the length."""
    pad = dilation * (kernel - 1) // 2 if padding is None else padding
    inputs = [x, g.weight(f"{name}.weight")]
    if g.has_weight(f"{name}.bias"):
        inputs.append(g.weight(f"{name}.bias"))
    with g.scope(name):
        return g.op("Conv", *inputs, kernel_shape=[kernel], strides=[stride], dilations=[dilation], pads=[pad, pad])


def transposed_conv(
    g: GraphBuilder, x: str, name: str, *, kernel: int, stride: int, pads: tuple[int, int], groups: int = 1
) -> str:
    """[1, in, time] -> [1, out, about time * stride]; `pads` are cut off at the start and at the end."""
    with g.scope(name):
        return g.op(
            "ConvTranspose",
            x,
            g.weight(f"{name}.weight"),
            g.weight(f"{name}.bias"),
            kernel_shape=[kernel],
            strides=[stride],
            pads=list(pads),  # a shorter end is what output_padding does, which CoreML refuses
            group=groups,
        )


def adain(g: GraphBuilder, x: str, style: str, name: str) -> str:
    """Adaptive instance normalisation: (1 + gamma(style)) * norm(x) + beta(style); style is [1, 128]."""
    with g.scope(name):
        affine = g.op("Unsqueeze", linear(g, style, f"{name}.fc"), g.ints([2]))
        gamma, beta = g.ops("Split", affine, outputs=2, axis=1, num_outputs=2)
        normed = g.op(
            "InstanceNormalization", x, g.weight(f"{name}.norm.weight"), g.weight(f"{name}.norm.bias"), epsilon=EPSILON
        )
        return g.op("Add", g.op("Mul", g.op("Add", gamma, g.floats(1.0)), normed), beta)


def snake(g: GraphBuilder, x: str, alpha: str) -> str:
    """x + sin(alpha x)^2 / alpha."""
    with g.scope("snake"):
        sine = g.op("Sin", g.op("Mul", g.weight(alpha), x))
        square = g.op("Mul", sine, sine)
        return g.op("Add", x, g.op("Mul", g.op("Reciprocal", g.weight(alpha)), square))


def style_block(g: GraphBuilder, x: str, style: str, name: str, *, width_in: int, upsample: bool = False) -> str:
    """Upstream's AdainResBlk1d: (two styled convolutions + a shortcut) / sqrt(2)."""
    with g.scope(name):
        inner = leaky_relu(g, adain(g, x, style, f"{name}.norm1"), STYLE_SLOPE)
        if upsample:
            inner = transposed_conv(g, inner, f"{name}.pool", kernel=3, stride=2, pads=(1, 0), groups=width_in)
        inner = conv(g, inner, f"{name}.conv1", kernel=3)
        inner = leaky_relu(g, adain(g, inner, style, f"{name}.norm2"), STYLE_SLOPE)
        inner = conv(g, inner, f"{name}.conv2", kernel=3)
        shortcut = _double(g, x) if upsample else x
        if g.has_weight(f"{name}.conv1x1.weight"):
            shortcut = conv(g, shortcut, f"{name}.conv1x1", kernel=1)
        return g.op("Mul", g.op("Add", inner, shortcut), g.floats(np.sqrt(0.5)))


def resblock(g: GraphBuilder, x: str, style: str, name: str, *, kernel: int, dilations: tuple[int, ...]) -> str:
    """Upstream's AdaINResBlock1: for each dilation, two rounds of AdaIN, Snake and convolution around a residual."""
    for index, dilation in enumerate(dilations):
        with g.scope(f"{name}.{index}"):
            inner = x
            for half, step in (("1", dilation), ("2", 1)):
                inner = adain(g, inner, style, f"{name}.adain{half}.{index}")
                inner = snake(g, inner, f"{name}.alpha{half}.{index}")
                inner = conv(g, inner, f"{name}.convs{half}.{index}", kernel=kernel, dilation=step)
            x = g.op("Add", inner, x)
    return x


def _double(g: GraphBuilder, x: str) -> str:
    """Repeat every time step twice."""
    return g.op(
        "Resize",
        x,
        "",
        g.floats([1.0, 1.0, 2.0]),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
