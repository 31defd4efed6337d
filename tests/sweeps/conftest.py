"""Sweeps under test: the tiny model, results in a temporary folder, and a measuring lock of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that all tests of this folder share; the tiny model is built into it once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, models_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results and temporary files apart from those of the machine; the results folder."""
    monkeypatch.setenv("KOKORO_LAB_HOME", str(models_home))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    # The lock that keeps two runs of a machine apart lies in the temporary directory.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path / "results"
