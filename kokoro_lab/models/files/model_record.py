"""The record (`NAME.json`) beside a model file: its SHA-256, what it is, and what it was built from.

A model may store its large tensors in a second file (`NAME.onnx.data`): SHA-256 and size then cover both. Files are
hashed when they are written, and again whenever their size or time stamp differ from the record's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kokoro_lab.errors import KokoroLabError, ModelError, ModelNotFoundError
from kokoro_lab.field_checks import UnfitError, check_of, hints
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import hash_file, is_regular, opened
from kokoro_lab.files.writing import write_text

__all__ = [
    "ADVICE",
    "BACK",
    "FRONT",
    "KERNELS",
    "MOST_BYTES",
    "ModelFile",
    "checked",
    "data_path",
    "file_bytes",
    "file_sha256",
    "read_record",
    "record_path",
    "write_record",
]

MOST_BYTES = 1 << 30  # of a model, and of its data; the largest Kokoro file has 329 MB
FRONT, BACK = "-front.onnx", "-back.onnx"  # endings of the file names of a split model
ADVICE = "free some space or set KOKORO_LAB_HOME"
"""What to do when a model or its record cannot be written."""
MOST_RECORD_BYTES = 1 << 20  # of a record; the largest has some kB
KERNELS = "kernels-"  # prefix of the precision of a graph with compiled operators


@dataclass(frozen=True)
class ModelFile:
    """A model file (weights x precision x graph) and what is known about it."""

    name: str
    path: Path
    sha256: str
    """SHA-256 of the file's bytes, followed by those of its data file."""
    bytes: int
    weights: Literal["stand-in", "imported", "published"]
    architecture: Literal["full", "tiny", "unknown"]
    """From the shapes of the weights; unknown: neither exactly full nor tiny."""
    precision: str

    @property
    def needs_kernels(self) -> bool:
        """Whether the graph has our compiled operators, so that a session must load them first."""
        return self.precision.startswith(KERNELS)

    @property
    def back(self) -> tuple[Path, ...]:
        """The second file of a split model, whose `path` is the first file; empty for a model in one file."""
        if not self.path.name.endswith(FRONT):
            return ()
        back = self.path.with_name(self.path.name.removesuffix(FRONT) + BACK)
        return (back,) if back.is_file() else ()


def record_path(path: Path) -> Path:
    """The path of the record of the model at `path`."""
    return path.with_suffix(".json")


def data_path(path: Path) -> Path:
    """The path of the data file of the model at `path`: its large tensors, where they are stored apart."""
    return path.with_name(f"{path.name}.data")


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of the model at `path`; None where it is missing, unreadable, or says what no record says."""
    try:
        record = read_json(record_path(path), what="model record", most=MOST_RECORD_BYTES)
        return record if _sound(record) else None
    except (KokoroLabError, UnfitError):
        return None


def write_record(file: ModelFile, **made_with: Any) -> None:
    """Write what is known about `file`, and what it was built with, to its record."""
    record = {**asdict(file), **made_with, "path": file.path.name, "time_stamp": _time_stamp(file.path)}
    write_text(record_path(file.path), json.dumps(record, indent=1), error=ModelError, advice=ADVICE)


def checked(path: Path, record: dict[str, Any]) -> ModelFile:
    """The file as its record describes it, hashed again if it was modified since."""
    fields = {name: record[name] for name in ModelFile.__dataclass_fields__}
    file = ModelFile(**{**fields, "path": path})
    size = file_bytes(path)
    if (size, _time_stamp(path)) == (file.bytes, record["time_stamp"]):
        return file
    if size != file.bytes or file_sha256(path) != file.sha256:
        raise ModelError(f"{path} differs from its record; remove it with `kokoro-lab models remove {file.name}`")
    made_with = {key: value for key, value in record.items() if key not in {*fields, "time_stamp"}}
    with suppress(ModelError):  # a home that cannot be written costs only the time to compute the sum again
        write_record(file, **made_with)
    return file


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a model's bytes, followed by those of its data file.

    Raises ModelNotFoundError where there is no file, and ModelError where it is not a regular file or too large.
    """
    digest = hashlib.sha256()
    for part in _parts(path):
        hash_file(digest, part, what="model file", most=MOST_BYTES, error=ModelError, missing=ModelNotFoundError)
    return digest.hexdigest()


def file_bytes(path: Path) -> int:
    """Size of a model, its data file included. Raises what `file_sha256` raises."""
    total = 0
    for part in _parts(path):
        with opened(part, what="model file", most=MOST_BYTES, error=ModelError, missing=ModelNotFoundError) as stream:
            total += os.fstat(stream.fileno()).st_size
    return total


def _sound(record: Any) -> bool:
    """Whether the values that readers rely on are there and of their kind; raises UnfitError for one that is not."""
    if not isinstance(record, dict) or not {*hints(ModelFile), "time_stamp"} <= record.keys():
        return False
    kinds = {**hints(ModelFile), "time_stamp": int, "revision": int, "recipe": dict, "source": dict}
    for name in kinds.keys() & record.keys():
        check_of(kinds[name])(record[name])
    for made_of in (record.get("recipe", {}), record.get("source", {})):
        check_of(str)(made_of.get("name", ""))
    plain = all(Path(record[name]).name == record[name] for name in ("name", "path"))
    return plain and re.fullmatch("[0-9a-f]{64}", record["sha256"]) is not None


def _parts(path: Path) -> list[Path]:
    return [path, *(data for data in (data_path(path),) if is_regular(data))]


def _time_stamp(path: Path) -> int:
    return max(part.stat().st_mtime_ns for part in _parts(path))
