"""The dimensions of Kokoro-82M and the parameters that follow from them.

The dimensions are those published with hexgrad/Kokoro-82M (Apache-2.0, config.json); parameter names are those of the
upstream PyTorch state dict (`kokoro` 0.9.4), so that published weights need no renaming.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Literal

from kokoro_lab.errors import ModelError

__all__ = [
    "FULL",
    "STYLE_WIDTH",
    "TINY",
    "UNREAD_PARAMETERS",
    "Architecture",
    "ArchitectureName",
    "architecture_named",
    "architecture_of",
    "parameters",
]

ArchitectureName = Literal["full", "tiny", "unknown"]
"""What the shapes of a file's weights say; unknown: they are neither exactly those of full nor those of tiny."""

STYLE_WIDTH = 256  # a voice row: the first half feeds the decoder, the second the prosody predictor
BERT_LAYER = "bert.encoder.albert_layer_groups.0.albert_layers.0"  # every layer uses its weights

UNREAD_PARAMETERS = ("bert.pooler.weight", "bert.pooler.bias")
"""Parameters of the upstream state dict that upstream's forward pass never reads; our graph leaves them out."""


@dataclass(frozen=True)
class Architecture:
    """The dimensions that determine the whole graph. Widths are channels, unless stated otherwise."""

    name: str
    symbols: int = 178
    hidden: int = 512
    style: int = 128
    depth: int = 3
    """Layers of the text encoder's convolutions and of the duration encoder, each."""
    text_kernel: int = 5
    max_duration: int = 50
    """Longest duration of a token in frames."""
    bert_embedding: int = 128
    bert_hidden: int = 768
    bert_heads: int = 12
    bert_intermediate: int = 2048
    bert_layers: int = 12
    positions: int = 512
    """Longest input in tokens, the two zeros at the ends included."""
    decoder: int = 1024
    asr_residual: int = 64
    upsample_initial: int = 512
    upsample_rates: tuple[int, ...] = (10, 6)
    upsample_kernels: tuple[int, ...] = (20, 12)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)
    noise_resblock_kernels: tuple[int, ...] = (7, 11)
    n_fft: int = 20
    hop: int = 5
    harmonics: int = 9
    """Number of harmonics of the source, the fundamental included."""
    sine_amplitude: float = 0.1
    noise_deviation: float = 0.003
    """Standard deviation of the noise under voiced frames; unvoiced frames get a third of the sine amplitude."""
    voiced_threshold: float = 10.0
    """Hz; a frame below it is unvoiced."""

    @property
    def curve_samples(self) -> int:
        """Audio samples per step of the F0 and noise curves (300 = 12.5 ms)."""
        return prod(self.upsample_rates) * self.hop

    @property
    def frame_samples(self) -> int:
        """Audio samples per duration frame: the decoder doubles the frame rate once (600 = 25 ms)."""
        return 2 * self.curve_samples

    @property
    def bins(self) -> int:
        """Frequency bins of the vocoder's short-time Fourier transform."""
        return self.n_fft // 2 + 1

    def vocoder_width(self, stage: int) -> int:
        """Channels after upsampling stage `stage`, counted from 0."""
        return self.upsample_initial >> (stage + 1)


FULL = Architecture("full")
TINY = Architecture(
    "tiny",
    hidden=32,
    depth=1,
    bert_embedding=16,
    bert_hidden=32,
    bert_heads=2,
    bert_intermediate=48,
    bert_layers=2,
    decoder=48,
    asr_residual=8,
    upsample_initial=64,
)
"""The same graph, shrunk to run in milliseconds; measurements of it say nothing about Kokoro."""


def architecture_named(name: str) -> Architecture:
    """`full` or `tiny`. Raises ModelError for anything else, such as the architecture of an unknown model."""
    known = {"full": FULL, "tiny": TINY}
    if name not in known:
        raise ModelError(f"a model of architecture {name[:80]!r} cannot be used here; choose one of {', '.join(known)}")
    return known[name]


LEAST_ELEMENTS = 64  # of a tensor that takes part in the recognition; smaller ones may be constants of any graph
MOST_EXCESS = 1.25  # elements of a file over those of the parameters: scales of quantized weights, fused copies
MOST_CONSTANTS = 2_000_000  # elements of tables that are no parameters; our noise table has 1,050,000


