"""Isolated installations: another onnxruntime build, or a peer engine, each from a pinned recipe in data/environments/.

A recipe names every package with its exact version, dependencies included, and pip installs nothing else: the same
recipe gives the same environment. It is a virtual environment under home()/environments/NAME, complete when it has its
marker file, environment.json, which is written last. The worker runs with its interpreter; of our own packages it sees
only `kokoro_lab`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kokoro_lab.errors import BusyError, InputError, KokoroLabError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.locking import locked
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.measure.peers.environment_recipes import EnvironmentRecipe, recipe, recipes
from kokoro_lab.models.files.model_record import ADVICE
from kokoro_lab.paths import home

__all__ = [
    "Environment",
    "InstallationStatus",
    "add",
    "environment",
    "environments",
    "environments_folder",
    "inside",
    "remove",
]

InstallationStatus = Literal["installed", "outdated", "incomplete", "not installed"]
"""outdated: installed from another version of the recipe. incomplete: the remains of a killed installation."""

Notice = Callable[[str], None]

MARKER = "environment.json"
MOST_MARKER_BYTES = 1 << 20
NAME = "KOKORO_LAB_ENVIRONMENT"  # variable with the recipe's name and checksum, which the process records
PACKAGE = Path(__file__).resolve().parents[2]
PIP = ("install", "--no-deps", "--no-input", "--disable-pip-version-check", "--progress-bar", "off")
SHOWN_LINES = (
    "Collecting ",
    "Processing ",
    "Building wheel",
    "Installing collected",
)  # lines of pip's output that are shown


@dataclass(frozen=True)
class Environment:
    """A recipe and the state of its installation."""

    name: str
    recipe: EnvironmentRecipe | None
    """None when an installed environment's recipe is gone."""
    folder: Path
    status: InstallationStatus
    recipe_sha256: str = ""
    """Of the recipe that it was installed from; empty unless it is complete."""
    installed_at: str = ""
    """UTC, ISO 8601."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return _python_in(self.folder)


@dataclass(frozen=True)
class _Marker:
    """What an environment was installed from, and when."""

    recipe_sha256: str
    installed_at: str
    name: str = ""
    pins: tuple[str, ...] = ()
    python: str = ""


def environments_folder() -> Path:
    """The folder of the environments."""
    return home() / "environments"


def environments() -> list[Environment]:
    """Every recipe with the state of its installation, and installed environments without a recipe, by name."""
    known = {entry.name: entry for entry in recipes()}
    root = environments_folder()
    present = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    return [_look(name, known.get(name)) for name in sorted({*known, *present})]


def environment(name: str) -> Environment:
    """The environment of one recipe. Raises InputError for an unknown name, and for a malformed recipe."""
    return _look(name, recipe(name))


def add(name: str, *, notice: Notice | None = None) -> Environment:
    """Install the environment `name`, or leave it unchanged when it is installed from the current recipe.

    Takes from seconds to minutes and uses the network through pip. A failed installation leaves nothing behind.
    Raises InputError for an unknown name, BusyError when another process is installing it, and KokoroLabError with the
    reason when it cannot be installed.
    """
    say = notice or (lambda _: None)
    wanted = recipe(name)
    with _alone(name):
        current = _look(name, wanted)
        if current.status == "installed":
            say(f"environment {name} is already installed")
            return current
        _remove_tree(current.folder)
        say(f"installing environment {name}: {len(wanted.pins)} packages")
        try:
            _make(wanted, current.folder, say)
        except BaseException:
            _remove_tree(current.folder)
            raise
        say(f"installed environment {name} in {current.folder}")
    return _look(name, wanted)


def remove(name: str) -> Path:
    """Delete the environment `name`, complete or not, and return the folder that was deleted.

    Raises InputError when it is not installed, and BusyError while another process is installing it.
    """
    folder = environments_folder() / name
    if not name or Path(name).name != name or not folder.is_dir():
        installed = ", ".join(entry.name for entry in environments() if entry.status != "not installed") or "none"
        raise InputError(f"environment {name!r} is not installed; choose one of: {installed}")
    with _alone(name):
        _remove_tree(folder)
    _lock_path(name).unlink(missing_ok=True)
    return folder


def inside(name: str, command: Sequence[str], scratch: Path) -> tuple[list[str], dict[str, str]]:
    """`command`, a Python interpreter with arguments, as it is run inside the environment, and the variables it needs
    there.

    `scratch`: an empty folder that exists as long as the process; it gets a link to our package, so that nothing else
    of this installation is on the path. Raises KokoroLabError when the environment is not ready.
    """
    target = environment(name)
    if target.status != "installed":
        raise KokoroLabError(
            f"environment {name!r} is {target.status}; install it with `kokoro-lab environments add {name}`"
        )
    shelf = make_folder(scratch / "path")
    (shelf / PACKAGE.name).symlink_to(PACKAGE, target_is_directory=True)
    variables = {
        "PYTHONPATH": str(shelf),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        NAME: f"{name} {target.recipe_sha256[:12]}",
    }
    return [str(target.python), *command[1:]], variables


def _look(name: str, known: EnvironmentRecipe | None) -> Environment:
    folder = environments_folder() / name
    if not folder.is_dir():
        return Environment(name, known, folder, "not installed")
    try:
        marker = as_record(_Marker, read_json(folder / MARKER, what="marker", most=MOST_MARKER_BYTES), what="marker")
    except InputError:
        return Environment(name, known, folder, "incomplete")
    status: InstallationStatus = "installed" if known and known.sha256 == marker.recipe_sha256 else "outdated"
    return Environment(name, known, folder, status, marker.recipe_sha256, marker.installed_at)


def _make(wanted: EnvironmentRecipe, folder: Path, say: Notice) -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted.python != running:
        raise KokoroLabError(
            f"environment {wanted.name} needs Python {wanted.python}, but this is Python {running}; "
            f"run kokoro-lab with Python {wanted.python}"
        )
    make_folder(folder.parent, error=KokoroLabError, advice=ADVICE)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], f"creating environment {wanted.name}", say)
    python = str(_python_in(folder))
    if wanted.pins:
        pins = folder / "requirements.txt"
        write_text(pins, "".join(f"{pin}\n" for pin in wanted.pins), error=KokoroLabError, advice=ADVICE)
        pip = [sys.executable, "-m", "pip", "--python", python, *PIP, "-r", str(pins)]
        _run(pip, f"installing environment {wanted.name}", say)
    if wanted.imports:
        say(f"importing {', '.join(wanted.imports)}")
        _run(
            [python, "-I", "-c", f"import {', '.join(wanted.imports)}"],
            f"importing from environment {wanted.name}",
            say,
        )
    marker = _Marker(
        name=wanted.name,
        recipe_sha256=wanted.sha256,
        pins=wanted.pins,
        python=".".join(str(part) for part in sys.version_info[:3]),
        installed_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_text(folder / MARKER, json.dumps(asdict(marker), indent=1), error=KokoroLabError, advice=ADVICE)


def _run(command: Sequence[str], doing: str, say: Notice) -> None:
    """Run one step and show its important lines; KokoroLabError with its last error when it fails."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.strip())
                if line.startswith(SHOWN_LINES):
                    say(line.strip())
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise KokoroLabError(
            f"{doing} failed: {_last_error(lines)}; correct the cause and try again, nothing was installed"
        )


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a step and its child processes (pip runs itself again inside the environment), and wait for them."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdout is not None:
        process.stdout.read()  # ends when the last of them has closed it


def _last_error(lines: Sequence[str]) -> str:
    """The line that names the cause: pip's last error, otherwise the last line."""
    written = [line for line in lines if line]
    errors = [line.removeprefix("ERROR:").strip() for line in written if line.startswith("ERROR:")]
    return (errors or written or ["no output"])[-1].rstrip(".")


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    def busy() -> BusyError:
        return BusyError(f"another process is installing environment {name!r}; wait until it has ended")

    with locked(_lock_path(name), timeout_s=0, busy=busy, error=KokoroLabError, advice=ADVICE):
        yield


def _lock_path(name: str) -> Path:
    return environments_folder() / f".{name}.lock"


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _remove_tree(folder: Path) -> None:
    """Delete the marker first: an environment that is being deleted is no longer complete."""
    (folder / MARKER).unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)
