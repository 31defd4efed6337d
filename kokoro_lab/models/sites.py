"""The styled sites of our graph: adaptive instance normalisation, its activation, and the convolution after it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from kokoro_lab.models.surgery import Surgeon

__all__ = ["Site", "find_sites"]

NORM_WEIGHT = ".norm.weight"


@dataclass(frozen=True)
class Site:
    """One AdaIN and what follows it."""

    name: str
    """The module's, such as `decoder.generator.resblocks.0.adain1.0`."""
    norm: onnx.NodeProto
    style: onnx.NodeProto
    """The Gemm that makes gamma and beta."""
    styled: str
    """The tensor (1 + gamma) norm(x) + beta."""
    alpha: str
    """Snake's parameter; empty where a leaky ReLU follows."""
    activated: str
    """The tensor after the activation."""

    @property
    def x(self) -> str:
        """What is normalised."""
        return str(self.norm.input[0])


def find_sites(surgeon: Surgeon) -> list[Site]:
    """Every AdaIN of the graph as `layers.adain` writes it, in order; one that was rewritten is not found again."""
    found = (_site(surgeon, node) for node in surgeon.nodes if node.op_type == "InstanceNormalization")
    return [site for site in found if site is not None]


def _site(surgeon: Surgeon, norm: onnx.NodeProto) -> Site | None:
    if not norm.input[1].endswith(NORM_WEIGHT):
        return None
    scaled = surgeon.reader(norm.output[0], "Mul")
    shifted = surgeon.reader(scaled.output[0], "Add") if scaled else None
    split = surgeon.maker(shifted.input[1]) if shifted else None
    column = surgeon.maker(split.input[0]) if split and split.op_type == "Split" else None
    style = surgeon.maker(column.input[0]) if column and column.op_type == "Unsqueeze" else None
    if shifted is None or style is None or style.op_type != "Gemm":
        return None
    styled = shifted.output[0]
    alpha, activated = _snake(surgeon, styled)
    if not alpha:
        leaky = surgeon.reader(styled, "LeakyRelu")
        if leaky is None:
            return None
        activated = leaky.output[0]
    return Site(norm.input[1].removesuffix(NORM_WEIGHT), norm, style, styled, alpha, activated)


def _snake(surgeon: Surgeon, styled: str) -> tuple[str, str]:
    """(alpha, output) of the Snake that reads `styled`, as `layers.snake` writes it; empty names for none."""
    for node in surgeon.readers(styled):
        if node.op_type != "Mul" or ".alpha" not in node.input[0]:
            continue
        sine = surgeon.reader(node.output[0], "Sin")
        square = surgeon.readers(sine.output[0]) if sine else []
        scaled = surgeon.reader(square[0].output[0], "Mul") if square else None
        total = surgeon.reader(scaled.output[0], "Add") if scaled else None
        if total is not None:
            return node.input[0], total.output[0]
    return "", ""
