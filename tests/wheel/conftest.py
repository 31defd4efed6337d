"""The wheel as built from these sources, and fresh environments that hold it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("MANIFEST.in", "LICENSE", "README.md", "pyproject.toml", "setup.py", "data", "notebooks", "kokoro_lab")
PIP = ("--disable-pip-version-check", "--progress-bar", "off", "--quiet")


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and an empty folder to call it from."""

    folder: Path
    variables: dict[str, str]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """A script of the environment's bin/ with arguments."""
        whole = [str(self.folder / "bin" / command[0]), *map(str, command[1:])]
        return subprocess.run(whole, cwd=cwd, env=self.variables, capture_output=True, text=True, timeout=900)


def _call(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT.anchor)
    assert done.returncode == 0, done.stdout + done.stderr


def _environment(folder: Path, name: str) -> Installed:
    """A fresh virtual environment whose processes see none of our variables, folders or packages."""
    own = ("KOKORO", "PYTHON", "VIRTUAL_ENV", "MYPY", "XDG_", "JUPYTER", "COVERAGE")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    (folder / "tmp").mkdir(exist_ok=True)  # the lock that keeps two runs of a machine apart is in there
    variables |= {
        "KOKORO_LAB_HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(folder / "data home"),
        "TMPDIR": str(folder / "tmp"),
        "PATH": f"{folder / name / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    _call(sys.executable, "-m", "venv", folder / name)
    return Installed(folder / name, variables)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build/ folder left in the checkout may hold modules that are gone."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "sources"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "compiled", ".ipynb_checkpoints")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, copy / name)
    _call(sys.executable, "-m", "pip", "wheel", *PIP, "--no-deps", "--wheel-dir", folder / "dist", copy)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def engine_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with what it depends on, without extras."""
    installed = _environment(tmp_path_factory.mktemp("engine"), "env")
    _call(installed.python, "-m", "pip", "install", *PIP, "-c", ROOT / "constraints.txt", wheel)
    return installed


@pytest.fixture(scope="session")
def with_lab(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, and the packages of the extra `lab` taken from the environment that runs the tests.

    A path file names that environment's site-packages. Path files in there are not read, so that its editable
    installation of the package is not seen.
    """
    installed = _environment(tmp_path_factory.mktemp("lab"), "env")
    _call(installed.python, "-m", "pip", "install", *PIP, "--no-deps", wheel)
    (site,) = installed.folder.glob("lib/python*/site-packages")
    (site / "lab.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return installed
