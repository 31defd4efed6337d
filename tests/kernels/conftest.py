from __future__ import annotations

import os
from pathlib import Path

import pytest

from kokoro_lab.kernels import library
from kokoro_lab.kernels.build import build

SANITIZED = "KOKORO_KERNELS_SANITIZED"  # a folder of libraries built with sanitizers, to test instead of the usual ones


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The libraries under test: built once if nobody did."""
    if folder := os.environ.get(SANITIZED):
        library.COMPILED = Path(folder)
    if not library.compiled_sets():
        reasons = build(library.COMPILED)
        if not library.compiled_sets():
            pytest.skip(f"no kernels: {reasons}")
