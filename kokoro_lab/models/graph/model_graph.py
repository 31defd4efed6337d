"""Assembles the stages into the ONNX model of Kokoro, the whole model or a single stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.models.graph import seeded_noise
from kokoro_lab.models.graph.architecture import Architecture
from kokoro_lab.models.graph.builder import GraphBuilder
from kokoro_lab.models.graph.stages import STAGES, GraphStage, boundaries
from kokoro_lab.models.graph.state_dict import fold

__all__ = ["build", "build_stage", "stage_named"]

State = Mapping[str, NDArray[np.float32]]
MODEL_INPUTS = ("tokens", "style", "speed")
MODEL_OUTPUTS = ("audio", "duration")


def build(arch: Architecture, state: State, *, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The whole model: `tokens` int64 [1, T], `style` float32 [1, 256], `speed` float32 [1] -> `audio` float32 [S],
    `duration` int64 [T] in frames of 25 ms; `seed` and `noise_scale` may be fed too. `state` is an upstream state
    dict."""
    return _assemble(arch, state, STAGES, MODEL_INPUTS, MODEL_OUTPUTS, metadata or {})


def build_stage(arch: Architecture, state: State, name: str) -> onnx.ModelProto:
    """A single stage, from its input boundaries to its output boundaries (see `stages`)."""
    stage = stage_named(name)
    return _assemble(arch, state, (stage,), stage.inputs, stage.outputs, {})


def stage_named(name: str) -> GraphStage:
    """The stage called `name`; KeyError for an unknown name."""
    return {stage.name: stage for stage in STAGES}[name]


def _assemble(
    arch: Architecture,
    state: State,
    stages: Sequence[GraphStage],
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    g = GraphBuilder(fold(state))
    table = boundaries(arch)
    for name in inputs:
        g.input(name, table[name].dtype, table[name].shape)
    if any(stage.name == "source" for stage in stages):
        seeded_noise.declare(g)
    for stage in stages:
        stage.add(g, arch)
        for name in stage.outputs:
            if name not in outputs:
                g.boundary(name, table[name].dtype, table[name].shape)
    for name in outputs:
        g.output(name, table[name].dtype, table[name].shape)
    named = {"kokoro_lab.architecture": arch.name, **metadata}
    return g.model(f"kokoro-{arch.name}", named)
