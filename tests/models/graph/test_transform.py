"""The vocoder's Fourier transform against NumPy's, quadrant by quadrant, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from variant_inputs import run

from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.builder import GraphBuilder
from kokoro_lab.models.graph.transform import _angle, add_inverse, add_spectrum

WINDOW = np.hanning(TINY.n_fft + 1)[:-1]  # periodic


def spectrum(x: NDArray[np.float32]) -> NDArray[np.float32]:
    g = GraphBuilder({})
    g.input("x", np.float32, (1, 1, "S"))
    add_spectrum(g, TINY, "x", "y")
    g.output("y", np.float32, (1, 2 * TINY.bins, "M"))
    return run(g.model("spectrum", {}), {"x": x})["y"]


def inverse(x: NDArray[np.float32]) -> NDArray[np.float32]:
    g = GraphBuilder({})
    g.input("x", np.float32, (1, 2 * TINY.bins, "M"))
    add_inverse(g, TINY, "x", "y")
    g.output("y", np.float32, ("S",))
    return run(g.model("inverse", {}), {"x": x})["y"]


def windows(x: NDArray[Any]) -> NDArray[np.complex128]:
    """[bins, frames] of the edge-padded signal, as NumPy has it."""
    padded = np.pad(x, TINY.n_fft // 2, mode="edge")
    starts = range(0, len(x) + 1, TINY.hop)
    return np.stack([np.fft.rfft(padded[at : at + TINY.n_fft] * WINDOW) for at in starts], axis=1)


@pytest.mark.parametrize("samples", [TINY.hop, 20 * TINY.hop])
def test_magnitudes_and_phases_are_those_of_a_windowed_fft(samples: int) -> None:
    x = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    magnitude, phase = np.split(spectrum(x[None, None])[0].astype(np.float64), 2)
    expected = windows(x)
    assert magnitude.shape == expected.shape == (TINY.bins, samples // TINY.hop + 1)
    np.testing.assert_allclose(magnitude, np.abs(expected), atol=1e-5)
    # A phase says nothing where there is next to no magnitude: the points are compared, and not the angles.
    np.testing.assert_allclose(magnitude * np.exp(1j * phase), expected, atol=1e-5)


def test_silence_has_no_magnitude_and_no_angle() -> None:
    magnitude, phase = np.split(spectrum(np.zeros((1, 1, 50), np.float32))[0], 2)
    assert np.abs(magnitude).max() <= 1e-6
    assert not phase.any()


def test_angles_are_those_of_atan2_in_every_quadrant_and_on_every_axis() -> None:
    points = np.array([(x, y) for x in (-2.0, 0.0, 3.0) for y in (-1.0, 0.0, 4.0)], np.float32)
    g = GraphBuilder({})
    for name in ("real", "imaginary"):
        g.input(name, np.float32, ("N",))
    g.op("Identity", _angle(g, "real", "imaginary"), name="angle")
    g.output("angle", np.float32, ("N",))
    got = run(g.model("angle", {}), {"real": points[:, 0], "imaginary": points[:, 1]})["angle"]
    np.testing.assert_allclose(got, np.arctan2(points[:, 1], points[:, 0]), atol=1e-6)


def test_the_inverse_adds_up_windowed_frames_without_dividing_by_their_overlap() -> None:
    rng = np.random.default_rng(1)
    frames = 30
    magnitude = np.exp(rng.normal(0, 0.3, (TINY.bins, frames)))
    raw = rng.normal(0, 1, (TINY.bins, frames))
    got = inverse(np.concatenate([np.log(magnitude), raw])[None].astype(np.float32))
    assert got.shape == ((frames - 1) * TINY.hop,)
    total = np.zeros((frames - 1) * TINY.hop + TINY.n_fft)
    angles = 2 * np.pi * np.outer(np.arange(TINY.n_fft), np.arange(TINY.bins)) / TINY.n_fft
    points = magnitude * np.exp(1j * np.sin(raw))
    for frame in range(frames):
        # Upstream's inverse sums each bin once: no second half of the spectrum.
        wave = (np.cos(angles) @ points[:, frame].real - np.sin(angles) @ points[:, frame].imag) / TINY.n_fft
        total[frame * TINY.hop : frame * TINY.hop + TINY.n_fft] += wave * WINDOW
    half = TINY.n_fft // 2
    np.testing.assert_allclose(got, total[half:-half], atol=1e-4)
