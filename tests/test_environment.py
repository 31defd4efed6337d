"""One set of dependencies, told in three files."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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


def _project() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {_plain(r.name): r for r in map(Requirement, project["dependencies"])}


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
    project = _project()
    assert set(conda) == set(project)
    for name, requirement in project.items():
        assert conda[name].specifier == requirement.specifier, name


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pins = _pins()
    for name, requirement in _project().items():
        assert pins[name] in requirement.specifier, f"{requirement} against {pins.get(name)}"


def test_what_tests_and_the_check_need_is_pinned_too() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = _pins()
    assert {"test", "check"} <= set(extras)
    for requirement in map(Requirement, [text for texts in extras.values() for text in texts]):
        assert pins[_plain(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_was_asked_for_is_a_dependency_and_installed(name: str) -> None:
    assert name in _project()
    assert version(name) == _pins()[name]
