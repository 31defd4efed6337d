"""Download of published files: into a part file, resumed by range, checked for size and SHA-256, then renamed.

A file appears under its name only when every byte has been checked. A broken connection leaves a hidden part file,
which the next fetch resumes; a part with the wrong SHA-256, or that the disk had no room for, is deleted. What a slow
or hostile server may do to a request is bounded in `models/files/transfer.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from kokoro_lab.errors import ModelError, ModelNotFoundError, SettingError
from kokoro_lab.models.catalog import models_folder
from kokoro_lab.models.files.model_record import ModelFile, file_sha256, write_record
from kokoro_lab.models.files.published import PublishedFile, published_files
from kokoro_lab.models.files.transfer import InterruptedTransferError, Pace, TransferLimits, opened_url
from kokoro_lab.models.voices import voices_folder

__all__ = ["Progress", "download", "fetch", "fetch_voices", "mirrored", "part_path"]

BLOCK = 1 << 18  # bytes read at a time
ATTEMPTS = 3  # broken connections before the fetch gives up; each resumes where the last stopped
SPARE = 1 << 24  # bytes left free on the disk
LONGEST_NUMBER = 18  # digits of a length in a header
LIMITS = TransferLimits()
OTHER_HOST = "set KOKORO_LAB_MIRROR to a host that has the right file"

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in total)."""


