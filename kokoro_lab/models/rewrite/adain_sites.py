"""AdaIN sites of our graph: adaptive instance normalisation, its activation, and the convolution after it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from kokoro_lab.models.rewrite.surgery import Surgeon

__all__ = ["AdainSite", "find_sites"]

NORM_WEIGHT = ".norm.weight"


@dataclass(frozen=True)
class AdainSite:
    """An AdaIN and the nodes that follow it."""

    name: str
    """The module's name, such as `decoder.generator.resblocks.0.adain1.0`."""
    norm: onnx.NodeProto
    style: onnx.NodeProto
    """The Gemm that computes gamma and beta."""
    styled: str
    """The tensor (1 + gamma) norm(x) + beta."""
    alpha: str
    """Snake's alpha; empty where a leaky ReLU follows."""
    activated: str
    """The tensor after the activation."""

    @property
    def x(self) -> str:
        """The tensor that is normalised."""
        return str(self.norm.input[0])


def find_sites(surgeon: Surgeon) -> list[AdainSite]:
    """Every AdaIN of the graph in the form of `layers.adain`, in order; rewritten AdaINs are not included."""
    sites = (_site(surgeon, node) for node in surgeon.nodes if node.op_type == "InstanceNormalization")
    return [site for site in sites if site is not None]


def _site(surgeon: Surgeon, norm: onnx.NodeProto) -> AdainSite | None:
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
    return AdainSite(norm.input[1].removesuffix(NORM_WEIGHT), norm, style, styled, alpha, activated)


def _snake(surgeon: Surgeon, styled: str) -> tuple[str, str]:
    """(alpha, output) of the Snake that reads `styled`, in the form of `layers.snake`; empty names if there is none."""
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
