from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from kokoro_lab.models.architecture import TINY
from kokoro_lab.models.graph import build
from kokoro_lab.models.weights import seeded_state


@pytest.fixture(scope="session")
def whole() -> onnx.ModelProto:
    """The tiny model."""
    return build(TINY, seeded_state(TINY, 1), metadata={"kokoro_lab.weights": "stand-in"})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of one's own."""
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    return tmp_path
