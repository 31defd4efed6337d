"""The five stages of Kokoro, each a function from boundary tensors to boundary tensors.

text      tokens, style, speed                       -> duration, frame_token, prosody_text, text_encoding
prosody   prosody_text, frame_token, style           -> f0, energy
source    f0, seed, noise_scale                      -> source_spectrum
decoder   text_encoding, frame_token, f0, energy, style -> decoder_features
vocoder   decoder_features, source_spectrum, style   -> audio

T counts tokens, F duration frames of 25 ms. There is no Loop, If, Sequence or Random node, and every rank is static.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import helper

from kokoro_lab.models.graph import seeded_noise, transform
from kokoro_lab.models.graph.architecture import BERT_LAYER, STYLE_WIDTH, Architecture
from kokoro_lab.models.graph.builder import GraphBuilder
from kokoro_lab.models.graph.layers import (
    STYLE_SLOPE,
    conv,
    layer_norm,
    leaky_relu,
    linear,
    lstm,
    repeat_over,
    resblock,
    style_block,
    transposed_conv,
)
from kokoro_lab.units import SAMPLE_RATE

__all__ = ["STAGES", "Boundary", "GraphStage", "boundaries"]

BERT_EPSILON = 1e-12  # ALBERT's layer_norm_eps
VOCODER_SLOPE = 0.1
PART = 12  # bits of each part of a phase increment
LAST_SLOPE = 0.01  # before conv_post upstream calls leaky_relu without a slope, which means PyTorch's default


@dataclass(frozen=True)
class Boundary:
    """A tensor at the boundary between stages, or a graph input or output."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphStage:
    """A part of the graph that can be built, checked, timed or replaced on its own."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    add: Callable[[GraphBuilder, Architecture], None]


def boundaries(a: Architecture) -> dict[str, Boundary]:
    """Every boundary tensor by name, with its type and shape."""
    table = (
        Boundary("tokens", np.int64, (1, "T")),
        Boundary("style", np.float32, (1, STYLE_WIDTH)),
        Boundary("speed", np.float32, (1,)),
        Boundary("duration", np.int64, ("T",)),
        Boundary("frame_token", np.int64, ("F",)),
        Boundary("prosody_text", np.float32, ("T", a.hidden + a.style)),
        Boundary("text_encoding", np.float32, ("T", a.hidden)),
        Boundary("f0", np.float32, (1, 1, "2F")),
        Boundary("energy", np.float32, (1, 1, "2F")),
        Boundary("source_spectrum", np.float32, (1, 2 * a.bins, "source_frames")),
        Boundary("decoder_features", np.float32, (1, a.upsample_initial, "2F")),
        Boundary("audio", np.float32, ("S",)),
    )
    return {boundary.name: boundary for boundary in table}


def _prosody_style(g: GraphBuilder, a: Architecture) -> str:
    return g.op("Slice", "style", g.ints([a.style]), g.ints([2 * a.style]), g.ints([1]))


def _decoder_style(g: GraphBuilder, a: Architecture) -> str:
    return g.op("Slice", "style", g.ints([0]), g.ints([a.style]), g.ints([1]))


def _add_text(g: GraphBuilder, a: Architecture) -> None:
    token = g.op("Reshape", "tokens", g.ints([-1]))
    style = _prosody_style(g, a)
    features = linear(g, _bert(g, a, token), "bert_encoder")
    _duration_encoder(g, a, features, style)
    _durations(g, a)
    _text_encoder(g, a, token)


def _bert(g: GraphBuilder, a: Architecture, token: str) -> str:
    """PL-BERT, an ALBERT: one layer's weights applied `bert_layers` times. [T] -> [T, bert_hidden]."""
    with g.scope("bert"):
        word = g.op("Gather", g.weight("bert.embeddings.word_embeddings.weight"), token)
        count = g.op("Shape", token)
        position = g.op("Slice", g.weight("bert.embeddings.position_embeddings.weight"), g.ints([0]), count)
        kind = g.op("Gather", g.weight("bert.embeddings.token_type_embeddings.weight"), g.ints([0]))
        x = g.op("Add", g.op("Add", word, kind), position)
        x = _bert_norm(g, x, "bert.embeddings.LayerNorm")
        x = linear(g, x, "bert.encoder.embedding_hidden_mapping_in")
        for layer in range(a.bert_layers):
            with g.scope(f"layer{layer}"):
                x = _bert_norm(g, g.op("Add", _attention(g, a, x), x), f"{BERT_LAYER}.attention.LayerNorm")
                inner = linear(g, _gelu(g, linear(g, x, f"{BERT_LAYER}.ffn")), f"{BERT_LAYER}.ffn_output")
                x = _bert_norm(g, g.op("Add", inner, x), f"{BERT_LAYER}.full_layer_layer_norm")
        return x


