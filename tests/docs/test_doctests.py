"""The examples in the docstrings of the public API are right."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

MODULES = (
    "kokoro_lab",
    "kokoro_lab.audio.wav",
    "kokoro_lab.engine.config",
    "kokoro_lab.engine.engine",
    "kokoro_lab.engine.speech",
    "kokoro_lab.measure.records.cell",
    "kokoro_lab.measure.statistics.comparison",
    "kokoro_lab.measure.statistics.percentiles",
    "kokoro_lab.models.voices",
    "kokoro_lab.text.segment",
)


@pytest.fixture(scope="module")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(
    name: str, models_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(models_home))
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0 and failed == 0
