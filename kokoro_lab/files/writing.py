"""Files that appear under their name only when they are complete.

A writer fills a hidden temporary file beside the target (`.NAME.xxxxxxxx.part`), flushes it to the disk and renames it.
It holds a lock on that file while it writes; the kernel releases the lock when the writer dies, so that the next start
can tell litter from a file that another process is writing: see `remove_litter`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kokoro_lab.errors import KokoroLabError, StoreError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.scratch import ClaimedFolder

__all__ = ["make_folder", "remedy", "remove_litter", "scratch_folder", "write_bytes", "write_text", "written_whole"]

ADVICE = "free some space or choose another folder"
LONGEST_STEM = 100  # bytes of the target's name in that of the temporary file: names end at 255 bytes
_PART = re.compile(r"\..*\.[a-z0-9_]{8}\.part", re.DOTALL)
_REMEDIES = {
    errno.EMFILE: "raise the limit of open files with ulimit -n",
    errno.ENFILE: "close other programs: the system has no more open files",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def written_whole(
    path: Path, *, error: type[KokoroLabError] = StoreError, advice: str = ADVICE, durable: bool = True
) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` when the block ends without an exception; a failure leaves nothing behind.

    The folder is created. The file gets the permissions that an ordinary new file would have.

    Args:
        path: the file.
        error: raised when the folder or the file cannot be written.
        advice: what to do then.
        durable: whether the file must survive a power failure; what only passes between two processes need not, and is
            written faster.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream, part = _part_file(path)
        with stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o666 & ~UMASK)
            part.replace(path)
    except (OSError, ValueError) as problem:  # ValueError: a null character in the path
        if isinstance(problem, ValueError) and part is not None:
            raise  # from the block
        raise error(f"cannot write {path}: {reason(problem)}; {remedy(problem, advice)}") from problem
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def write_bytes(
    path: Path, data: bytes, *, error: type[KokoroLabError] = StoreError, advice: str = ADVICE, durable: bool = True
) -> None:
    """Write a whole file or nothing; see `written_whole`."""
    with written_whole(path, error=error, advice=advice, durable=durable) as stream:
        stream.write(data)


def write_text(
    path: Path, text: str, *, error: type[KokoroLabError] = StoreError, advice: str = ADVICE, durable: bool = True
) -> None:
    """Write a whole file of UTF-8 text or nothing; see `written_whole`."""
    write_bytes(path, text.encode("utf-8"), error=error, advice=advice, durable=durable)


def make_folder(path: Path, *, error: type[KokoroLabError] = StoreError, advice: str = ADVICE) -> Path:
    """Create a folder with its parents where it is missing, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as problem:
        raise error(f"cannot create folder {path}: {reason(problem)}; {remedy(problem, advice)}") from problem
    return path


@contextmanager
def scratch_folder(
    parent: Path | None = None,
    *,
    prefix: str = "kokoro-lab-",
    error: type[KokoroLabError] = StoreError,
    advice: str = "free some space or set TMPDIR to another folder",
) -> Iterator[Path]:
    """A new folder that is deleted with its contents when the block ends; in the temporary directory without `parent`.

    It is locked, see `files.scratch`. Raises `error` when the folder cannot be created.
    """
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        folder = ClaimedFolder(parent, prefix=prefix)
    except (OSError, ValueError) as problem:
        where = parent or "the temporary directory"
        raise error(f"cannot create a folder in {where}: {reason(problem)}; {remedy(problem, advice)}") from problem
    with folder as path:
        yield path


def remedy(problem: BaseException, advice: str) -> str:
    """What to do about a failed file operation: `advice`, unless the failure has a cause of its own."""
    number = problem.errno if isinstance(problem, OSError) else None
    return advice if number is None else _REMEDIES.get(number, advice)


def remove_litter(folder: Path) -> list[Path]:
    """Remove the temporary files of writers that died, directly in `folder`; returns what was removed.

    A file that another process is writing is locked, and stays. A folder that cannot be read or changed is left alone.
    """
    removed = []
    with suppress(OSError):
        for part in sorted(folder.iterdir()):
            if _PART.fullmatch(part.name) and _removed(part):
                removed.append(part)
    return removed


def _part_file(path: Path) -> tuple[IO[bytes], Path]:
    """A new temporary file beside `path`, open for reading and writing, and locked."""
    while True:
        stem = os.fsencode(path.name)[:LONGEST_STEM].decode("utf-8", "ignore")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{stem}.", suffix=".part")
        stream = os.fdopen(handle, "w+b")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # not removed as litter between its creation and the lock
            return stream, Path(name)
        stream.close()


def _removed(part: Path) -> bool:
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
    except OSError:
        return False
    return True


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


UMASK = _umask()
"""The process's umask, read once: reading it changes it for a moment, in all threads."""
