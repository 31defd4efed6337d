"""Bounded reading of files that somebody else wrote: regular files only, and every failure is one of our errors.

Two things read a foreign file. `opened` (or `read_bytes`, `read_text`) gets its bytes: it refuses devices, pipes and
folders, and files that are larger than what they claim to be ever is. `decoding` wraps the library that makes something
of those bytes: whatever such a library raises on a damaged file (and they raise nearly everything) becomes an error of
the package's tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kokoro_lab.errors import InputError, KokoroLabError

if TYPE_CHECKING:
    import hashlib

__all__ = [
    "decoding",
    "full_path",
    "hash_file",
    "is_folder",
    "is_regular",
    "opened",
    "read_bytes",
    "read_text",
    "reason",
]

MEBIBYTE = 1 << 20
LONGEST_REASON = 160  # characters of a library's message that are repeated


@contextmanager
def opened(
    path: Path,
    *,
    what: str,
    most: int,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
) -> Iterator[BinaryIO]:
    """Open a regular file of at most `most` bytes for reading.

    Args:
        path: the file; symbolic links are followed.
        what: what it should be, for the message, as in "voice pack".
        most: bytes; more than any real file of its kind has.
        error: the error for everything that is wrong with it.
        missing: the error where there is no such file; `error` when None.
    """
    try:
        # A pipe without a writer must not block the open; for a regular file the flag means nothing.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as problem:
        raise (missing or error)(f"no file {path}; check the path") from problem
    except (OSError, ValueError) as problem:
        raise error(f"{what} {path} cannot be opened: {reason(problem)}; check the path") from problem
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise error(f"{path} is not a regular file; give the file of a {what}")
    with os.fdopen(handle, "rb") as stream:
        if (size := status.st_size) > most:
            raise error(f"{path} has {size:,} bytes, which is more than any {what} has ({most:,}); choose another file")
        try:
            yield stream
        except OSError as problem:
            raise error(f"{what} {path} cannot be read: {reason(problem)}; check the disk") from problem


def read_bytes(
    path: Path,
    *,
    what: str,
    most: int,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
) -> bytes:
    """The bytes of a regular file; arguments and errors are those of `opened`."""
    with opened(path, what=what, most=most, error=error, missing=missing) as stream:
        # A file may grow while it is read. The whole buffer is allocated first, so `most` itself would be too much.
        data = stream.read(min(most, os.fstat(stream.fileno()).st_size) + 1)
    if len(data) > most:
        raise error(f"{path} has more bytes than any {what} has ({most:,}); choose another file")
    return data


def hash_file(
    digest: hashlib._Hash,
    path: Path,
    *,
    what: str,
    most: int,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
) -> None:
    """Add the bytes of a regular file to a digest; the other arguments and errors are those of `opened`."""
    with opened(path, what=what, most=most, error=error, missing=missing) as stream:
        left = most
        while block := stream.read(MEBIBYTE):
            digest.update(block)
            left -= len(block)
            if left < 0:  # a file may grow while it is read
                raise error(f"{path} has more bytes than any {what} has ({most:,}); choose another file")


def read_text(
    path: Path,
    *,
    what: str,
    most: int,
    error: type[KokoroLabError] = InputError,
    missing: type[KokoroLabError] | None = None,
) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark; the rest is as in `opened`."""
    data = read_bytes(path, what=what, most=most, error=error, missing=missing)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{what} {path} is not UTF-8 text; convert it first") from problem


@contextmanager
def decoding(
    what: str, *, error: type[KokoroLabError] = InputError, advice: str = "get the file again"
) -> Iterator[None]:
    """Turn whatever a library raises on damaged data into `error`; errors of the package's own tree pass unchanged.

    Args:
        what: the data and their place, as in "voice pack af.bin", the subject of the message.
        error: the error to raise.
        advice: what to do.
    """
    try:
        yield
    except KokoroLabError:
        raise
    except Exception as problem:  # zipfile, pickle, protobuf, yaml and zlib raise anything on damaged bytes
        raise error(f"{what} is damaged or of another kind ({reason(problem)}); {advice}") from problem


def is_regular(path: Path) -> bool:
    """Whether there is a regular file at `path`; False, too, where it cannot be named, or may not be looked at."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError):  # a name too long; a null character; a loop of symbolic links
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; False, too, where it cannot be named, or may not be looked at."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        return False


def full_path(name: str) -> Path:
    """The absolute path of a file that a user named, `~` and symbolic links resolved as far as that is possible."""
    try:
        return Path(name).expanduser().resolve()
    except (OSError, ValueError, RuntimeError):  # too long; a null character; an unknown user, a loop of symbolic links
        return Path(name).absolute()


def reason(problem: BaseException) -> str:
    """The message of a library's exception on one short line, or its class where it has none."""
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    words = " ".join(str(problem).split()) or type(problem).__name__
    words = "".join(letter if letter.isprintable() else "?" for letter in words[: LONGEST_REASON + 1])
    return words if len(words) <= LONGEST_REASON else words[: LONGEST_REASON - 3] + "..."
