"""Full disks and read-only folders for tests: modes do not bind root, mounts and limits do."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["full_disk", "listing", "read_only", "unprivileged"]

NOBODY = 65_534


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file of this process can grow beyond `most` bytes meanwhile, as on a disk that is full at a random moment."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder is a read-only mount meanwhile; skips the test where mounts are not allowed."""
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode == 0
    try:
        if not mounted or subprocess.run(["mount", "-o", "remount,ro,bind", folder], capture_output=True).returncode:
            pytest.skip("folders cannot be mounted read-only by this user")
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


@contextmanager
def unprivileged() -> Iterator[None]:
    """This process is not root meanwhile, so that the modes of files bind it. Import what is needed before."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
