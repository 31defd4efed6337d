from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state


@pytest.fixture(scope="session")
def whole() -> onnx.ModelProto:
    """The tiny model."""
    return build(TINY, seeded_state(TINY, 1), metadata={"kokoro_lab.weights": "stand-in"})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of one's own, and results."""
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    return tmp_path
