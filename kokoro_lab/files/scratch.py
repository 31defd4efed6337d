"""Temporary folders beside the results of their work, which the next start removes when their owner was killed.

The owner holds a lock on the folder. The kernel releases it when the owner dies, however it dies: a folder of that kind
without a lock is litter.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["ClaimedFolder", "remove_abandoned"]


class ClaimedFolder:
    """A new, locked folder, which is deleted with its contents at the end of a `with` block.

    What cannot be deleted is left there. A child that was forked inside the block leaves the folder to its parent.
    """

    def __init__(self, parent: Path | None = None, *, prefix: str) -> None:
        """Create it, in the temporary directory without `parent`. Raises OSError, and ValueError for a bad name."""
        self._owner = os.getpid()
        self.path, self._lock = _locked_folder(parent, prefix)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        if os.getpid() == self._owner:
            shutil.rmtree(self.path, ignore_errors=True)


def remove_abandoned(parent: Path, prefix: str) -> list[Path]:
    """Remove the folders in `parent` whose owners died; returns them. A folder in use is locked, and stays."""
    removed = []
    with suppress(OSError):
        for path in sorted(parent.glob(f"{prefix}*")):
            if path.is_dir() and not path.is_symlink() and _removed(path):
                removed.append(path)
    return removed


def _locked_folder(parent: Path | None, prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():  # not removed as litter between its creation and the lock
            return path, lock
        os.close(lock)


def _removed(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
