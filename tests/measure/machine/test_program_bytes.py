"""The bytes of the program: exactly the floors that a measured process can load, and the packages that it loads."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

import pytest
from test_floors import FLOORS as HOUSE

import kokoro_lab
from kokoro_lab.measure.machine import content_bytes, program_bytes
from kokoro_lab.measure.machine.content_bytes import code_sum, model_sum
from kokoro_lab.measure.machine.program_bytes import code_files, packages_sum, plain_sum, sum_over

PACKAGE = Path(kokoro_lab.__file__).parent


def test_the_modules_are_those_of_the_floors_up_to_measure() -> None:
    up_to_measure = HOUSE[: HOUSE.index(("measure",)) + 1]
    rooms = {room for floor in up_to_measure for room in floor} | {"__init__"}
    assert set(program_bytes.FLOORS) | set(program_bytes.MODULES) == rooms
    assert {Path(path) for path in code_files()} == {
        path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in rooms
    }


def test_any_change_of_a_module_changes_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "kokoro_lab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("compiled", "__pycache__"))
    monkeypatch.setattr(program_bytes, "PACKAGE", copy)
    monkeypatch.setattr(content_bytes, "choose", lambda: type("Choice", (), {"path": None}))
    sums = [code_sum()]
    (copy / "reports" / "rows" / "evidence.py").write_text("# not measured\n")
    sums.append(code_sum())
    (copy / "measure" / "worker.py").write_text("# other code\n")
    sums.append(code_sum())
    (copy / "text" / "numbers.py").write_text("# a new module\n")
    sums.append(code_sum())
    assert sums[0] == sums[1] and len(set(sums)) == 3


def test_the_packages_are_the_installed_ones_with_their_lists_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def packages() -> str:
        return packages_sum(("some_package",), (), plain_sum)

    monkeypatch.setattr("sys.path", [str(tmp_path / "first"), str(tmp_path)])
    sums = [packages()]
    info = tmp_path / "some.package-1.0.dist-info"
    for version, listed in (("1.0", "a,sha256=1"), ("1.0", "a,sha256=2"), ("1.1", "a,sha256=2")):
        shutil.rmtree(info, ignore_errors=True)
        info = tmp_path / f"some.package-{version}.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(listed)
        program_bytes._installed.cache_clear()
        sums.append(packages())
    library = tmp_path / "library.so"
    library.write_bytes(b"native")
    sums.append(packages_sum(("some_package",), [library], plain_sum))
    program_bytes._installed.cache_clear()
    assert len(set(sums)) == 5


def test_a_package_beside_the_program_is_found_wherever_the_path_says_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "some_package-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("a,sha256=1")
    monkeypatch.chdir(tmp_path)
    sums = []
    for place in (str(tmp_path), ""):
        monkeypatch.setattr("sys.path", [place])
        program_bytes._installed.cache_clear()
        sums.append(packages_sum(("some_package",), (), plain_sum))
    (info / "RECORD").write_text("a,sha256=2")
    sums.append(packages_sum(("some_package",), (), plain_sum))
    program_bytes._installed.cache_clear()
    assert sums[0] == sums[1] != sums[2]


def test_installed_versions_are_those_that_the_interpreter_imports() -> None:
    known = program_bytes._installed(tuple(sys.path))
    for name in ("numpy", "onnxruntime"):
        assert known[name][0] == importlib.metadata.version(name)


def test_sums_depend_on_the_order_of_files_and_not_on_their_names(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for path in files:
        path.write_text(path.name)
    assert model_sum(files) != model_sum(files[::-1]) != model_sum(files[:1])
    assert sum_over([], plain_sum) == ""
