"""What tests of several commands need."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Cli, Printed

from kokoro_lab.cli import run


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    for name in ("HOME", "RESULTS", "LOCK"):
        monkeypatch.setenv(f"KOKORO_LAB_{name}", str(tmp_path / name.lower()))

    def cli(*arguments: str | Path) -> Printed:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Printed(code, *capsys.readouterr())

    return cli
