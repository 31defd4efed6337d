"""SHA-256 sums of whole files, remembered for as long as the file is the same.

A sum of a model of 325 MB takes most of a second, so it is computed once and kept in the lab's home, with the file's
size, its two time stamps and its inode. A user can set the time of the last modification back, but not that of the last
change of the inode, which every write updates: a file with other bytes is never taken for the former one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kokoro_lab.errors import KokoroLabError, ModelError
from kokoro_lab.files.reading import hash_file, opened
from kokoro_lab.files.writing import write_text
from kokoro_lab.models.files.model_record import MOST_BYTES, data_path, file_sha256
from kokoro_lab.models.files.protobuf_scan import read_tensors
from kokoro_lab.paths import home

__all__ = ["byte_sum", "outside_files", "recorded_sum", "remembered", "shapes_of"]

SETTLED_S = 2.0
"""A file that changed within this time is not remembered: a later write may leave it the same time stamp."""


def byte_sum(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes. Raises ModelError where it cannot be read."""

    def compute() -> str:
        digest = hashlib.sha256()
        hash_file(digest, path, what="measured file", most=MOST_BYTES, error=ModelError)
        return digest.hexdigest()

    return str(remembered(path, "sha256", compute))


def recorded_sum(path: Path) -> str:
    """The SHA-256 that a record of the model at `path` must have: of its bytes, then of those of its data file.

    Raises what `model_record.file_sha256` raises.
    """
    parts = [str(part.absolute()) for part in (path, data_path(path)) if part.is_file()]
    return str(remembered(parts, "model", lambda: file_sha256(path)))


def outside_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX model that hold its large tensors, in order. Raises ModelError for another file."""

    def compute() -> list[str]:
        with opened(path, what="model file", most=MOST_BYTES, error=ModelError) as stream:
            return sorted({tensor.location for tensor in read_tensors(stream, path.name)} - {""})

    return tuple(path.parent / name for name in remembered(path, "outside", compute))


def shapes_of(path: Path) -> list[tuple[int, ...]]:
    """The shapes of the weights in an ONNX model. Raises ModelError for another file."""
    with opened(path, what="model file", most=MOST_BYTES, error=ModelError) as stream:
        return [tensor.shape for tensor in read_tensors(stream, path.name)]


def remembered(files: Path | Sequence[str], what: str, compute: Callable[[], Any]) -> Any:
    """`compute()`, a JSON value that follows from the bytes of these files alone, or what it gave before.

    files: one, or the absolute paths of several.
    Raises ModelError where one of them is missing.
    """
    paths = [str(files.absolute())] if isinstance(files, Path) else list(files)
    place = hashlib.sha256(b"\0".join(map(os.fsencode, paths))).hexdigest()[:32]
    memo = home() / "sums" / f"{place}.{what}"
    stamp, changed_ns = _stamp(paths)
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(memo.read_text(encoding="ascii"))
        if known["stamp"] == stamp:
            return known["value"]
    value = compute()
    if time.time() - changed_ns / 1e9 > SETTLED_S and _stamp(paths)[0] == stamp:
        with suppress(KokoroLabError):  # a home that cannot be written costs only the time to compute it again
            write_text(memo, json.dumps({"stamp": stamp, "value": value}), error=ModelError, durable=False)
    return value


def _stamp(paths: Sequence[str]) -> tuple[str, int]:
    """A sum over the size, both time stamps, the inode and the device of files; the newest of the time stamps, ns."""
    stamps = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - parsing hundreds of paths takes as long as all the rest
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read; check that it is there") from error
        stamps.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev))
    newest_ns = max((max(stamp[1:3]) for stamp in stamps), default=0)
    return hashlib.sha256(repr(stamps).encode()).hexdigest(), newest_ns
