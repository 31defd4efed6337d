"""Compiling the operators: which compiler, which libraries, and reasons in the place of exceptions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from kokoro_lab.kernels import build as building
from kokoro_lab.kernels.build import INSTRUCTION_SETS, build, compiler, library_name

SET = next(iter(INSTRUCTION_SETS["x86_64"]))


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes its arguments where it should write a library."""
    script = tmp_path / "compiler"
    script.write_text('#!/bin/sh\nfor last; do :; done\nprintf "%s\\n" "$@" > "$last"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", f"{script} --of-mine")
    return script


def test_the_variable_names_the_compiler_with_its_options(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler() == [str(scripted), "--of-mine"]
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(building.shutil, "which", lambda name: "/bin/c++" if name == "c++" else None)
    assert compiler() == ["/bin/c++"]


@pytest.mark.parametrize("machine", sorted(INSTRUCTION_SETS))
def test_every_instruction_set_of_a_machine_is_compiled_with_its_flags(
    scripted: Path, tmp_path: Path, machine: str
) -> None:
    folder = tmp_path / "compiled"
    assert build(folder, machine=machine) == dict.fromkeys(INSTRUCTION_SETS[machine], "")
    for name, flags in INSTRUCTION_SETS[machine].items():
        arguments = (folder / library_name(name)).read_text().splitlines()
        assert arguments[0] == "--of-mine"
        assert set(flags) <= set(arguments) and f'-DKOKORO_INSTRUCTION_SET="{name}"' in arguments
    assert len(list(folder.iterdir())) == len(INSTRUCTION_SETS[machine]), "nothing else is left behind"


def test_a_missing_and_a_failing_compiler_are_reasons_and_leave_the_old_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / library_name(SET)
    old.write_text("old")
    script = tmp_path / "compiler"
    script.write_text("#!/bin/sh\necho 'x.cc:1: error: no such thing' >&2\nexit 3\n")
    script.chmod(0o755)
    for command, words in ((str(script), "no such thing"), ("/no/such/compiler", "could not run")):
        monkeypatch.setenv("CXX", command)
        (reason,) = build(tmp_path, machine="x86_64", only=[SET]).values()
        assert words in reason
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(building.shutil, "which", lambda name: None)
    (reason,) = build(tmp_path, machine="x86_64", only=[SET]).values()
    assert "CXX" in reason
    assert old.read_text() == "old"


def test_a_machine_without_operators_compiles_nothing(scripted: Path, tmp_path: Path) -> None:
    assert build(tmp_path / "compiled", machine="vax") == {}


@pytest.mark.parametrize(("compiles", "code"), [(True, 0), (False, 1)])
def test_the_module_runs_as_a_program(scripted: Path, tmp_path: Path, compiles: bool, code: int) -> None:
    if not compiles:
        scripted.write_text("#!/bin/sh\nexit 1\n")
    words = ["--folder", str(tmp_path / "compiled"), "--machine", "x86_64", "--only", SET]
    done = subprocess.run(
        [sys.executable, "-m", "kokoro_lab.kernels", *words], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == code
    assert done.stdout.startswith(f"{SET}: ") and len(done.stdout.splitlines()) == 1
    assert (tmp_path / "compiled" / library_name(SET)).exists() == compiles
