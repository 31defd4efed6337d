"""Cold files: drop files from the page cache, and say of each what was there when the process started.

No privileges are needed to drop a file of one's own. Pages that another process has mapped stay, such as those of
onnxruntime's libraries while anything else uses them. A start is cold only where every file of the model was verified
to be gone; otherwise it is a fresh process on whatever the cache held.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
from collections.abc import Collection, Sequence
from pathlib import Path

__all__ = ["COLD", "COLD_PROCESS", "drop", "made_cold", "not_cold", "resident_share"]

COLD, COLD_PROCESS = "cold", "cold-process"
"""Values of a block's `cold["measured"]`: which of the two states its files were in."""

MOST_RESIDENT = 0.01
"""Share of a file's pages in the page cache up to which it counts as dropped."""


def made_cold(model: Sequence[Path], libraries: Sequence[Path] = ()) -> dict[str, str]:
    """Drop these files and report the result, as entries of a block's `cold`.

    Args:
        model: the files of the model; the start is cold only if all of them are gone.
        libraries: the compiled kernels and onnxruntime's own libraries, which the system may hold.

    Returns:
        measured: cold or cold-process; file_cache: why, in a sentence without a full stop; and for each file
        "file NAME": the share of its pages that stayed, or why that is unknown. Files of the same name are told apart
        by as much of their paths as that takes.
    """
    kept = {path: drop(path) for path in dict.fromkeys((*model, *libraries))}
    names = _names(kept)
    files = {f"file {names[path]}": _words(share) for path, share in kept.items()}
    there: list[str] = []
    unknown: list[str] = []
    for path in dict.fromkeys(model):
        if not _gone(share := kept[path]):
            (unknown if isinstance(share, str) else there).append(f"{names[path]} ({_words(share)})")
    if there or unknown:
        reasons = {"in the page cache": there, "not verified": unknown}
        said = "; ".join(f"{reason}: {', '.join(those)}" for reason, those in reasons.items() if those)
        return {**not_cold(said), **files}
    if not model:
        return {**not_cold("no file is read"), **files}
    count = len(dict.fromkeys(model))
    dropped = f"dropped, verified: {'the file' if count == 1 else f'all {count} files'} of the model"
    return {"measured": COLD, "file_cache": dropped, **files}


def not_cold(reason: str) -> dict[str, str]:
    """The entries of a block that is not cold, for this reason."""
    return {"measured": COLD_PROCESS, "file_cache": f"not dropped: {reason}"}


def drop(path: Path) -> float | str:
    """Ask the kernel to forget the cached pages of one file (posix_fadvise DONTNEED); returns the share of its pages
    that stayed (mincore), 0 to 1, or the reason why that is unknown.

    Dirty pages are written first.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return "this system has no posix_fadvise"
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        share = resident_share(path)
    except OSError as error:
        return error.strerror or str(error)
    return "this system has no mincore" if share is None else share


def _names(paths: Collection[Path]) -> dict[Path, str]:
    """Path -> its last parts, as few as no other of these different paths has."""
    names = {}
    for path in paths:
        count = 1
        while sum(other.parts[-count:] == path.parts[-count:] for other in paths) > 1:
            count += 1
        names[path] = str(Path(*path.parts[-count:]))
    return names


def _words(kept: float | str) -> str:
    """What stayed of a file, in words."""
    return f"not known: {kept}" if isinstance(kept, str) else f"{kept:.1%} resident before the start"


def resident_share(path: Path) -> float | None:
    """Share of a file's pages that are in the page cache, 0 to 1; None where the system does not report it."""
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
        del view  # otherwise the mapping cannot be closed
    return None if failed else sum(flag & 1 for flag in flags) / pages


def _gone(kept: float | str) -> bool:
    return not isinstance(kept, str) and kept <= MOST_RESIDENT
