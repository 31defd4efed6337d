"""Isolated installations: another onnxruntime build, or a peer engine, each from a pinned recipe in data/environments/.

A recipe names every package with its exact version, dependencies too, and they are installed without looking for
others: the same recipe is the same environment. It lives in a virtual environment of its own under
home()/environments/NAME, and counts only when its mark, environment.json, is there; that is written last.
The worker runs in it by its interpreter; of our own packages it sees `kokoro_lab` alone.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from kokoro_lab.errors import BusyError, InputError, KokoroLabError
from kokoro_lab.measure.recipes import Recipe, recipe, recipes
from kokoro_lab.paths import home

__all__ = ["Environment", "Status", "add", "environment", "environments", "environments_folder", "inside", "remove"]

Status = Literal["installed", "outdated", "incomplete", "not installed"]
"""outdated: installed from another version of the recipe. incomplete: what a killed installation left behind."""

Notice = Callable[[str], None]

MARK = "environment.json"
NAME = "KOKORO_LAB_ENVIRONMENT"  # variable that tells a process inside which recipe it runs from, for its record
PACKAGE = Path(__file__).resolve().parent.parent
PIP = ("install", "--no-deps", "--no-input", "--disable-pip-version-check", "--progress-bar", "off")
TOLD = (
    "Collecting ",
    "Processing ",
    "Building wheel",
    "Installing collected",
)  # lines of pip's that are worth passing on


@dataclass(frozen=True)
class Environment:
    """One recipe and what is installed of it."""

    name: str
    recipe: Recipe | None
    """None when an installed environment's recipe is gone."""
    folder: Path
    status: Status
    recipe_sha256: str = ""
    """Of the recipe it was installed from; empty unless it is complete."""
    installed_at: str = ""
    """UTC, ISO 8601."""

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return _python_in(self.folder)


def environments_folder() -> Path:
    """Where environments are kept."""
    return home() / "environments"


def environments() -> list[Environment]:
    """Every recipe with what is installed of it, and installed environments whose recipe is gone, by name."""
    known = {entry.name: entry for entry in recipes()}
    root = environments_folder()
    there = {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
    return [_look(name, known.get(name)) for name in sorted({*known, *there})]


def environment(name: str) -> Environment:
    """The environment of one recipe. Raises InputError for an unknown name, and for a malformed recipe."""
    return _look(name, recipe(name))


def add(name: str, *, notice: Notice | None = None) -> Environment:
    """Install the environment `name`, or leave it as it is when it is installed from the present recipe.

    Takes from seconds to minutes and uses the network through pip. Whatever goes wrong, nothing half-made stays.
    Raises InputError for an unknown name, BusyError when another process installs it, and KokoroLabError with the
    reason when it cannot be installed.
    """
    say = notice or (lambda _: None)
    wanted = recipe(name)
    with _alone(name):
        found = _look(name, wanted)
        if found.status == "installed":
            say(f"environment {name} is installed already")
            return found
        _remove_tree(found.folder)
        say(f"installing environment {name}: {len(wanted.pins)} packages")
        try:
            _make(wanted, found.folder, say)
        except BaseException:
            _remove_tree(found.folder)
            raise
        say(f"installed environment {name} in {found.folder}")
    return _look(name, wanted)


def remove(name: str) -> Path:
    """Delete the environment `name`, complete or not; the folder that is gone now.

    Raises InputError when there is none of that name, and BusyError while another process installs it.
    """
    folder = environments_folder() / name
    if not name or Path(name).name != name or not folder.is_dir():
        there = ", ".join(entry.name for entry in environments() if entry.status != "not installed") or "none"
        raise InputError(f"no environment {name!r} is installed; installed are: {there}")
    with _alone(name):
        _remove_tree(folder)
    _lock_path(name).unlink(missing_ok=True)
    return folder


def inside(name: str, command: Sequence[str], scratch: Path) -> tuple[list[str], dict[str, str]]:
    """`command`, a Python interpreter with arguments, moved into the environment; and the variables it then needs.

    `scratch`: an empty folder that lives as long as the process; it gets a link to our package, so that nothing else
    of this installation is on the path there. Raises KokoroLabError when the environment is not ready.
    """
    found = environment(name)
    if found.status != "installed":
        raise KokoroLabError(
            f"environment {name!r} is {found.status}; install it with `kokoro-lab environments add {name}`"
        )
    shelf = scratch / "path"
    shelf.mkdir()
    (shelf / PACKAGE.name).symlink_to(PACKAGE, target_is_directory=True)
    variables = {
        "PYTHONPATH": str(shelf),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        NAME: f"{name} {found.recipe_sha256[:12]}",
    }
    return [str(found.python), *command[1:]], variables


def _look(name: str, known: Recipe | None) -> Environment:
    folder = environments_folder() / name
    if not folder.is_dir():
        return Environment(name, known, folder, "not installed")
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        installed_from, at = str(mark["recipe_sha256"]), str(mark["installed_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return Environment(name, known, folder, "incomplete")
    same = known is not None and known.sha256 == installed_from
    return Environment(name, known, folder, "installed" if same else "outdated", installed_from, at)


def _make(wanted: Recipe, folder: Path, say: Notice) -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted.python != running:
        raise KokoroLabError(
            f"environment {wanted.name} is made for Python {wanted.python}, and this is {running}; "
            f"run kokoro-lab with Python {wanted.python}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], f"making environment {wanted.name}", say)
    python = str(_python_in(folder))
    if wanted.pins:
        pins = folder / "requirements.txt"
        pins.write_text("".join(f"{pin}\n" for pin in wanted.pins), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--python", python, *PIP, "-r", str(pins)]
        _run(pip, f"installing environment {wanted.name}", say)
    if wanted.imports:
        say(f"trying {', '.join(wanted.imports)}")
        _run([python, "-I", "-c", f"import {', '.join(wanted.imports)}"], f"trying environment {wanted.name}", say)
    mark = {
        "name": wanted.name,
        "recipe_sha256": wanted.sha256,
        "pins": list(wanted.pins),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "installed_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    part = folder / f"{MARK}.part"
    part.write_text(json.dumps(mark, indent=1), encoding="utf-8")
    part.replace(folder / MARK)


def _run(command: Sequence[str], doing: str, say: Notice) -> None:
    """Run one step, its interesting lines passed on; KokoroLabError with its last complaint when it fails."""
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
                if line.startswith(TOLD):
                    say(line.strip())
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise KokoroLabError(f"{doing} failed: {_complaint(lines)}; nothing of it was kept")


def _end(process: subprocess.Popen[str]) -> None:
    """End a step and what it started (pip runs itself again inside the environment), and wait until all are gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdout is not None:
        process.stdout.read()  # ends when the last of them has let go of it


def _complaint(lines: Sequence[str]) -> str:
    """The line that says why: pip's last error, else the last line there is."""
    said = [line for line in lines if line]
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
    return (errors or said or ["it gave no reason"])[-1].rstrip(".")


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    environments_folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock_path(name))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(f"another process is installing environment {name!r}; wait until it has ended") from None
    try:
        yield
    finally:
        lock.release()


def _lock_path(name: str) -> Path:
    return environments_folder() / f".{name}.lock"


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _remove_tree(folder: Path) -> None:
    """The mark first: an environment that is being deleted is not complete any more."""
    (folder / MARK).unlink(missing_ok=True)
    if folder.is_dir():
        shutil.rmtree(folder)
