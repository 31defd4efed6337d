"""The noise of the harmonic source, without a Random node.

onnxruntime's Random* nodes differ from run to run and some providers refuse them. Here the numbers are drawn once, when
the graph is built, into a table of 43.7 s; `seed`, an overridable initializer, selects the row at which a call starts
to read. The same seed gives the same noise on every provider and in every variant of a model.
"""

from __future__ import annotations

import numpy as np

from kokoro_lab.models.graph.architecture import Architecture
from kokoro_lab.models.graph.builder import GraphBuilder

__all__ = ["TABLE_ROWS", "add_gaussian", "add_initial_phases", "declare"]

TABLE_ROWS = 3499  # prime; a row per step of the F0 curve: 3499 * 300 samples = 43.7 s before the noise repeats
SEED_STRIDE = 1597  # rows between the starts of neighbouring seeds, about 20 s apart
TABLE_SEED = 82_000_000


def declare(g: GraphBuilder) -> None:
    """Add the two overridable inputs: `seed`, and `noise_scale` (1 as upstream, 0 for no noise)."""
    g.overridable("seed", np.asarray(0, np.int64))
    g.overridable("noise_scale", np.asarray(1.0, np.float32))


def add_gaussian(g: GraphBuilder, a: Architecture, f0_row: str) -> str:
    """Standard normal values, one per sample, for the steps of `f0_row` [1, n]: [1, n * 300]."""
    rng = np.random.default_rng(TABLE_SEED)
    table = g.initializer("noise.gaussian", rng.standard_normal((TABLE_ROWS, a.curve_samples), dtype=np.float32))
    with g.scope("noise"):
        steps = g.op("Squeeze", g.op("Shape", f0_row, start=1, end=2), g.ints([0]))
        row = g.op("Add", g.op("Range", g.ints(0), steps, g.ints(1)), _first_row(g))
        rows = g.op("Gather", table, g.op("Mod", row, g.ints(TABLE_ROWS)), axis=0)
        return g.op("Reshape", rows, g.ints([1, -1]))


def add_initial_phases(g: GraphBuilder, a: Architecture) -> str:
    """A random phase in turns for each overtone, none for the fundamental: [harmonics, 1].

    Upstream draws these phases too, but loses them: it writes them into a sample that its down-sampling
    skips. They are scaled by `noise_scale`, so that a call without noise matches upstream's without noise.
    """
    rng = np.random.default_rng(TABLE_SEED + 1)
    phases = rng.random((TABLE_ROWS, a.harmonics, 1), dtype=np.float32)
    phases[:, 0] = 0.0
    table = g.initializer("noise.phases", phases)
    with g.scope("noise"):
        row = g.op("Squeeze", g.op("Gather", table, _first_row(g), axis=0), g.ints([0]))
        return g.op("Mul", row, "noise_scale")


def _first_row(g: GraphBuilder) -> str:
    """Index of the first row, [1]: OpenVINO's provider cannot multiply scalars."""
    seed = g.op("Unsqueeze", "seed", g.ints([0]))
    return g.op("Mod", g.op("Mul", seed, g.ints(SEED_STRIDE)), g.ints(TABLE_ROWS))
