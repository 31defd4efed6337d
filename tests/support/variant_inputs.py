"""Boundary tensors for stages of the tiny architecture, and a way to run a graph in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from kokoro_lab.models.graph.architecture import TINY

Arrays = dict[str, NDArray[Any]]


def run(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {each.name: feeds[each.name] for each in session.get_inputs()}
    return dict(zip(names, session.run(names, wanted), strict=True))


def call(tokens: int = 14, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "tokens": np.asarray([[0, *rng.integers(1, 178, tokens), 0]]),
        "style": (0.155 * rng.standard_normal((1, 256))).astype(np.float32),
        "speed": np.ones(1, np.float32),
    }


def stage_inputs(frames: int = 20, tokens: int = 8, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    return {
        "decoder_features": normal(1, TINY.upsample_initial, 2 * frames),
        "source_spectrum": normal(1, 2 * TINY.bins, 2 * frames * 60 + 1),
        "style": 0.155 * normal(1, 256),
        "text_encoding": normal(tokens, TINY.hidden),
        "prosody_text": normal(tokens, TINY.hidden + TINY.style),
        "frame_token": np.sort(rng.integers(0, tokens, frames)),
        "f0": 150 + 20 * normal(1, 1, 2 * frames),
        "energy": normal(1, 1, 2 * frames),
    }


def off(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Norm of the difference over the norm."""
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours.astype(np.float64) - theirs) / np.linalg.norm(ours))
