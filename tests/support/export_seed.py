"""Writes an export of upstream's model with weights from a seed; called with SEED, hexgrad or kokoro-onnx, and PATH."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import upstream
from exports import Style, export

from kokoro_lab.models.graph.architecture import FULL
from kokoro_lab.models.graph.weights import seeded_state

STYLES = {"hexgrad": Style(), "kokoro-onnx": Style("tokens", whole_speed=False, duration=False)}


def main(seed: str, style: str, path: str) -> None:
    """Everything is in the arguments."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(upstream.load(seeded_state(FULL, int(seed)), Path(folder)), Path(path), STYLES[style])


if __name__ == "__main__":
    main(*sys.argv[1:])