def architecture_of(shapes: Sequence[Sequence[int]]) -> ArchitectureName:
    """The architecture of a file from the shapes of its weights: full, tiny or unknown.

    Every convolution, recurrent layer and embedding must be there, as often as the architecture has it, and not many
    other weights. The numbers of elements are compared: rewriting transposes, stacks and regroups these weights, and
    quantizing changes their type, but neither changes their size.

    Examples:
        >>> architecture_of([(178, 128), (512, 128)])
        'unknown'
    """
    sizes = Counter(prod(shape) for shape in shapes)
    total = sum(size * count for size, count in sizes.items())
    names: tuple[ArchitectureName, ...] = ("full", "tiny")
    for name in names:
        wanted, weights = _signature(name)
        if wanted <= sizes and total <= MOST_EXCESS * weights + MOST_CONSTANTS:
            return name
    return "unknown"


@cache
def _signature(name: str) -> tuple[Counter[int], int]:
    """Number of elements -> tensors of the architecture that have it; and the elements of all its parameters."""
    shapes = parameters(architecture_named(name))
    sizes: Counter[int] = Counter()
    for parameter, shape in shapes.items():
        size = prod(shape)
        if parameter.endswith(("weight_ih_l0", "weight_hh_l0")):
            sizes[2 * size] += 1  # both directions are in one tensor of a graph
        elif parameter.endswith(("weight_v", "embedding.weight", "word_embeddings.weight")) or (
            "noise_convs" in parameter and len(shape) > 1
        ):
            sizes[size] += 1
    large = Counter({size: count for size, count in sizes.items() if size >= LEAST_ELEMENTS})
    return large, sum(map(prod, shapes.values()))


