"""File systems that are small or read-only, for as long as a block lasts; needs the right to mount."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.lab import ROOT

__all__ = [
    "BOUND_BY_MODES",
    "NOBODY",
    "SmallDisk",
    "may_mount",
    "modes_bind",
    "nobody_can_run",
    "read_only",
    "small_disk",
]

NOBODY = 65534
"""The user and group without any rights."""

BOUND_BY_MODES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--")
"""Starts a command of root's without the right to override the modes of files."""

FILLER = ".filler"
PAGE = 4096
"""A tmpfs gives whole pages."""


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)


@functools.cache
def may_mount() -> bool:
    """Whether this process may mount file systems."""
    with tempfile.TemporaryDirectory() as place:
        if not _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", place):
            return False
        _unmount(Path(place))
    return True


@functools.cache
def modes_bind() -> bool:
    """Whether BOUND_BY_MODES can start commands, and takes that right from them."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o555)
        try:
            starts = subprocess.run([*BOUND_BY_MODES, "true"], capture_output=True, check=False).returncode == 0
            writes = subprocess.run([*BOUND_BY_MODES, "touch", f"{place}/file"], capture_output=True, check=False)
        except OSError:
            return False
        finally:
            Path(place).chmod(0o755)
    return starts and writes.returncode != 0


@functools.cache
def nobody_can_run() -> bool:
    """Whether this process may start commands as another user who can read the environment and the checkout."""
    if os.geteuid() != 0:
        return False
    command = [sys.executable, "-c", "import kokoro_lab.cli"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env=environment,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


class SmallDisk:
    """A file system whose free space is set by a file that fills it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def leave(self, free: int) -> None:
        """Fill it up to that number of free bytes."""
        self.free()
        status = os.statvfs(self.place)
        rest = status.f_bavail * status.f_frsize - free
        with (self.place / FILLER).open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, max(PAGE, rest // PAGE * PAGE))

    def free(self) -> None:
        """Make room again."""
        (self.place / FILLER).unlink(missing_ok=True)

    def used(self) -> int:
        """Bytes that are in use."""
        status = os.statvfs(self.place)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[SmallDisk]:
    """A file system of that many bytes at a folder, which is empty meanwhile.

    Raises:
        OSError: it cannot be mounted.
    """
    place.mkdir(parents=True, exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place)):
        raise OSError(f"a tmpfs cannot be mounted at {place}")
    try:
        yield SmallDisk(place)
    finally:
        _unmount(place)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Make a folder and everything in it read-only by a mount.

    Raises:
        OSError: it cannot be mounted.
    """
    if not _mount("--bind", str(place), str(place)):
        raise OSError(f"{place} cannot be mounted")
    try:
        if not _mount("-o", "remount,bind,ro", str(place)):
            raise OSError(f"{place} cannot be made read-only")
        yield
    finally:
        _unmount(place)
