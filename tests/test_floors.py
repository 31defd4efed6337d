"""The house stands: a floor imports only from floors below it, and the measured process stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kokoro_lab

PACKAGE = Path(kokoro_lab.__file__).parent
FLOORS = (
    ("errors", "paths"),
    ("audio",),
    ("models", "text"),
    ("kernels",),
    ("runtime",),
    ("engine",),
    ("measure",),
    ("store",),
    ("sweeps",),
    ("reports", "variants"),
    ("commands",),
    ("cli", "server"),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOOR = PACKAGE / "__init__.py"  # hands names on, lazily


def _sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != FRONT_DOOR]


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            within = node.module == "kokoro_lab"
            names = [f"kokoro_lab.{alias.name}" if within else str(node.module) for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "kokoro_lab" and len(parts) > 1 and parts[1] in LEVEL:
                yield parts[1]


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_floor_imports_only_from_the_floors_below(path: Path) -> None:
    room = _room(path)
    assert room in LEVEL, f"{room} stands on no floor: add it to FLOORS"
    wrong = {other for other in _imported_rooms(path) if other != room and LEVEL[other] >= LEVEL[room]}
    assert not wrong, f"{path.relative_to(PACKAGE)} imports from {sorted(wrong)}"


def test_the_test_sees_an_import_that_goes_up(tmp_path: Path) -> None:
    source = tmp_path / "room.py"
    source.write_text("from kokoro_lab.reports.render import render\nimport kokoro_lab.cli\n")
    assert set(_imported_rooms(source)) == {"reports", "cli"}


@pytest.mark.parametrize("door", ["kokoro_lab", "kokoro_lab.engine.engine", "kokoro_lab.measure.worker"])
def test_the_measured_process_stays_light(door: str) -> None:
    heavy = {"pandas", "pyarrow", "deltalake", "papermill", "altair", "IPython", "jupyterlab", "torch", "onnx"}
    code = f"import sys, {door}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
