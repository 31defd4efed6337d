"""The tiny model, opened once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.models.voices import load_voice
from kokoro_lab.runtime.session import Session


@pytest.fixture(scope="session")
def tiny() -> ModelFile:
    return resolve("tiny")


@pytest.fixture(scope="session")
def session(tiny: ModelFile) -> Iterator[Session]:
    opened = Session.open(tiny)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def style() -> NDArray[np.float32]:
    return load_voice("af_heart").style(20)
