"""Cache of synthesised audio, as the model returned it: in memory, and in a folder that outlives the process.

The cache stores segments with their raw samples, so that a cached answer is joined or cut into chunks like a fresh
answer and has the same samples. A file contains its own SHA-256 and appears under its name only when it is complete: a
process killed while it writes leaves nothing that would be read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from kokoro_lab.engine.caches import Cache, CacheStatus
from kokoro_lab.errors import InputError, SettingError, StoreError
from kokoro_lab.field_checks import Range, as_record
from kokoro_lab.files.documents import parse_json
from kokoro_lab.files.reading import decoding, read_bytes, reason
from kokoro_lab.files.writing import make_folder, remove_litter, scratch_folder, write_bytes
from kokoro_lab.runtime.session import Inference
from kokoro_lab.text.segment import Segment

__all__ = ["FolderStatus", "Rendered", "RenderedFolder", "RenderedKey", "RenderedStore"]

ADVICE = "choose another cache_dir"
SUFFIX = ".speech"
FORMAT = 1  # increment it when the layout of a file changes: older files are then ignored
SUM_BYTES = 32


class RenderedKey(NamedTuple):
    """Everything that makes two requests to an engine the same."""

    pieces: tuple[str, ...]
    """The text as it was cut before segmentation; a single piece without a primer."""
    voice: str
    """SHA-256 of the voice pack."""
    speed: float
    lang: str
    seed: int


@dataclass(frozen=True)
class Rendered:
    """The segments of a text with their inferences."""

    segments: tuple[Segment, ...]
    inferences: tuple[Inference, ...]

    @property
    def bytes(self) -> int:
        """Size of the samples and durations in bytes."""
        return sum(one.audio.nbytes + (0 if one.durations is None else one.durations.nbytes) for one in self.inferences)

    def segment_inferences(self) -> list[tuple[Segment, Inference]]:
        """Each segment with its inference, at no cost in time."""
        return [
            (dataclasses.replace(segment, seconds={}), dataclasses.replace(inference, seconds=0.0))
            for segment, inference in zip(self.segments, self.inferences, strict=True)
        ]


@dataclass(frozen=True)
class FolderStatus:
    """Counters of a folder since the engine was loaded."""

    files: int
    bytes: int
    limit: int
    hits: int
    misses: int
    writes: int
    evictions: int
    damaged: int
    """Files that did not match their SHA-256 or had other contents, and were removed."""


class RenderedFolder:
    """A folder of rendered texts; `context` is everything else that the samples depend on (model, settings)."""

    def __init__(self, folder: Path, limit: int, context: str) -> None:
        """Raises SettingError when the folder cannot be created or written to."""
        self.folder = folder
        self.limit = limit
        self._context = context
        self._lock = threading.Lock()
        self._hits = self._misses = self._writes = self._evictions = self._damaged = 0
        make_folder(folder, error=SettingError, advice=ADVICE)
        remove_litter(folder)
        with scratch_folder(folder, prefix=".", error=SettingError, advice=ADVICE):
            pass  # files can be written here
        try:
            self._files = {path: path.stat().st_size for path in sorted(folder.glob(f"*{SUFFIX}"), key=_age)}
        except OSError as error:
            raise SettingError(f"cache_dir {folder} cannot be read: {reason(error)}; {ADVICE}") from error

    def get(self, key: RenderedKey) -> Rendered | None:
        """The rendered text; None where it is missing or its file is damaged (which is then removed)."""
        path = self._path(key)
        try:
            data = read_bytes(path, what="cached speech", most=max(self.limit, SUM_BYTES))
        except InputError:
            with self._lock:
                self._misses += 1
                self._files.pop(path, None)
            return None
        try:
            rendered = _unpacked(data)
        except InputError:
            with self._lock:
                self._damaged += 1
                self._misses += 1
                self._files.pop(path, None)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)
        with self._lock:
            self._hits += 1
            self._files[path] = self._files.pop(path, len(data))
        return rendered

    def put(self, key: RenderedKey, rendered: Rendered) -> bool:
        """Write the rendered text, removing the least recently used files for room; False when that failed."""
        body = _packed(rendered)
        size = len(body) + SUM_BYTES
        path = self._path(key)
        if size > self.limit:
            return False
        with self._lock:
            self._files.pop(path, None)
            while self._files and sum(self._files.values()) + size > self.limit:
                oldest = next(iter(self._files))
                del self._files[oldest]
                oldest.unlink(missing_ok=True)
                self._evictions += 1
            try:
                write_bytes(path, body + hashlib.sha256(body).digest(), durable=False)  # damage shows when it is read
            except StoreError:
                return False
            self._files[path] = size
            self._writes += 1
        return True

    def status(self) -> FolderStatus:
        """The current counters."""
        with self._lock:
            return FolderStatus(
                len(self._files), sum(self._files.values()), self.limit,
                self._hits, self._misses, self._writes, self._evictions, self._damaged,
            )  # fmt: skip

    def _path(self, key: RenderedKey) -> Path:
        content = json.dumps([FORMAT, self._context, key]).encode()
        return self.folder / f"{hashlib.sha256(content).hexdigest()}{SUFFIX}"


class RenderedStore:
    """Memory first, then the folder if there is one; entries from the folder are put back into memory."""

    def __init__(self, memory: Cache[RenderedKey, Rendered], folder: RenderedFolder | None = None) -> None:
        self.memory = memory
        self.folder = folder

    def get(self, key: RenderedKey) -> Rendered | None:
        """The rendered text, or None."""
        rendered = self.memory.get(key)
        if rendered is None and self.folder is not None:
            rendered = self.folder.get(key)
            if rendered is not None:
                self.memory.put(key, rendered)
        return rendered

    def put(self, key: RenderedKey, rendered: Rendered) -> None:
        """Store the rendered text in memory, and in the folder."""
        self.memory.put(key, rendered)
        if self.folder is not None:
            self.folder.put(key, rendered)

    def status(self) -> tuple[CacheStatus, FolderStatus | None]:
        """Counters of memory and folder."""
        return self.memory.status(), None if self.folder is None else self.folder.status()


@dataclass(frozen=True)
class _Head:
    """What a file says of a segment, whose samples and durations follow the head."""

    segment: Segment
    samples: Annotated[int, Range(0)]
    durations: Annotated[int, Range(0)] | None
    seconds: float


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _packed(rendered: Rendered) -> bytes:
    """A line of JSON, followed by the samples and durations of each segment."""
    head = []
    arrays: list[bytes] = []
    for segment, inference in zip(rendered.segments, rendered.inferences, strict=True):
        durations = inference.durations
        head.append(
            {
                "segment": dataclasses.asdict(segment),
                "samples": len(inference.audio),
                "durations": None if durations is None else len(durations),
                "seconds": inference.seconds,
            }
        )
        arrays.append(inference.audio.astype("<f4").tobytes())
        if durations is not None:
            arrays.append(durations.astype("<i8").tobytes())
    return json.dumps(head).encode() + b"\n" + b"".join(arrays)


def _unpacked(data: bytes) -> Rendered:
    """The rendered text in the bytes of a file. Raises InputError when they are not those that were written."""
    what = "cached speech"
    body, summed = data[:-SUM_BYTES], data[-SUM_BYTES:]
    if hashlib.sha256(body).digest() != summed:
        raise InputError(f"{what} is damaged; remove its file")
    line, _, rest = body.partition(b"\n")
    head = parse_json(line, what=what)
    segments, inferences = [], []
    at = 0
    with decoding(what):
        for entry in (as_record(_Head, values, what=what) for values in head):
            segments.append(entry.segment)
            audio = np.frombuffer(rest, "<f4", entry.samples, at).astype(np.float32)
            at += 4 * entry.samples
            durations = None
            if entry.durations is not None:
                durations = np.frombuffer(rest, "<i8", entry.durations, at).astype(np.int64)
                at += 8 * entry.durations
            inferences.append(Inference(audio, durations, entry.seconds))
    return Rendered(tuple(segments), tuple(inferences))
