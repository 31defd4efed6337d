"""Conversion of the upstream state dict to the tensors that our graph reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.models.graph.architecture import UNREAD_PARAMETERS

__all__ = ["fold"]

Floats = NDArray[np.float32]

NORM_GAIN, NORM_DIRECTION = ".weight_g", ".weight_v"
LSTM_PARTS = {"weight_ih": "weight_ih_l0", "weight_hh": "weight_hh_l0"}


def fold(state: Mapping[str, Floats]) -> dict[str, Floats]:
    """Fold weight normalisation, stack each LSTM's directions in ONNX's gate order, and keep other parameters
    unchanged.

    Raises KeyError when the other half of a pair of parameters is missing.
    """
    folded: dict[str, Floats] = {}
    for name, array in state.items():
        if name in UNREAD_PARAMETERS or name.endswith(NORM_GAIN) or "_l0" in name:
            continue
        if name.endswith(NORM_DIRECTION):
            stem = name.removesuffix(NORM_DIRECTION)
            folded[f"{stem}.weight"] = _unnormalise(state[stem + NORM_GAIN], array)
        else:
            folded[name] = array
    for stem in _lstms(state):
        folded.update(_stack_lstm(state, stem))
    return folded


def _unnormalise(gain: Floats, direction: Floats) -> Floats:
    """The weight g v / |v| of a weight normalisation, with the norm over all axes but the first."""
    norm = np.sqrt(np.sum(np.square(direction, dtype=np.float64), axis=(1, 2), keepdims=True))
    return np.asarray(gain * (direction / norm), np.float32)


def _lstms(state: Mapping[str, Any]) -> list[str]:
    suffix = ".weight_ih_l0"
    return [name.removesuffix(suffix) for name in state if name.endswith(suffix)]


def _stack_lstm(state: Mapping[str, Floats], stem: str) -> dict[str, Floats]:
    stacked = {
        f"{stem}.{part}": np.stack([_onnx_gates(state[f"{stem}.{source}{way}"]) for way in ("", "_reverse")])
        for part, source in LSTM_PARTS.items()
    }
    stacked[f"{stem}.bias"] = np.stack(
        [
            np.concatenate([_onnx_gates(state[f"{stem}.bias_{part}_l0{way}"]) for part in ("ih", "hh")])
            for way in ("", "_reverse")
        ]
    )
    return stacked


def _onnx_gates(rows: Floats) -> Floats:
    """PyTorch's gate order input, forget, cell, output -> ONNX's input, output, forget, cell."""
    i, f, c, o = np.split(rows, 4)
    return np.concatenate([i, o, f, c])