def _bert_norm(g: GraphBuilder, x: str, name: str) -> str:
    return layer_norm(g, x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), epsilon=BERT_EPSILON)


def _attention(g: GraphBuilder, a: Architecture, x: str) -> str:
    width = a.bert_hidden // a.bert_heads

    def heads(projection: str, order: list[int]) -> str:
        projected = linear(g, x, f"{BERT_LAYER}.attention.{projection}")
        return g.op("Transpose", g.op("Reshape", projected, g.ints([-1, a.bert_heads, width])), perm=order)

    scores = g.op("MatMul", heads("query", [1, 0, 2]), heads("key", [1, 2, 0]))
    weights = g.op("Softmax", g.op("Mul", scores, g.floats(width**-0.5)), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", weights, heads("value", [1, 0, 2])), perm=[1, 0, 2])
    return linear(g, g.op("Reshape", mixed, g.ints([-1, a.bert_hidden])), f"{BERT_LAYER}.attention.dense")


def _gelu(g: GraphBuilder, x: str) -> str:
    """ALBERT's gelu_new, with tanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    cube = g.op("Mul", x, g.op("Mul", x, x))
    inner = g.op("Add", x, g.op("Mul", cube, g.floats(0.044715)))
    gate = g.op("Add", g.op("Tanh", g.op("Mul", inner, g.floats(np.sqrt(2 / np.pi)))), g.floats(1.0))
    return g.op("Mul", g.op("Mul", x, g.floats(0.5)), gate)


def _duration_encoder(g: GraphBuilder, a: Architecture, features: str, style: str) -> None:
    styles = repeat_over(g, style, features, a.style)
    x = g.op("Concat", features, styles, axis=1)
    ones, zeros = g.floats(np.ones(a.hidden)), g.floats(np.zeros(a.hidden))
    for layer in range(a.depth):
        root = "predictor.text_encoder.lstms"
        x = lstm(g, x, f"{root}.{2 * layer}", a.hidden)
        with g.scope(f"{root}.{2 * layer + 1}"):
            affine = linear(g, style, f"{root}.{2 * layer + 1}.fc")
            gamma, beta = g.ops("Split", affine, outputs=2, axis=1, num_outputs=2)
            scale = g.op("Add", gamma, g.floats(1.0))
            x = g.op("Add", g.op("Mul", scale, layer_norm(g, x, ones, zeros)), beta)
            last = layer == a.depth - 1
            x = g.op("Concat", x, styles, axis=1, name="prosody_text" if last else "")


def _durations(g: GraphBuilder, a: Architecture) -> None:
    """Duration of each token in frames, and for each frame the token it belongs to."""
    with g.scope("durations"):
        states = lstm(g, "prosody_text", "predictor.lstm", a.hidden)
        votes = g.op("Sigmoid", linear(g, states, "predictor.duration_proj.linear_layer"))
        frames = g.op("Div", g.op("ReduceSum", votes, g.ints([1]), keepdims=0), "speed")
        whole = g.op("Max", g.op("Round", frames), g.floats(1.0))
        g.op("Cast", whole, to=_onnx_type(np.int64), name="duration")
        ends = g.op("CumSum", "duration", g.ints(0))
        # OpenVINO's provider leaves a reduction straight to a scalar to the CPU
        total = g.op("Squeeze", g.op("ReduceSum", "duration", g.ints([0]), keepdims=1), g.ints([0]))
        frame = g.op("Range", g.ints(0), total, g.ints(1))
        passed = g.op(
            "GreaterOrEqual", g.op("Unsqueeze", frame, g.ints([1])), g.op("Unsqueeze", ends, g.ints([0]))
        )  # [F, T]
        counted = g.op("Cast", passed, to=_onnx_type(np.int64))
        g.op("ReduceSum", counted, g.ints([1]), keepdims=0, name="frame_token")


def _text_encoder(g: GraphBuilder, a: Architecture, token: str) -> None:
    rows = g.op("Gather", g.weight("text_encoder.embedding.weight"), token)
    x = g.op("Unsqueeze", g.op("Transpose", rows, perm=[1, 0]), g.ints([0]))
    for layer in range(a.depth):
        x = conv(g, x, f"text_encoder.cnn.{layer}.0", kernel=a.text_kernel)
        with g.scope(f"text_encoder.cnn.{layer}.1"):
            name = f"text_encoder.cnn.{layer}.1"
            normed = layer_norm(
                g, g.op("Transpose", x, perm=[0, 2, 1]), g.weight(f"{name}.gamma"), g.weight(f"{name}.beta")
            )
            x = leaky_relu(g, g.op("Transpose", normed, perm=[0, 2, 1]), STYLE_SLOPE)
    rows = g.op("Transpose", g.op("Squeeze", x, g.ints([0])), perm=[1, 0])
    g.op("Identity", lstm(g, rows, "text_encoder.lstm", a.hidden), name="text_encoding")


def _over_frames(g: GraphBuilder, rows: str) -> str:
    """Repeat each token's row for as many frames as it lasts: [T, C] -> [1, C, F]."""
    frames = g.op("Gather", rows, "frame_token", axis=0)
    return g.op("Unsqueeze", g.op("Transpose", frames, perm=[1, 0]), g.ints([0]))


def _add_prosody(g: GraphBuilder, a: Architecture) -> None:
    style = _prosody_style(g, a)
    shared = lstm(g, g.op("Gather", "prosody_text", "frame_token", axis=0), "predictor.shared", a.hidden)
    base = g.op("Unsqueeze", g.op("Transpose", shared, perm=[1, 0]), g.ints([0]))
    for curve, name in (("F0", "f0"), ("N", "energy")):
        x = style_block(g, base, style, f"predictor.{curve}.0", width_in=a.hidden)
        x = style_block(g, x, style, f"predictor.{curve}.1", width_in=a.hidden, upsample=True)
        x = style_block(g, x, style, f"predictor.{curve}.2", width_in=a.hidden // 2)
        g.op("Identity", conv(g, x, f"predictor.{curve}_proj", kernel=1), name=name)


def _add_source(g: GraphBuilder, a: Architecture) -> None:
    """Sines at the harmonics of F0 with noise, and their short-time spectrum.

    Phase is counted in turns, summed as integers and wrapped at the curve's rate, so that it stays exact for any
    length; between two steps of the curve it is linear, as in upstream's interpolation. Upstream draws noise for each
    harmonic and mixes it with fixed weights; a mix of independent Gaussians is a single Gaussian whose standard
    deviation is the norm of the weights.
    """
    turns = _turns(g, a)
    with g.scope("source"):
        sines = g.op("Sin", g.op("Mul", turns, g.floats(2 * np.pi)))  # [harmonics, S]
        mixer = g.weight("decoder.generator.m_source.l_linear.weight")
        mixed = g.op("Mul", g.op("MatMul", mixer, sines), g.floats(a.sine_amplitude))  # [1, S]
        voiced = g.op("Cast", g.op("Greater", _f0_row(g), g.floats(a.voiced_threshold)), to=_onnx_type(np.float32))
        voiced = g.op("Expand", g.op("Unsqueeze", voiced, g.ints([2])), g.ints([1, 1, a.curve_samples]))
        voiced = g.op("Reshape", voiced, g.ints([1, -1]))
        unvoiced_deviation = a.sine_amplitude / 3
        deviation = g.op("Mul", voiced, g.floats(a.noise_deviation - unvoiced_deviation))
        deviation = g.op("Add", deviation, g.floats(unvoiced_deviation))
        norm = g.op("ReduceL2", mixer, g.ints([0, 1]), keepdims=0)
        gaussian = seeded_noise.add_gaussian(g, a, _f0_row(g))
        hiss = g.op("Mul", g.op("Mul", gaussian, deviation), g.op("Mul", norm, "noise_scale"))
        mixed = g.op("Add", g.op("Mul", mixed, voiced), hiss)
        excitation = g.op("Tanh", g.op("Add", mixed, g.weight("decoder.generator.m_source.l_linear.bias")))
        transform.add_spectrum(g, a, g.op("Unsqueeze", excitation, g.ints([0])), "source_spectrum")


def _f0_row(g: GraphBuilder) -> str:
    return g.op("Reshape", "f0", g.ints([1, -1]))


def _turns(g: GraphBuilder, a: Architecture) -> str:
    """Phase of every harmonic at every sample, in turns: [harmonics, S]."""
    with g.scope("phase"):
        harmonic = g.floats(np.arange(1, a.harmonics + 1).reshape(-1, 1))
        per_sample = g.op("Div", g.op("Mul", harmonic, _f0_row(g)), g.floats(SAMPLE_RATE))
        per_sample = g.op("Sub", per_sample, g.op("Floor", per_sample))
        per_step = g.op("Mul", per_sample, g.floats(a.curve_samples))
        wrapped = g.op("Add", _summed_turns(g, per_step), seeded_noise.add_initial_phases(g, a))
        first = g.op("Slice", wrapped, g.ints([0]), g.ints([1]), g.ints([1]))
        rest = g.op("Slice", per_step, g.ints([1]), g.ints([np.iinfo(np.int64).max]), g.ints([1]))
        still = g.floats(np.zeros((a.harmonics, 1)))
        # the curve's steps sit in the middle of their samples: half a step without advance at both ends, and
        # between two steps the phase moves by the later step's advance
        start = g.op("Unsqueeze", g.op("Concat", first, wrapped, axis=1), g.ints([2]))
        advance = g.op("Unsqueeze", g.op("Concat", still, rest, still, axis=1), g.ints([2]))
        part = g.floats(((np.arange(a.curve_samples) + 0.5) / a.curve_samples).reshape(1, 1, -1))
        line = g.op("Reshape", g.op("Add", start, g.op("Mul", advance, part)), g.ints([a.harmonics, -1]))
        half = a.curve_samples // 2
        return g.op("Slice", line, g.ints([half]), g.ints([-half]), g.ints([1]))


def _summed_turns(g: GraphBuilder, per_step: str) -> str:
    """Running sum of [harmonics, steps] turns without the whole turns: [harmonics, steps] in [0, 1).

    Summed as integers, which no provider rounds and which need no float64 (OpenVINO and CoreML have none). A fraction
    of a turn has two parts of PART bits. The sums stay below 2^31 for 2^19 steps, ten times the longest call, and a
    float32 of at least one turn has no bit below the second part.
    """
    unit = g.floats(2.0**PART)
    scaled = g.op("Mul", g.op("Sub", per_step, g.op("Floor", per_step)), unit)
    high = g.op("Floor", scaled)
    low = g.op("Round", g.op("Mul", g.op("Sub", scaled, high), unit))
    turns = [
        g.op(
            "Div",
            g.op("Cast", g.op("Mod", _running_sum(g, part), g.ints(2**bits)), to=_onnx_type(np.float32)),
            g.floats(2.0**bits),
        )
        for part, bits in ((high, PART), (low, 2 * PART))
    ]
    total = g.op("Add", *turns)
    return g.op("Sub", total, g.op("Floor", total))


def _running_sum(g: GraphBuilder, whole: str) -> str:
    return g.op("CumSum", g.op("Cast", whole, to=_onnx_type(np.int64)), g.ints(1))


def _add_decoder(g: GraphBuilder, a: Architecture) -> None:
    style = _decoder_style(g, a)
    asr = _over_frames(g, "text_encoding")
    f0 = conv(g, "f0", "decoder.F0_conv", kernel=3, stride=2)
    energy = conv(g, "energy", "decoder.N_conv", kernel=3, stride=2)
    x = g.op("Concat", asr, f0, energy, axis=1)
    x = style_block(g, x, style, "decoder.encode", width_in=a.hidden + 2)
    residual = conv(g, asr, "decoder.asr_res.0", kernel=1)
    width = a.decoder + 2 + a.asr_residual
    for index in range(4):
        x = g.op("Concat", x, residual, f0, energy, axis=1)
        x = style_block(g, x, style, f"decoder.decode.{index}", width_in=width, upsample=index == 3)
    g.op("Identity", x, name="decoder_features")


def _add_vocoder(g: GraphBuilder, a: Architecture) -> None:
    root = "decoder.generator"
    style = _decoder_style(g, a)
    x = "decoder_features"
    remaining = a.curve_samples // a.hop
    for stage, (rate, kernel) in enumerate(zip(a.upsample_rates, a.upsample_kernels, strict=True)):
        remaining //= rate
        last = stage == len(a.upsample_rates) - 1
        x = leaky_relu(g, x, VOCODER_SLOPE)
        source = conv(
            g,
            "source_spectrum",
            f"{root}.noise_convs.{stage}",
            kernel=1 if last else 2 * remaining,
            stride=remaining,
            padding=0 if last else (remaining + 1) // 2,
        )
        source = resblock(
            g,
            source,
            style,
            f"{root}.noise_res.{stage}",
            kernel=a.noise_resblock_kernels[stage],
            dilations=a.resblock_dilations,
        )
        pad = (kernel - rate) // 2
        x = transposed_conv(g, x, f"{root}.ups.{stage}", kernel=kernel, stride=rate, pads=(pad, pad))
        if last:
            x = g.op("Pad", x, g.ints([0, 0, 1, 0, 0, 0]), mode="reflect")
        x = g.op("Add", x, source)
        blocks = [
            resblock(
                g,
                x,
                style,
                f"{root}.resblocks.{stage * len(a.resblock_kernels) + index}",
                kernel=resblock_kernel,
                dilations=a.resblock_dilations,
            )
            for index, resblock_kernel in enumerate(a.resblock_kernels)
        ]
        total = blocks[0]
        for block in blocks[1:]:
            total = g.op("Add", total, block)
        x = g.op("Div", total, g.floats(len(blocks)))
    x = conv(g, leaky_relu(g, x, LAST_SLOPE), f"{root}.conv_post", kernel=7)
    transform.add_inverse(g, a, x, "audio")


def _onnx_type(dtype: type[np.generic]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


STAGES = (
    GraphStage(
        "text",
        ("tokens", "style", "speed"),
        ("duration", "frame_token", "prosody_text", "text_encoding"),
        _add_text,
    ),
    GraphStage("prosody", ("prosody_text", "frame_token", "style"), ("f0", "energy"), _add_prosody),
    GraphStage("source", ("f0",), ("source_spectrum",), _add_source),
    GraphStage(
        "decoder",
        ("text_encoding", "frame_token", "f0", "energy", "style"),
        ("decoder_features",),
        _add_decoder,
    ),
    GraphStage("vocoder", ("decoder_features", "source_spectrum", "style"), ("audio",), _add_vocoder),
)
