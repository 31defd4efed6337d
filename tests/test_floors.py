"""The house stands: a floor imports only from floors below it, no two modules need each other, and the measured process
stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import kokoro_lab

PACKAGE = Path(kokoro_lab.__file__).parent
README = PACKAGE.parent / "README.md"
FLOORS = (
    ("errors", "units", "_version"),
    ("files", "process"),
    ("audio", "field_checks", "paths"),
    ("models", "text"),
    ("kernels",),
    ("runtime",),
    ("engine",),
    ("measure",),
    ("store",),
    ("sweeps",),
    ("reports", "variants"),
    ("benchmarks",),
    ("commands",),
    ("cli", "server"),
    ("__main__",),
)
ROOMS = {
    "models": (
        ("files",),
        ("graph",),
        ("rewrite", "importing"),
        ("catalog", "voices"),
        ("fetch", "listing", "verification_records"),
    ),
    "measure": (
        ("records",),
        ("machine", "statistics"),
        ("peers",),
        ("block",),
        ("ceiling", "sampling", "worker"),
    ),
    "reports": (
        ("rows",),
        ("drawing",),
        ("claims",),
        ("findings",),
        ("figures",),
        ("page",),
    ),
}
"""Rooms within a folder, from its lowest floor up; the same rule holds among them."""
FRONT_DOOR = PACKAGE / "__init__.py"  # hands names on, lazily
WIDEST = {"engine": 20, "text": 23}
"""Modules that a folder may hold where it is more than MOST_MODULES."""
MOST_MODULES = 16


def _levels(floors: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {room: level for level, rooms in enumerate(floors) for room in rooms}


def _sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != FRONT_DOOR]


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path) for path in _sources()} | {"kokoro_lab"}


def _imported(path: Path) -> Iterator[str]:
    """Names of the modules of ours that a file imports, at its top or within a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in whole]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "kokoro_lab")


def _upward(path: Path, module: str) -> Iterator[str]:
    """Imports of `module` that do not go down."""
    own = module.split(".")[1:]
    for name in _imported(path):
        other = name.split(".")[1:]
        if not other:
            yield "kokoro_lab: take the name from the module that defines it"
            continue
        floors, depth = _levels(FLOORS), 0
        if own[0] == other[0] and own[0] in ROOMS and len(own) > 1 and len(other) > 1:
            floors, depth = _levels(ROOMS[own[0]]), 1
        here, there = own[depth], other[depth]
        if here != there and floors[there] >= floors[here]:
            yield name


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_floor_imports_only_from_the_floors_below(path: Path) -> None:
    module = _module(path)
    parts = module.split(".")[1:]
    assert parts[0] in _levels(FLOORS), f"{parts[0]} stands on no floor: add it to FLOORS"
    if parts[0] in ROOMS and len(parts) > 1:
        assert parts[1] in _levels(ROOMS[parts[0]]), f"{parts[1]} stands on no floor of {parts[0]}: add it to ROOMS"
    assert not set(_upward(path, module))


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {_module(path): set(_imported(path)) - {_module(path)} for path in _sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_test_sees_an_import_that_goes_up_or_to_a_neighbour(tmp_path: Path) -> None:
    source = tmp_path / "room.py"
    source.write_text("from kokoro_lab.reports.page import render\nimport kokoro_lab.cli\n")
    assert set(_imported(source)) == {"kokoro_lab.reports.page.render", "kokoro_lab.cli"}
    assert set(_upward(source, "kokoro_lab.variants.verify")) == set(_imported(source))
    source.write_text("from kokoro_lab.reports.figures.cell_charts import ttfa_figure\n")
    assert list(_upward(source, "kokoro_lab.reports.claims.facts")) == ["kokoro_lab.reports.figures.cell_charts"]
    assert not list(_upward(source, "kokoro_lab.reports.page.report"))


@pytest.mark.parametrize("folder", sorted({path.parent for path in _sources()}), ids=lambda path: path.name)
def test_a_folder_can_be_taken_in_at_a_glance(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= WIDEST.get(folder.name, MOST_MODULES)


def test_no_two_modules_share_a_name_and_none_hides_the_standard_library() -> None:
    """Commands are named after what is typed, and so may be named like what they call."""
    paths = [path for path in _sources() if path.stem[0] != "_" and path.parent.name != "commands"]
    names = [path.stem for path in paths]
    assert not {name for name in names if names.count(name) > 1}
    assert not set(names) & sys.stdlib_module_names


def test_the_readme_draws_the_house_that_stands() -> None:
    drawn: dict[str, int] = {}
    for level, rooms in re.findall(r"^\| (\d+) \| ([^|]+) \|", README.read_text(encoding="utf-8"), re.MULTILINE):
        drawn |= dict.fromkeys(re.findall(r"`(\w+)(?:\.py|/)`", rooms), int(level))
    standing = {name.name.removesuffix(".py") for name in PACKAGE.iterdir() if name.name[:2] != "__"}
    assert set(drawn) == {name for name in standing if name in _levels(FLOORS)}
    assert drawn == {name: level for name, level in _levels(FLOORS).items() if name in drawn}


@pytest.mark.parametrize("door", ["kokoro_lab", "kokoro_lab.engine.engine", "kokoro_lab.measure.worker"])
def test_the_measured_process_stays_light(door: str) -> None:
    heavy = {"pandas", "pyarrow", "deltalake", "papermill", "altair", "IPython", "jupyterlab", "torch", "onnx"}
    code = f"import sys, {door}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
