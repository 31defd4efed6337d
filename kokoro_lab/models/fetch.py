"""Brings published files here: streamed into a part file, continued by range, checked by size and sum, then renamed.

A file appears under its name only when every byte has been checked. What a broken connection leaves is a hidden part
file, which the next fetch continues; a part whose sum is wrong, or that the disk had no room for, is deleted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.catalog import models_folder
from kokoro_lab.models.published import PublishedFile, published_files
from kokoro_lab.models.records import ModelFile, file_sum, write_record
from kokoro_lab.models.voices import voices_folder

__all__ = ["Progress", "download", "fetch", "fetch_voices", "mirrored", "part_path"]

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # connections that may break before the fetch gives up; each continues where the last one stopped
SPARE = 1 << 24  # bytes to leave free on the disk

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class _InterruptedError(Exception):
    """The connection ended early; what came so far is kept."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Answer:
    stream: _Stream
    start: int
    """The first byte the server sends."""


def fetch(
    name: str, *, progress: Progress | None = None, catalogue: Sequence[PublishedFile] | None = None
) -> ModelFile:
    """Install the published model called `name`; nothing is sent when it is there already, with the right sum.

    Raises ModelNotFoundError for a name the catalogue does not have and ModelError when the file cannot be had whole.
    """
    file = _named(name, published_files("models") if catalogue is None else catalogue)
    target = models_folder() / f"{file.name}.onnx"
    download(file, target, progress=progress)
    model = ModelFile(file.name, target, file.sha256, file.bytes, "published", "full", file.precision)
    write_record(model, url=file.url)
    return model


def fetch_voices(
    name: str = "voices-v1.0", *, progress: Progress | None = None, catalogue: Sequence[PublishedFile] | None = None
) -> Path:
    """Install the published voice file called `name`; where it is. Errors as those of `fetch`."""
    file = _named(name, published_files("voices") if catalogue is None else catalogue)
    target = voices_folder() / file.url.rsplit("/", 1)[-1]
    download(file, target, progress=progress)
    return target


def download(file: PublishedFile, target: Path, *, progress: Progress | None = None, timeout: float = TIMEOUT) -> None:
    """Put `file` at `target`. `timeout` is in seconds without a byte.

    Raises ModelError, with what to do next, when the server cannot be reached, refuses, sends something else or stops,
    and when the disk is full.
    """
    url = mirrored(file.url)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ModelError(f"there is no address to fetch {file.name} from; put the file at {target} yourself")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if target.is_file() and target.stat().st_size == file.bytes and file_sum(target) == file.sha256:
                return
            part = part_path(target)
            _require_room(file, part)
            _fill(file, url, part, progress or (lambda done, total: None), timeout)
            _accept(file, part, target)
    except OSError as error:
        raise ModelError(f"cannot write {target}: {error.strerror}; free some space or set KOKORO_LAB_HOME") from error


def mirrored(url: str) -> str:
    """The address with its scheme and host replaced by KOKORO_LAB_MIRROR, where that is set."""
    mirror = os.environ.get("KOKORO_LAB_MIRROR", "").rstrip("/")
    return f"{mirror}{urlsplit(url).path}" if mirror else url


def part_path(target: Path) -> Path:
    """Where the unfinished download of `target` is kept."""
    return target.with_name(f".{target.name}.part")


def _named(name: str, files: Sequence[PublishedFile]) -> PublishedFile:
    for file in files:
        if file.name == name:
            return file
    raise ModelNotFoundError(f"no published file is called {name!r}; use one of {', '.join(f.name for f in files)}")


def _require_room(file: PublishedFile, part: Path) -> None:
    missing = file.bytes - (part.stat().st_size if part.is_file() else 0)
    free = shutil.disk_usage(part.parent).free
    if free < missing + SPARE:
        raise ModelError(
            f"{file.name} needs {missing / 1e6:.0f} MB more and {part.parent} has {free / 1e6:.0f} MB free; "
            "free some space or set KOKORO_LAB_HOME"
        )


def _fill(file: PublishedFile, url: str, part: Path, progress: Progress, timeout: float) -> None:
    """Bring the part file to its full size, in as many connections as it takes."""
    for attempt in range(1, ATTEMPTS + 1):
        held = part.stat().st_size if part.is_file() else 0
        if held == file.bytes:
            return
        if held > file.bytes:
            part.unlink()
            held = 0
        try:
            with _open(file, url, held, timeout) as response:
                _copy(file, _answer(file, response, held), part, progress)
            return
        except (_InterruptedError, HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == ATTEMPTS:
                kept = part.stat().st_size if part.is_file() else 0
                raise ModelError(
                    f"the connection broke after {kept / 1e6:.1f} of {file.bytes / 1e6:.1f} MB of {file.name}; "
                    f"run `kokoro-lab models fetch {file.name}` again to go on from there"
                ) from error


def _open(file: PublishedFile, url: str, held: int, timeout: float) -> Any:
    headers = {"User-Agent": "kokoro-lab", "Accept-Encoding": "identity"}
    if held:
        headers["Range"] = f"bytes={held}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            raise ModelError(
                f"{urlsplit(url).netloc} answered {error.code} {error.reason} for {file.name}; "
                "try again later or set KOKORO_LAB_MIRROR to another host"
            ) from error
    except URLError as error:
        if isinstance(error.reason, ConnectionResetError | TimeoutError):
            raise _InterruptedError from error
        raise ModelError(
            f"cannot reach {urlsplit(url).netloc} for {file.name} ({error.reason}); "
            "check the network or set KOKORO_LAB_MIRROR"
        ) from error


def _answer(file: PublishedFile, response: Any, held: int) -> _Answer:
    """Where the server's bytes start; ModelError when it offers another length than the catalogue's."""
    start = 0
    if response.status == 206:
        start = _range_start(response.headers.get("Content-Range", ""))
        if start not in {0, held}:
            raise ModelError(f"the server sent another part of {file.name} than was asked for; set KOKORO_LAB_MIRROR")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and start + int(length) != file.bytes:
        raise ModelError(
            f"the server offers {start + int(length):,} bytes for {file.name}, not {file.bytes:,}: it is another file; "
            "set KOKORO_LAB_MIRROR to a host that has the right one"
        )
    return _Answer(response, start)


def _range_start(header: str) -> int:
    first = header.removeprefix("bytes").strip().partition("-")[0]
    return int(first) if first.isdecimal() else -1


def _copy(file: PublishedFile, answer: _Answer, part: Path, progress: Progress) -> None:
    done = answer.start
    try:
        with part.open("r+b" if answer.start else "wb") as sink:
            sink.seek(answer.start)
            progress(done, file.bytes)
            while done < file.bytes:
                block = answer.stream.read(min(BLOCK, file.bytes - done))
                if not block:
                    raise _InterruptedError
                sink.write(block)
                done += len(block)
                progress(done, file.bytes)
            sink.flush()
            os.fsync(sink.fileno())
    except (TimeoutError, ConnectionError):
        raise
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _accept(file: PublishedFile, part: Path, target: Path) -> None:
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        part.unlink()
        raise ModelError(
            f"what came for {file.name} has SHA-256 {found[:12]}..., not {file.sha256[:12]}...; nothing was kept: "
            "fetch again, or set KOKORO_LAB_MIRROR to a host you trust"
        )
    part.replace(target)
