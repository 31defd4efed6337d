"""An engine on the tiny model, loaded once; tests that change an engine load their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))  # contract_models


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine.load(EngineConfig(model="tiny")) as loaded:
        yield loaded
