"""The vocoder's short-time Fourier transform and its inverse as convolutions.

This follows upstream's CustomSTFT, which every ONNX export contains: edge padding, a periodic Hann window, and an
inverse that applies the window again without dividing by the overlap of the windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.models.graph.architecture import Architecture
from kokoro_lab.models.graph.builder import GraphBuilder

__all__ = ["add_inverse", "add_spectrum"]

TINY_POWER = 1e-14  # keeps the square root away from zero, as upstream does


def add_spectrum(g: GraphBuilder, a: Architecture, x: str, name: str) -> None:
    """[1, 1, S] -> `name` [1, 2 * bins, S / hop + 1]: magnitudes, then phases in radians."""
    half = a.n_fft // 2
    padded = g.op("Pad", x, g.ints([0, 0, half, 0, 0, half]), mode="edge")
    kernel = g.initializer("stft.forward", _forward_kernel(a))
    both = g.op("Conv", padded, kernel, kernel_shape=[a.n_fft], strides=[a.hop])
    real, imaginary = g.ops("Split", both, outputs=2, axis=1, num_outputs=2)
    power = g.op("Add", g.op("Mul", real, real), g.op("Mul", imaginary, imaginary))
    magnitude = g.op("Sqrt", g.op("Add", power, g.floats(TINY_POWER)))
    g.op("Concat", magnitude, _angle(g, real, imaginary), axis=1, name=name)


def add_inverse(g: GraphBuilder, a: Architecture, x: str, name: str) -> None:
    """[1, 2 * bins, frames] of log magnitudes and raw phases -> `name` [(frames - 1) * hop] samples."""
    with g.scope("istft"):
        log_magnitude, raw_phase = g.ops("Split", x, outputs=2, axis=1, num_outputs=2)
        magnitude = g.op("Exp", log_magnitude)
        phase = g.op("Sin", raw_phase)
        real = g.op("Mul", magnitude, g.op("Cos", phase))
        imaginary = g.op("Mul", magnitude, g.op("Sin", phase))
        kernel = g.initializer("stft.inverse", _inverse_kernel(a))
        half = a.n_fft // 2
        wave = g.op(
            "ConvTranspose",
            g.op("Concat", real, imaginary, axis=1),
            kernel,
            kernel_shape=[a.n_fft],
            strides=[a.hop],
            pads=[half, half],
        )
        g.op("Reshape", wave, g.ints([-1]), name=name)


def _angle(g: GraphBuilder, real: str, imaginary: str) -> str:
    """atan2 by quadrants, in (-pi, pi]; 0 where both parts are 0, pi on the negative real axis."""
    with g.scope("angle"):
        zero = g.floats(0.0)
        at_zero = g.op("Equal", real, zero)
        safe = g.op("Where", at_zero, g.floats(1.0), real)
        slope = g.op("Atan", g.op("Div", imaginary, safe))
        below = g.op("Less", imaginary, zero)
        turn = g.op("Where", below, g.floats(-np.pi), g.floats(np.pi))
        slanted = g.op("Add", slope, g.op("Where", g.op("Less", real, zero), turn, zero))
        upright = g.op("Mul", g.op("Sign", imaginary), g.floats(np.pi / 2))
        return g.op("Where", at_zero, upright, slanted)


def _window(a: Architecture) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(a.n_fft) / a.n_fft)


def _angles(a: Architecture) -> NDArray[np.float64]:
    return 2 * np.pi * np.outer(np.arange(a.bins), np.arange(a.n_fft)) / a.n_fft


def _forward_kernel(a: Architecture) -> NDArray[np.float32]:
    parts = np.concatenate([np.cos(_angles(a)), -np.sin(_angles(a))]) * _window(a)
    return parts[:, None, :].astype(np.float32)


def _inverse_kernel(a: Architecture) -> NDArray[np.float32]:
    parts = np.concatenate([np.cos(_angles(a)), -np.sin(_angles(a))]) * _window(a) / a.n_fft
    return parts[:, None, :].astype(np.float32)
