"""Model files by name: what is installed, what each one is, and the stand-in, built when it is first needed.

Beside every model lies a record (`NAME.json`) with its SHA-256 and what it was made of. The file is hashed when it is
made and again whenever its size or time stamp differ from the record's.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.published import published_models
from kokoro_lab.paths import home

__all__ = ["ModelFile", "build_stand_in", "default_model", "installed", "models_folder", "resolve"]

STAND_INS: dict[str, Literal["full", "tiny"]] = {"stand-in": "full", "tiny": "tiny"}
STAND_IN_SEED = 2
STAND_IN_REVISION = 1  # raise it when a change to the graph or the weights changes the samples
FIRST_CHOICES = ("kokoro-v1.0", "kokoro-v1.1")

Notice = Callable[[str], None]


@dataclass(frozen=True)
class ModelFile:
    """One model file (weights x precision x graph) and what is known of it."""

    name: str
    path: Path
    sha256: str
    bytes: int
    weights: Literal["stand-in", "imported", "published"]
    architecture: Literal["full", "tiny"]
    precision: str


def models_folder() -> Path:
    """Where models are kept."""
    return home() / "models"


def default_model() -> str:
    """The published model if it is installed, else the stand-in."""
    return next((name for name in FIRST_CHOICES if (models_folder() / f"{name}.onnx").is_file()), "stand-in")


def installed() -> list[ModelFile]:
    """Every model in the models folder, by name."""
    return [resolve(path.stem) for path in sorted(models_folder().glob("*.onnx"))]


def resolve(name: str, *, notice: Notice | None = None) -> ModelFile:
    """The model called `name` (`default`, an installed name, `stand-in`, `tiny`) or the file at the path `name`.

    A stand-in that is not there, or is of an older revision, is built; `notice` is told. Raises ModelNotFoundError
    for an unknown name and ModelError for a file that does not match its record.
    """
    name = default_model() if name == "default" else name
    path = models_folder() / f"{name}.onnx"
    if name in STAND_INS:
        record = _read_record(path)
        if path.is_file() and record is not None and record["revision"] == STAND_IN_REVISION:
            return _checked(path, record)
        return build_stand_in(name, notice=notice)
    if not path.is_file() and (name.endswith(".onnx") or "/" in name or "\\" in name):
        path = Path(name).expanduser().resolve()
    if not path.is_file():
        known = ", ".join(dict.fromkeys([*STAND_INS, *(p.stem for p in models_folder().glob("*.onnx"))]))
        raise ModelNotFoundError(f"there is no model {name!r}; use one of {known}, or the path of an .onnx file")
    record = _read_record(path)
    return _checked(path, record) if record else _recognise(path)


def build_stand_in(name: str, *, notice: Notice | None = None) -> ModelFile:
    """Build the stand-in `name` (`stand-in` or `tiny`) from its seed, whether or not it is there.

    At full size about 10 s.
    """
    import onnx

    from kokoro_lab.models.architecture import architecture_named
    from kokoro_lab.models.graph import build
    from kokoro_lab.models.weights import seeded_state

    say = notice or (lambda _: None)
    size = STAND_INS[name]
    arch = architecture_named(size)
    path = models_folder() / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        say(f"building the {name} model: Kokoro's architecture with seeded weights, not the published ones")
        metadata = {"kokoro_lab.weights": "stand-in", "kokoro_lab.seed": str(STAND_IN_SEED)}
        model = build(arch, seeded_state(arch, STAND_IN_SEED), metadata=metadata)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
        with _written_whole(path) as stream:
            stream.write(data)
        file = ModelFile(
            name,
            path,
            hashlib.sha256(data).hexdigest(),
            len(data),
            "stand-in",
            STAND_INS[name],
            "fp32",  # type: ignore[arg-type]
        )
        _write_record(file, revision=STAND_IN_REVISION, seed=STAND_IN_SEED, onnx=version("onnx"))
        say(f"built {path} ({file.bytes / 1e6:.0f} MB, SHA-256 {file.sha256[:12]}...)")
    return file


@contextmanager
def _written_whole(path: Path) -> Iterator[Any]:
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


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(_record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def _write_record(file: ModelFile, **made_with: Any) -> None:
    record = {**asdict(file), **made_with, "path": file.path.name, "time_stamp": file.path.stat().st_mtime_ns}
    with _written_whole(_record_path(file.path)) as stream:
        stream.write(json.dumps(record, indent=1).encode())


def _checked(path: Path, record: dict[str, Any]) -> ModelFile:
    """The file as its record describes it, hashed again if it was touched since."""
    fields = {name: record[name] for name in ModelFile.__dataclass_fields__}
    file = ModelFile(**{**fields, "path": path})
    status = path.stat()
    if (status.st_size, status.st_mtime_ns) == (file.bytes, record["time_stamp"]):
        return file
    if status.st_size != file.bytes or _file_sum(path) != file.sha256:
        raise ModelError(
            f"{path} is not the file its record describes; remove it with `kokoro-lab models remove {file.name}`"
        )
    made_with = {key: value for key, value in record.items() if key not in {*fields, "time_stamp"}}
    _write_record(file, **made_with)
    return file


def _recognise(path: Path) -> ModelFile:
    """A file without a record.

    Published if its sum is known, else imported; the graph's own metadata says its size class.
    """
    sha256 = _file_sum(path)
    size = path.stat().st_size
    if (known := published_models().get(sha256)) is not None:
        return ModelFile(known.name, path, sha256, size, "published", "full", known.precision)
    metadata = _metadata(path)
    file = ModelFile(path.stem, path, sha256, size, "imported", "full", "unknown")
    if metadata.get("kokoro_lab.architecture") == "tiny":
        file = replace(file, architecture="tiny")
    if metadata.get("kokoro_lab.weights") == "stand-in":
        file = replace(file, weights="stand-in", precision="fp32")
    return file


def _metadata(path: Path) -> dict[str, str]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is truncated or not an ONNX model; fetch or build it again") from error
    if not model.graph.node:
        raise ModelError(f"{path} is empty or not an ONNX model; fetch or build it again")
    return {entry.key: entry.value for entry in model.metadata_props}


def _file_sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
