"""Model files by name: what is installed, what each one is, and the stand-in, built when it is first needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Literal

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.models.published import published_models
from kokoro_lab.models.records import (
    BACK,
    FRONT,
    KERNELS,
    ModelFile,
    checked,
    data_path,
    file_bytes,
    file_sum,
    read_record,
    record_path,
    write_record,
    written_whole,
)
from kokoro_lab.paths import home

__all__ = [
    "ModelFile",
    "build_stand_in",
    "default_model",
    "installed",
    "installed_names",
    "models_folder",
    "preoptimized_files",
    "preoptimized_folder",
    "remove",
    "resolve",
]

STAND_INS: dict[str, Literal["full", "tiny"]] = {"stand-in": "full", "tiny": "tiny"}
STAND_IN_SEED = 2
STAND_IN_REVISION = 4  # raise it when a change to the graph or the weights changes the samples
FIRST_CHOICES = ("kokoro-v1.0", "kokoro-v1.1")

Notice = Callable[[str], None]


def models_folder() -> Path:
    """Where models are kept."""
    return home() / "models"


def preoptimized_folder() -> Path:
    """Where the pre-optimised forms of models are kept, in a folder for each processor and onnxruntime."""
    return home() / "preoptimized"


def preoptimized_files(name: str) -> list[Path]:
    """The files of every pre-optimised form of the model `name`, whatever its bytes were."""
    return sorted(preoptimized_folder().glob(f"*/{escape(name)}-{'[0-9a-f]' * 12}.*"))


def default_model() -> str:
    """The published model if it is installed, else the stand-in."""
    return next((name for name in FIRST_CHOICES if (models_folder() / f"{name}.onnx").is_file()), "stand-in")


def installed() -> list[ModelFile]:
    """Every model in the models folder, by name."""
    return [resolve(name) for name in installed_names()]


def installed_names() -> list[str]:
    """Names of the models in the models folder, in order; a split model's two files are one."""
    files = {path.name for path in models_folder().glob("*.onnx")}
    split = {name.removesuffix(FRONT) for name in files if name.endswith(FRONT)}
    split = {stem for stem in split if stem + BACK in files}
    halves = {stem + end for stem in split for end in (FRONT, BACK)}
    return sorted(split | {name.removesuffix(".onnx") for name in files - halves})


def resolve(name: str, *, notice: Notice | None = None) -> ModelFile:
    """The model called `name` (`default`, an installed name, `stand-in`, `tiny`) or the file at the path `name`.

    A stand-in that is not there, or is of an older revision, is built; `notice` is told. Raises ModelNotFoundError
    for an unknown name and ModelError for a file that does not match its record.
    """
    name = default_model() if name == "default" else name
    path = models_folder() / f"{name}.onnx"
    if name in STAND_INS:
        record = read_record(path)
        if path.is_file() and record is not None and record["revision"] == STAND_IN_REVISION:
            return checked(path, record)
        return build_stand_in(name, notice=notice)
    if not path.is_file() and (halves := _halves(name)):
        return _joined(name, *halves)
    if not path.is_file() and (name.endswith(".onnx") or "/" in name or "\\" in name):
        path = Path(name).expanduser().resolve()
    if not path.is_file():
        known = ", ".join(dict.fromkeys([*STAND_INS, *installed_names()]))
        raise ModelNotFoundError(f"there is no model {name!r}; use one of {known}, or the path of an .onnx file")
    record = read_record(path)
    return checked(path, record) if record else _recognise(path)


def imported_from(sha256: str) -> ModelFile | None:
    """The installed model whose parameters came from the file of that sum; None when there is none."""
    for name in installed_names():
        source = (read_record(models_folder() / f"{name}.onnx") or {}).get("source") or {}
        if source.get("sha256") == sha256 and "precision" in source:  # variants keep their source's sum, too
            return resolve(name)
    return None


def remove(name: str) -> list[Path]:
    """Delete the installed model `name`: its data, record and pre-optimised forms, and what a broken download left.

    Returns the files deleted.

    Raises ModelNotFoundError when no model of that name is installed; a file elsewhere is never touched.
    """
    path = models_folder() / f"{name}.onnx"
    paths = [path] if path.is_file() else list(_halves(name))
    if Path(name).name != name or not paths:
        known = ", ".join(installed_names()) or "none"
        raise ModelNotFoundError(f"no model {name!r} is installed; installed are: {known}")
    found = [
        each
        for file in paths
        for each in (
            file,
            data_path(file),
            record_path(file),
            file.with_suffix(".lock"),
            file.with_name(f".{file.name}.part"),
        )
        if each.is_file()
    ]
    found += preoptimized_files(name)
    for each in found:
        each.unlink()
    return found


def build_stand_in(name: str, *, notice: Notice | None = None) -> ModelFile:
    """Build the stand-in `name` (`stand-in` or `tiny`) from its seed, whether or not it is there.

    At full size about 10 s.
    """
    import onnx
    from filelock import FileLock

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
        with written_whole(path) as stream:
            stream.write(data)
        file = ModelFile(
            name,
            path,
            hashlib.sha256(data).hexdigest(),
            len(data),
            "stand-in",
            STAND_INS[name],
            "fp32",
        )
        write_record(file, revision=STAND_IN_REVISION, seed=STAND_IN_SEED, onnx=onnx.__version__)
        say(f"built {path} ({file.bytes / 1e6:.0f} MB, SHA-256 {file.sha256[:12]}...)")
    return file


def _halves(name: str) -> tuple[Path, ...]:
    """The two installed files of the split model `name`; empty when there is no such model."""
    paths = tuple(models_folder() / (name + end) for end in (FRONT, BACK))
    return paths if all(path.is_file() for path in paths) else ()


def _joined(name: str, *halves: Path) -> ModelFile:
    """One model in two files: its path is the first's, its sum that of both sums."""
    front, back = (resolve(path.stem) for path in halves)
    both = hashlib.sha256(f"{front.sha256} {back.sha256}".encode()).hexdigest()
    return replace(front, name=name, sha256=both, bytes=front.bytes + back.bytes)


def _recognise(path: Path) -> ModelFile:
    """A file without a record.

    Published if its sum is known, else imported; the graph's own metadata says its size class.
    """
    sha256 = file_sum(path)
    size = file_bytes(path)
    if (known := published_models().get(sha256)) is not None:
        return ModelFile(known.name, path, sha256, size, "published", "full", known.precision)
    metadata = _metadata(path)
    file = ModelFile(path.stem, path, sha256, size, "imported", "full", "unknown")
    if metadata.get("kokoro_lab.architecture") == "tiny":
        file = replace(file, architecture="tiny")
    if metadata.get("kokoro_lab.weights") == "stand-in":
        file = replace(file, weights="stand-in", precision=metadata.get("kokoro_lab.precision", "fp32"))
    graph = metadata.get("kokoro_lab.graph", "")
    return replace(file, precision=graph) if graph.startswith(KERNELS) else file


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