def fetch(
    name: str, *, progress: Progress | None = None, catalogue: Sequence[PublishedFile] | None = None
) -> ModelFile:
    """Install the published model `name`; no request is sent when it is installed already, with the right SHA-256.

    Raises ModelNotFoundError for a name that the catalogue lacks, ModelError when the file cannot be fetched
    completely.
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
    """Install the published voice file `name` and return its path. Errors are those of `fetch`."""
    file = _named(name, published_files("voices") if catalogue is None else catalogue)
    target = voices_folder() / file.url.rsplit("/", 1)[-1]
    download(file, target, progress=progress)
    return target


def download(
    file: PublishedFile, target: Path, *, progress: Progress | None = None, limits: TransferLimits = LIMITS
) -> None:
    """Download `file` to `target`, and give the server up by `limits`.

    Raises ModelError when the server cannot be reached, refuses, sends something else, is too slow or stops, and when
    the disk is full.
    """
    url = mirrored(file.url)
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ModelError(f"{file.name} has no download address; put the file at {target} yourself")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if target.is_file() and target.stat().st_size == file.bytes and file_sha256(target) == file.sha256:
                return
            part = part_path(target)
            _require_room(file, part)
            _fill(file, url, part, progress or (lambda done, total: None), limits)
            _accept(file, part, target)
    except OSError as error:
        raise ModelError(f"cannot write {target}: {error.strerror}; free some space or set KOKORO_LAB_HOME") from error


def mirrored(url: str) -> str:
    """The URL with its scheme and host replaced by KOKORO_LAB_MIRROR, where that is set.

    Raises SettingError when the variable has no web address.
    """
    mirror = os.environ.get("KOKORO_LAB_MIRROR", "").strip().rstrip("/")
    if not mirror:
        return url
    try:
        parts = urlsplit(mirror)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:  # of an IPv6 address or a port
        usable = False
    if not usable or not mirror.isprintable() or " " in mirror:
        raise SettingError(
            f"the mirror {mirror[:100]!r} is no web address; set KOKORO_LAB_MIRROR to one such as https://mirror.example"
        )
    return f"{mirror}{urlsplit(url).path}"


def part_path(target: Path) -> Path:
    """The part file of an unfinished download of `target`."""
    return target.with_name(f".{target.name}.part")


def _named(name: str, files: Sequence[PublishedFile]) -> PublishedFile:
    for file in files:
        if file.name == name:
            return file
    raise ModelNotFoundError(f"unknown published file {name!r}; choose one of {', '.join(f.name for f in files)}")


def _require_room(file: PublishedFile, part: Path) -> None:
    missing = file.bytes - (part.stat().st_size if part.is_file() else 0)
    free = shutil.disk_usage(part.parent).free
    if free < missing + SPARE:
        raise ModelError(
            f"{file.name} needs {missing / 1e6:.0f} MB more and {part.parent} has {free / 1e6:.0f} MB free; "
            "free some space or set KOKORO_LAB_HOME"
        )


def _fill(file: PublishedFile, url: str, part: Path, progress: Progress, limits: TransferLimits) -> None:
    """Download the part file to its full size, over as many connections as ATTEMPTS allows."""
    again = f"run `kokoro-lab models fetch {file.name}` again to resume"
    pace = Pace(urlsplit(url).netloc, f"{again}, or set KOKORO_LAB_MIRROR to another host", file.bytes, limits)
    for attempt in range(1, ATTEMPTS + 1):
        received = part.stat().st_size if part.is_file() else 0
        if received == file.bytes:
            return
        if received > file.bytes:
            part.unlink()
            received = 0
        try:
            with opened_url(url, _headers(received), pace) as response:
                _copy(file, response, _start(file, response, received), part, _Progress(pace, progress))
            return
        except InterruptedTransferError as error:
            if attempt == ATTEMPTS:
                received = part.stat().st_size if part.is_file() else 0
                raise ModelError(
                    f"the connection broke after {received / 1e6:.1f} of {file.bytes / 1e6:.1f} MB of {file.name}; "
                    f"{again}"
                ) from error


def _headers(received: int) -> dict[str, str]:
    headers = {"User-Agent": "kokoro-lab", "Accept-Encoding": "identity"}
    return headers | {"Range": f"bytes={received}-"} if received else headers


def _start(file: PublishedFile, response: Any, received: int) -> int:
    """Index of the first byte that the server sends; ModelError for an answer that is not the file or a part of it."""
    if response.status not in {200, 206}:
        raise ModelError(f"the server answered {response.status} instead of {file.name}; {OTHER_HOST}")
    encoding = str(response.headers.get("Content-Encoding", "identity"))
    if encoding.strip().lower() not in {"", "identity"}:
        raise ModelError(f"the server sends {file.name} compressed ({encoding[:40]}), unasked; {OTHER_HOST}")
    start, whole = 0, file.bytes
    if response.status == 206:
        start, whole = _range(str(response.headers.get("Content-Range", "")), file.bytes)
        if start != received:
            raise ModelError(f"the server sent another part of {file.name} than requested; {OTHER_HOST}")
    length = _number(str(response.headers.get("Content-Length", "")))
    offered = whole if length is None else start + length
    if {offered, whole} != {file.bytes}:
        wrong = offered if offered != file.bytes else whole
        raise ModelError(
            f"the server offers {wrong:,} bytes for {file.name}, not {file.bytes:,}, so it is another file; "
            f"{OTHER_HOST}"
        )
    return start


def _range(header: str, expected: int) -> tuple[int, int]:
    """(first byte, size of the whole file) of a Content-Range header; the first is -1 where it cannot be read."""
    bounds, _, whole = header.strip().removeprefix("bytes").strip().partition("/")
    first = _number(bounds.partition("-")[0])
    size = expected if whole.strip() in {"", "*"} else _number(whole.strip())
    return (-1, expected) if first is None or size is None else (first, size)


def _number(digits: str) -> int | None:
    return int(digits) if digits.isdecimal() and len(digits) <= LONGEST_NUMBER else None


@dataclass(frozen=True)
class _Progress:
    """Tells the caller and the pace of every block."""

    pace: Pace
    tell: Progress

    def __call__(self, done: int, total: int) -> None:
        self.pace.delivered()
        self.tell(done, total)


def _copy(file: PublishedFile, response: Any, start: int, part: Path, progress: Progress) -> None:
    done = start
    try:
        with part.open("r+b" if start else "wb") as sink:
            sink.seek(start)
            progress(done, file.bytes)
            while done < file.bytes:
                block = _block(response, min(BLOCK, file.bytes - done))
                sink.write(block)
                done += len(block)
                progress(done, file.bytes)
            sink.flush()
            os.fsync(sink.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _block(response: Any, most: int) -> bytes:
    """What has arrived, at least a byte. Raises InterruptedTransferError when nothing does."""
    try:
        block: bytes = response.read1(most)
    except (HTTPException, OSError) as error:
        raise InterruptedTransferError from error
    if not block:
        raise InterruptedTransferError
    return block


def _accept(file: PublishedFile, part: Path, target: Path) -> None:
    with part.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != file.sha256:
        part.unlink()
        raise ModelError(
            f"the download of {file.name} has SHA-256 {sha256[:12]}..., not {file.sha256[:12]}..., and was deleted; "
            "fetch again, or set KOKORO_LAB_MIRROR to a host that you trust"
        )
    part.replace(target)
