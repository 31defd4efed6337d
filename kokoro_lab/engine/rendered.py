"""Speech that was made before, kept as the model gave it: in memory, and in a folder that outlives the process.

What is kept are segments with their raw samples, so that a cached answer goes through the same joining or chunking as a
fresh one and is the same samples. A file holds its own SHA-256 and appears under its name only when it is whole: a
process killed while it writes leaves nothing that would be read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kokoro_lab.engine.caches import Cache, CacheStatus
from kokoro_lab.errors import SettingError
from kokoro_lab.runtime.session import Inference
from kokoro_lab.text.phonemize import Word
from kokoro_lab.text.segment import Segment

__all__ = ["FolderStatus", "Rendered", "RenderedFolder", "RenderedKey", "RenderedStore"]

SUFFIX = ".speech"
FORMAT = 1  # raise it when the layout of a file changes: older ones are then not found
SUM_BYTES = 32


class RenderedKey(NamedTuple):
    """What makes two requests of one engine the same."""

    pieces: tuple[str, ...]
    """The text as it was cut before segmentation; one piece when no primer was cut."""
    voice: str
    """SHA-256 of the voice pack."""
    speed: float
    lang: str
    seed: int


@dataclass(frozen=True)
class Rendered:
    """Segments of one text with what the model gave for each."""

    segments: tuple[Segment, ...]
    inferences: tuple[Inference, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the samples and durations."""
        return sum(one.audio.nbytes + (0 if one.durations is None else one.durations.nbytes) for one in self.inferences)

    def made(self) -> list[tuple[Segment, Inference]]:
        """Each segment with what the model gave, and no time spent on it."""
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
    """Files that did not match their own sum, and were removed."""


class RenderedFolder:
    """A folder of rendered texts; `context` is everything else that the samples depend on (model, settings)."""

    def __init__(self, folder: Path, limit: int, context: str) -> None:
        """Raises SettingError when the folder cannot be made or written to."""
        self.folder = folder
        self.limit = limit
        self._context = context
        self._lock = threading.Lock()
        self._hits = self._misses = self._writes = self._evictions = self._damaged = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(f".*{SUFFIX}"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)
            self._files = {path: path.stat().st_size for path in sorted(folder.glob(f"*{SUFFIX}"), key=_age)}
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise SettingError(f"cache_dir {folder} cannot be used ({error.strerror}); choose another") from error

    def get(self, key: RenderedKey) -> Rendered | None:
        """The rendered text, None when it is not there or its file is damaged (which is then removed)."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            with self._lock:
                self._misses += 1
                self._files.pop(path, None)
            return None
        body, summed = data[:-SUM_BYTES], data[-SUM_BYTES:]
        if hashlib.sha256(body).digest() != summed:
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
        return _unpacked(body)

    def put(self, key: RenderedKey, rendered: Rendered) -> bool:
        """Write the rendered text, removing the least recently used files for room; False when that did not work."""
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
                handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=SUFFIX)
                with os.fdopen(handle, "wb") as stream:
                    stream.write(body)
                    stream.write(hashlib.sha256(body).digest())
                Path(temporary).replace(path)
            except OSError:
                return False
            self._files[path] = size
            self._writes += 1
        return True

    def status(self) -> FolderStatus:
        """Counters as they are now."""
        with self._lock:
            return FolderStatus(
                len(self._files), sum(self._files.values()), self.limit,
                self._hits, self._misses, self._writes, self._evictions, self._damaged,
            )  # fmt: skip

    def _path(self, key: RenderedKey) -> Path:
        content = json.dumps([FORMAT, self._context, key]).encode()
        return self.folder / f"{hashlib.sha256(content).hexdigest()}{SUFFIX}"


class RenderedStore:
    """Memory first, then the folder if there is one; what is found there comes back into memory."""

    def __init__(self, memory: Cache[RenderedKey, Rendered], folder: RenderedFolder | None = None) -> None:
        self.memory = memory
        self.folder = folder

    def get(self, key: RenderedKey) -> Rendered | None:
        """The rendered text, or None."""
        found = self.memory.get(key)
        if found is None and self.folder is not None:
            found = self.folder.get(key)
            if found is not None:
                self.memory.put(key, found)
        return found

    def put(self, key: RenderedKey, rendered: Rendered) -> None:
        """Keep the rendered text in memory, and in the folder."""
        self.memory.put(key, rendered)
        if self.folder is not None:
            self.folder.put(key, rendered)

    def status(self) -> tuple[CacheStatus, FolderStatus | None]:
        """Counters of memory and folder."""
        return self.memory.status(), None if self.folder is None else self.folder.status()


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _packed(rendered: Rendered) -> bytes:
    """A line of JSON, then the samples and durations of each segment."""
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


def _unpacked(body: bytes) -> Rendered:
    line, _, rest = body.partition(b"\n")
    head: Sequence[dict[str, Any]] = json.loads(line)
    segments, inferences = [], []
    at = 0
    for entry in head:
        values = entry["segment"]
        words = tuple(Word(**word) for word in values["words"])
        segments.append(Segment(**{**values, "tokens": tuple(values["tokens"]), "words": words}))
        audio = np.frombuffer(rest, "<f4", entry["samples"], at).astype(np.float32)
        at += 4 * entry["samples"]
        durations = None
        if entry["durations"] is not None:
            durations = np.frombuffer(rest, "<i8", entry["durations"], at).astype(np.int64)
            at += 8 * entry["durations"]
        inferences.append(Inference(audio, durations, entry["seconds"]))
    return Rendered(tuple(segments), tuple(inferences))
