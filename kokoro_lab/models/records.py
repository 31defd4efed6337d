"""What lies beside a model file: a record (`NAME.json`) of its sum, what it is and what it was made of.

A model may keep its large tensors in a second file (`NAME.onnx.data`): sums and sizes are of both. Files are hashed
when they are made and again whenever their size or time stamp differ from the record's.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kokoro_lab.errors import ModelError

__all__ = [
    "BACK",
    "FRONT",
    "KERNELS",
    "ModelFile",
    "checked",
    "data_path",
    "file_bytes",
    "file_sum",
    "read_record",
    "record_path",
    "write_record",
    "written_whole",
]

FRONT, BACK = "-front.onnx", "-back.onnx"  # how the files of a split model end
KERNELS = "kernels-"  # how the precision of a graph on compiled operators begins


@dataclass(frozen=True)
class ModelFile:
    """One model file (weights x precision x graph) and what is known of it."""

    name: str
    path: Path
    sha256: str
    """Of its bytes, those of its data file after them."""
    bytes: int
    weights: Literal["stand-in", "imported", "published"]
    architecture: Literal["full", "tiny"]
    precision: str

    @property
    def needs_kernels(self) -> bool:
        """Whether the graph names our compiled operators, so that a session must load them first."""
        return self.precision.startswith(KERNELS)

    @property
    def back(self) -> tuple[Path, ...]:
        """The second file of a split model, whose `path` is its first; empty for a model in one file."""
        if not self.path.name.endswith(FRONT):
            return ()
        back = self.path.with_name(self.path.name.removesuffix(FRONT) + BACK)
        return (back,) if back.is_file() else ()


@contextmanager
def written_whole(path: Path) -> Iterator[Any]:
    """A file that appears under its name only when it is complete; a failure leaves nothing behind."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; free some space or set KOKORO_LAB_HOME") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def record_path(path: Path) -> Path:
    """Where the record of the model at `path` lies."""
    return path.with_suffix(".json")


def data_path(path: Path) -> Path:
    """Where the large tensors of the model at `path` lie when they are not in it."""
    return path.with_name(f"{path.name}.data")


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of the model at `path`; None when there is none that can be read."""
    try:
        record: dict[str, Any] = json.loads(record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def write_record(file: ModelFile, **made_with: Any) -> None:
    """Write what is known of `file` and what it was made with beside it."""
    record = {**asdict(file), **made_with, "path": file.path.name, "time_stamp": _time_stamp(file.path)}
    with written_whole(record_path(file.path)) as stream:
        stream.write(json.dumps(record, indent=1).encode())


def checked(path: Path, record: dict[str, Any]) -> ModelFile:
    """The file as its record describes it, hashed again if it was touched since."""
    fields = {name: record[name] for name in ModelFile.__dataclass_fields__}
    file = ModelFile(**{**fields, "path": path})
    size = file_bytes(path)
    if (size, _time_stamp(path)) == (file.bytes, record["time_stamp"]):
        return file
    if size != file.bytes or file_sum(path) != file.sha256:
        raise ModelError(
            f"{path} is not the file its record describes; remove it with `kokoro-lab models remove {file.name}`"
        )
    made_with = {key: value for key, value in record.items() if key not in {*fields, "time_stamp"}}
    write_record(file, **made_with)
    return file


def file_sum(path: Path) -> str:
    """SHA-256 (hex) of a model's bytes, its data file's after its own."""
    digest = hashlib.sha256()
    for part in _parts(path):
        with part.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def file_bytes(path: Path) -> int:
    """Size of a model, its data file included."""
    return sum(part.stat().st_size for part in _parts(path))


def _parts(path: Path) -> list[Path]:
    return [path, *(data for data in (data_path(path),) if data.is_file())]


def _time_stamp(path: Path) -> int:
    return max(part.stat().st_mtime_ns for part in _parts(path))