def parameters(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every parameter in the upstream state dict, unread parameters included (688 at full size)."""
    return dict(_parameters(arch))


Named = Iterator[tuple[str, tuple[int, ...]]]


def _parameters(a: Architecture) -> Named:
    yield from _bert(a)
    yield from _linear("bert_encoder", a.bert_hidden, a.hidden)
    yield from _predictor(a)
    yield from _text_encoder(a)
    yield from _decoder(a)
    yield from _generator(a)


def _bert(a: Architecture) -> Named:
    for table, rows in (("word", a.symbols), ("position", a.positions), ("token_type", 2)):
        yield f"bert.embeddings.{table}_embeddings.weight", (rows, a.bert_embedding)
    yield from _affine("bert.embeddings.LayerNorm", a.bert_embedding)
    yield from _linear("bert.encoder.embedding_hidden_mapping_in", a.bert_embedding, a.bert_hidden)
    yield from _affine(f"{BERT_LAYER}.full_layer_layer_norm", a.bert_hidden)
    for projection in ("query", "key", "value", "dense"):
        yield from _linear(f"{BERT_LAYER}.attention.{projection}", a.bert_hidden, a.bert_hidden)
    yield from _affine(f"{BERT_LAYER}.attention.LayerNorm", a.bert_hidden)
    yield from _linear(f"{BERT_LAYER}.ffn", a.bert_hidden, a.bert_intermediate)
    yield from _linear(f"{BERT_LAYER}.ffn_output", a.bert_intermediate, a.bert_hidden)
    yield from _linear("bert.pooler", a.bert_hidden, a.bert_hidden)


def _predictor(a: Architecture) -> Named:
    wide = a.hidden + a.style
    for layer in range(a.depth):
        yield from _lstm(f"predictor.text_encoder.lstms.{2 * layer}", wide, a.hidden)
        yield from _linear(f"predictor.text_encoder.lstms.{2 * layer + 1}.fc", a.style, 2 * a.hidden)
    yield from _lstm("predictor.lstm", wide, a.hidden)
    yield from _linear("predictor.duration_proj.linear_layer", a.hidden, a.max_duration)
    yield from _lstm("predictor.shared", wide, a.hidden)
    half = a.hidden // 2
    for curve in ("F0", "N"):
        yield from _style_block(a, f"predictor.{curve}.0", a.hidden, a.hidden)
        yield from _style_block(a, f"predictor.{curve}.1", a.hidden, half, upsample=True)
        yield from _style_block(a, f"predictor.{curve}.2", half, half)
        yield f"predictor.{curve}_proj.weight", (1, half, 1)
        yield f"predictor.{curve}_proj.bias", (1,)


def _text_encoder(a: Architecture) -> Named:
    yield "text_encoder.embedding.weight", (a.symbols, a.hidden)
    for layer in range(a.depth):
        yield from _normed_conv(f"text_encoder.cnn.{layer}.0", a.hidden, a.hidden, a.text_kernel)
        yield f"text_encoder.cnn.{layer}.1.gamma", (a.hidden,)
        yield f"text_encoder.cnn.{layer}.1.beta", (a.hidden,)
    yield from _lstm("text_encoder.lstm", a.hidden, a.hidden)


def _decoder(a: Architecture) -> Named:
    widened = a.decoder + 2 + a.asr_residual
    yield from _style_block(a, "decoder.encode", a.hidden + 2, a.decoder)
    for block in range(3):
        yield from _style_block(a, f"decoder.decode.{block}", widened, a.decoder)
    yield from _style_block(a, "decoder.decode.3", widened, a.upsample_initial, upsample=True)
    yield from _normed_conv("decoder.F0_conv", 1, 1, 3)
    yield from _normed_conv("decoder.N_conv", 1, 1, 3)
    yield from _normed_conv("decoder.asr_res.0", a.hidden, a.asr_residual, 1)


def _generator(a: Architecture) -> Named:
    root = "decoder.generator"
    yield from _linear(f"{root}.m_source.l_linear", a.harmonics, 1)
    for stage, (rate, kernel) in enumerate(zip(a.upsample_rates, a.upsample_kernels, strict=True)):
        width = a.vocoder_width(stage)
        remaining = prod(a.upsample_rates[stage + 1 :])
        noise_kernel = 2 * remaining if stage + 1 < len(a.upsample_rates) else 1
        yield f"{root}.noise_convs.{stage}.weight", (width, 2 * a.bins, noise_kernel)
        yield f"{root}.noise_convs.{stage}.bias", (width,)
        yield from _resblock(a, f"{root}.noise_res.{stage}", width, a.noise_resblock_kernels[stage])
        assert kernel >= rate
        yield f"{root}.ups.{stage}.bias", (width,)
        yield f"{root}.ups.{stage}.weight_g", (2 * width, 1, 1)
        yield f"{root}.ups.{stage}.weight_v", (2 * width, width, kernel)
        for index, resblock_kernel in enumerate(a.resblock_kernels):
            block = stage * len(a.resblock_kernels) + index
            yield from _resblock(a, f"{root}.resblocks.{block}", width, resblock_kernel)
    yield from _normed_conv(f"{root}.conv_post", a.vocoder_width(len(a.upsample_rates) - 1), 2 * a.bins, 7)


def _linear(name: str, width_in: int, width_out: int) -> Named:
    yield f"{name}.weight", (width_out, width_in)
    yield f"{name}.bias", (width_out,)


def _affine(name: str, width: int) -> Named:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _lstm(name: str, width_in: int, width_out: int) -> Named:
    """A bidirectional layer whose two directions share `width_out` evenly; PyTorch's gate order i, f, g, o."""
    state = width_out // 2
    for suffix in ("", "_reverse"):
        yield f"{name}.weight_ih_l0{suffix}", (4 * state, width_in)
        yield f"{name}.weight_hh_l0{suffix}", (4 * state, state)
        yield f"{name}.bias_ih_l0{suffix}", (4 * state,)
        yield f"{name}.bias_hh_l0{suffix}", (4 * state,)


def _normed_conv(name: str, width_in: int, width_out: int, kernel: int, *, bias: bool = True, groups: int = 1) -> Named:
    """A weight-normalised convolution: weight = g v / |v|, with the norm over all axes but the first."""
    if bias:
        yield f"{name}.bias", (width_out,)
    yield f"{name}.weight_g", (width_out, 1, 1)
    yield f"{name}.weight_v", (width_out, width_in // groups, kernel)


def _adain(a: Architecture, name: str, width: int) -> Named:
    yield from _affine(f"{name}.norm", width)
    yield from _linear(f"{name}.fc", a.style, 2 * width)


def _style_block(a: Architecture, name: str, width_in: int, width_out: int, *, upsample: bool = False) -> Named:
    yield from _normed_conv(f"{name}.conv1", width_in, width_out, 3)
    yield from _normed_conv(f"{name}.conv2", width_out, width_out, 3)
    yield from _adain(a, f"{name}.norm1", width_in)
    yield from _adain(a, f"{name}.norm2", width_out)
    if width_in != width_out:
        yield from _normed_conv(f"{name}.conv1x1", width_in, width_out, 1, bias=False)
    if upsample:
        yield from _normed_conv(f"{name}.pool", width_in, width_in, 3, groups=width_in)


def _resblock(a: Architecture, name: str, width: int, kernel: int) -> Named:
    for index in range(len(a.resblock_dilations)):
        for half in ("1", "2"):
            yield from _normed_conv(f"{name}.convs{half}.{index}", width, width, kernel)
            yield from _adain(a, f"{name}.adain{half}.{index}", width)
            yield f"{name}.alpha{half}.{index}", (1, width, 1)
