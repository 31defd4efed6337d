"""Cold files: drop a file from the page cache, and look whether it is really gone."""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Dropped", "drop", "resident_share"]


@dataclass(frozen=True)
class Dropped:
    """What became of the request."""

    dropped: bool
    note: str
    """What goes into a block's `cold["file_cache"]`: it starts with "dropped" or "not dropped: reason"."""


def drop(path: Path) -> Dropped:
    """Ask the kernel to forget the cached pages of one file (posix_fadvise DONTNEED), and verify it (mincore).

    No privileges are needed. Pages that are dirty are written first; pages that another process has mapped stay.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return Dropped(False, "not dropped: this system has no posix_fadvise")
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    except OSError as error:
        return Dropped(False, f"not dropped: {error.strerror or error}")
    share = resident_share(path)
    if share is None:
        return Dropped(True, "dropped, not verified: this system has no mincore")
    if share > 0.01:
        return Dropped(False, f"not dropped: {share:.0%} of the file stayed in the page cache")
    return Dropped(True, f"dropped, verified: {share:.1%} of the file in the page cache")


def resident_share(path: Path) -> float | None:
    """Share of a file's pages that are in the page cache, 0 to 1; None where the system cannot tell."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mincore"):
        return None
    size = path.stat().st_size
    if size == 0:
        return 0.0
    pages = -(-size // mmap.PAGESIZE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapping:
        flags = (ctypes.c_ubyte * pages)()
        view = ctypes.c_char.from_buffer(mapping)
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), flags)
        del view  # else the mapping cannot be closed
    return None if failed else sum(flag & 1 for flag in flags) / pages
