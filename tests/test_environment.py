"""One set of dependencies, told in three files."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from kokoro_lab.cli import LAB_MODULES
from kokoro_lab.commands.doctor import python_is_supported

ROOT = Path(__file__).parent.parent
ASKED_FOR = [
    "jupyterlab",
    "papermill",
    "onnxruntime",
    "kokoro-onnx",
    "misaki",
    "phonemizer",
    "numpy",
    "pandas",
    "altair",
    "psutil",
    "soundfile",
]  # what the project was asked to be built from


ENGINE, LAB = "the engine's", "lab"
WHOLE = (ENGINE, LAB, "tagger")
"""What `make env` and conda users install to work with: dependencies and extras. Tests need more."""
OTHER_NAMES = {"vl-convert-python": "vl_convert"}
"""Distributions of the extra `lab` that are imported by another name than their own."""
INDIRECT = {"IPython"}
"""Imported by us, installed because ipykernel needs it."""


def _project(*parts: str) -> dict[str, Requirement]:
    """Requirements of the given parts: the dependencies themselves, or an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    written = {ENGINE: project["dependencies"], **project["optional-dependencies"]}
    return {_plain(r.name): r for r in map(Requirement, [text for part in parts for text in written[part]])}


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {_plain(name): pin for name, pin in (line.split("==") for line in lines if line and line[0] != "#")}


def _conda() -> dict[str, Requirement]:
    """environment.yml's requirements, those that pip installs included; conda's single `=` read as `==`."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = [entry for part in environment["dependencies"] if isinstance(part, dict) for entry in part["pip"]]
    written = [re.sub(r"(?<![=<>!])=(?!=)", "==", entry) for entry in conda] + [e for e in pip if not e.startswith("-")]
    return {_plain(r.name): r for r in map(Requirement, written)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_conda_users_get_the_same_packages() -> None:
    conda = _conda()
    python = conda.pop("python")
    assert "3.11" in str(python.specifier)
    conda.pop("pip")
    project = _project(*WHOLE)
    assert set(conda) == set(project)
    for name, requirement in project.items():
        assert conda[name].specifier == requirement.specifier, name


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pins = _pins()
    for name, requirement in _project(*WHOLE).items():
        assert pins[name] in requirement.specifier, f"{requirement} against {pins.get(name)}"


def test_what_tests_and_the_check_need_is_pinned_too() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = _pins()
    assert {"test", "check"} <= set(extras)
    for requirement in map(Requirement, [text for texts in extras.values() for text in texts]):
        assert pins[_plain(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_was_asked_for_is_a_dependency_and_installed(name: str) -> None:
    assert name in _project(*WHOLE)
    assert version(name) == _pins()[name]


def test_no_package_is_asked_for_twice() -> None:
    parts = [set(_project(part)) for part in WHOLE]
    assert sum(map(len, parts)) == len(set().union(*parts))


def _locked() -> dict[str, set[str]]:
    """Name and version of every package of the lock -> the hashes of its files."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return {line.split()[0]: set(re.findall(r"--hash=(sha256:[0-9a-f]{64})(?:\s|$)", line)) for line in lines}


def test_the_lock_has_every_pin_with_the_hashes_of_its_files() -> None:
    locked = _locked()
    assert all(locked.values())
    assert {f"{name}=={pin}" for name, pin in _pins().items()} <= set(locked)


def test_make_installs_nothing_from_the_registry_that_has_no_hash() -> None:
    """The environment with upstream's PyTorch apart, which only compares."""
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^\t(?:\$\(PIP\)|.*pip install) (.*)$", makefile, re.MULTILINE)
    ours = [line for line in installs if "tests/reference" not in line and "kokoro==" not in line]
    assert ours == ["--require-hashes -r requirements.lock", "--no-build-isolation --no-deps -e ."]


def test_every_module_of_the_lab_is_known_by_name_when_it_is_missing() -> None:
    modules = {OTHER_NAMES.get(name, name.replace("-", "_")) for name in _project(LAB)}
    assert modules | INDIRECT == LAB_MODULES


def test_doctor_and_the_package_agree_on_python() -> None:
    asked = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    for minor in range(9, 16):
        assert (f"3.{minor}.1" in asked) == python_is_supported((3, minor)), minor
