"""The bytes of the program that measures: this package's modules, and the installed packages that it loads.

Only the standard library is used: this runs in the environments of peer engines too, after their timed part.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

__all__ = ["FLOORS", "MODULES", "OWN_NAME", "code_files", "packages_sum", "plain_sum", "sum_over"]

PACKAGE = Path(__file__).resolve().parents[2]

FLOORS = ("audio", "engine", "files", "kernels", "measure", "models", "process", "runtime", "text")
"""Folders whose modules a measured process can load: those up to measure. All of them are hashed, whether the process
has loaded them or not, so that the sum does not depend on the cell."""

MODULES = ("__init__", "_version", "errors", "field_checks", "paths", "units")
"""Modules beside these folders that it can load."""

OWN_NAME = "kokoro-lab"
"""This package's distribution; its bytes are the part `code`."""

DIST_INFO = re.compile(r"(.+?)-([^-]+)\.dist-info")


def code_files() -> list[str]:
    """The paths of this package's modules that a measured process can load, in order."""
    files = [f"{PACKAGE}/{name}.py" for name in MODULES]
    for floor in FLOORS:
        for folder, _, names in os.walk(PACKAGE / floor):
            files += [f"{folder}/{name}" for name in names if name.endswith(".py")]
    return sorted(files)


def sum_over(files: Iterable[Path], sum_of: Callable[[Path], str], *others: str) -> str:
    """SHA-256 (hex) over the names and sums of files, and over other texts; empty without any."""
    parts = [*(f"{path.name} {sum_of(path)}" for path in files), *others]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else ""


def plain_sum(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, computed anew."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def packages_sum(names: Iterable[str], libraries: Iterable[Path], sum_of: Callable[[Path], str]) -> str:
    """SHA-256 (hex) over the interpreter's version, the installed ones of these distributions (name, version, the sum
    of their list of files with sums, RECORD), and native libraries.

    RECORD says what the installer wrote. It does not show a module that was edited in place, nor the source folder of
    an editable installation; a distribution without the list is known by its version alone.
    """
    known = _installed(tuple(sys.path))
    described = [f"python {'.'.join(map(str, sys.version_info[:3]))}"]
    for name in sorted({_plain(name) for name in names} - {OWN_NAME}):
        if name in known:
            version, folder = known[name]
            record = Path(folder, "RECORD")
            described.append(f"{name} {version} {plain_sum(record) if record.is_file() else ''}")
    return sum_over(libraries, sum_of, *described)


@cache
def _installed(path: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Distribution -> version and folder of its metadata; of several the one that is imported."""
    found: dict[str, tuple[str, str]] = {}
    for place in path:
        folder = place or str(Path.cwd())  # an empty entry means the working folder
        try:
            entries = [entry.name for entry in os.scandir(folder)]
        except OSError:
            continue
        for entry in entries:
            if entry.endswith(".dist-info") and (match := DIST_INFO.fullmatch(entry)) is not None:
                found.setdefault(_plain(match[1]), (match[2], f"{folder}/{entry}"))
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
