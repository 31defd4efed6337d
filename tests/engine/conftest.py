"""An engine on the tiny model, loaded once; tests that change an engine load their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine.load(EngineConfig(model="tiny")) as loaded:
        yield loaded
