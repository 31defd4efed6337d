"""Zip archives that somebody else wrote: bounded in entries and in bytes before anything of them is inflated."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from kokoro_lab.errors import InputError, KokoroLabError
from kokoro_lab.files.reading import decoding

__all__ = ["Archive", "ArchiveLimits", "archive"]

METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""The others inflate a block at once, whatever size is asked for; NumPy and PyTorch write only these."""
ENTRY_BYTES = 512  # of the archive's directory, an entry: 46 fixed ones, its name and what writers add
END_BYTES = 1 << 17  # the end of an archive: a fixed part and a comment


@dataclass(frozen=True)
class ArchiveLimits:
    """More than any archive of its kind has."""

    entries: int
    inflated: int
    """Bytes of all entries together."""


class Archive:
    """The members of a zip archive by name. Create it with `archive`."""

    def __init__(self, entries: zipfile.ZipFile, what: str, error: type[KokoroLabError]) -> None:
        self._entries = entries
        self._what = what
        self._error = error
        self._sizes = {entry.filename: entry.file_size for entry in entries.infolist()}

    @property
    def names(self) -> list[str]:
        """Names of the members, in order."""
        return list(self._sizes)

    def size(self, name: str) -> int:
        """Bytes of a member once it is inflated, as the archive declares it."""
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        """A member's bytes, their number and checksum as declared."""
        if name not in self._sizes:
            raise self._error(f"{self._what} lacks {name[:80]!r}; get the file again")
        size = self._sizes[name]
        with decoding(self._what, error=self._error), self._entries.open(name) as member:
            # Without a number zipfile would inflate all that is there, whatever the declared size.
            data = member.read(size)
        if len(data) != size:
            raise self._error(f"{self._what} is truncated in {name[:80]!r}; get the file again")
        return data


@contextmanager
def archive(
    stream: BinaryIO, what: str, limits: ArchiveLimits, *, error: type[KokoroLabError] = InputError
) -> Iterator[Archive]:
    """The zip archive in `stream`; refused when it has more entries or bytes than `limits`, or is damaged.

    Args:
        stream: a file open for reading.
        what: the archive's kind and place, as in "voice pack af.npz".
        limits: how many entries, and how many bytes once all of them are inflated.
        error: the error to raise.
    """
    guarded = _GuardedStream(stream, max(limits.entries * ENTRY_BYTES, END_BYTES), error, what)
    with decoding(what, error=error):
        entries = zipfile.ZipFile(cast(IO[bytes], guarded))
    guarded.most = None
    with entries:
        every = entries.infolist()
        if len(every) > limits.entries:
            raise error(f"{what} has {len(every):,} entries, more than {limits.entries:,}; choose another file")
        if len({entry.filename for entry in every}) < len(every):
            raise error(f"{what} has two entries of one name; get the file again")
        if any(entry.compress_type not in METHODS for entry in every):
            raise error(f"{what} is compressed by another method than deflate; save it again")
        if sum(entry.file_size for entry in every) > limits.inflated:
            raise error(f"{what} unpacks to more than {limits.inflated:,} bytes; choose another file")
        yield Archive(entries, what, error)


class _GuardedStream:
    """A stream that refuses a read of more than `most` bytes: zipfile reads an archive's whole directory at once."""

    def __init__(self, stream: BinaryIO, most: int, error: type[KokoroLabError], what: str) -> None:
        self.most: int | None = most
        self._stream = stream
        self._error = error
        self._what = what

    def read(self, count: int = -1) -> bytes:
        if self.most is not None and count > self.most:
            raise self._error(f"{self._what} has a directory of {count:,} bytes; choose another file")
        return self._stream.read(count)

    def __getattr__(self, name: str) -> Any:  # seek, tell, seekable, closed
        return getattr(self._stream, name)
