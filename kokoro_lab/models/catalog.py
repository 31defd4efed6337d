"""Model files by name: which are installed, what each of them is, and the stand-in, built on first use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Literal

from kokoro_lab.errors import ModelError, ModelNotFoundError
from kokoro_lab.files.locking import locked
from kokoro_lab.files.reading import full_path, is_regular, opened
from kokoro_lab.files.writing import remove_litter, write_bytes
from kokoro_lab.models.files.byte_sums import remembered, shapes_of
from kokoro_lab.models.files.model_record import (
    ADVICE,
    BACK,
    FRONT,
    KERNELS,
    MOST_BYTES,
    ModelFile,
    checked,
    data_path,
    file_bytes,
    file_sha256,
    read_record,
    record_path,
    write_record,
)
from kokoro_lab.models.files.protobuf_scan import read_header
from kokoro_lab.models.files.published import published_models
from kokoro_lab.models.graph.architecture import architecture_named, architecture_of
from kokoro_lab.paths import home

__all__ = [
    "STAND_INS",
    "ModelFile",
    "build_stand_in",
    "default_model",
    "installed",
    "installed_names",
    "joined_sum",
    "models_folder",
    "preoptimized_files",
    "preoptimized_folder",
    "remove",
    "resolve",
    "trial_records",
]

STAND_INS: dict[str, Literal["full", "tiny"]] = {"stand-in": "full", "tiny": "tiny"}
STAND_IN_SEED = 2
STAND_IN_REVISION = 4  # increment it when a change to the graph or the weights changes the samples
FIRST_CHOICES = ("kokoro-v1.0", "kokoro-v1.1")

Notice = Callable[[str], None]


def models_folder() -> Path:
    """The folder of installed models."""
    return home() / "models"


def preoptimized_folder() -> Path:
    """The folder of pre-optimised models, with a subfolder for each processor and onnxruntime version."""
    return home() / "preoptimized"


def preoptimized_files(name: str) -> list[Path]:
    """The files of every pre-optimised form of the model `name`, whatever its SHA-256 was."""
    return sorted(preoptimized_folder().glob(f"*/{escape(name)}-{'[0-9a-f]' * 12}.*"))


def trial_records(sha256: str) -> Path:
    """The folder of what came of opening the file with that SHA-256 for the first time: see `runtime.trial`."""
    return home() / "trials" / sha256


def default_model() -> str:
    """The published model if it is installed, else the stand-in."""
    return next((name for name in FIRST_CHOICES if (models_folder() / f"{name}.onnx").is_file()), "stand-in")


def installed() -> list[ModelFile]:
    """Every model in the models folder that can be recognised, by name; `models list` shows why others cannot."""
    files = []
    for name in installed_names():
        with suppress(ModelError):
            files.append(resolve(name))
    return files


def installed_names() -> list[str]:
    """Names of the models in the models folder, in order; the two files of a split model are listed once."""
    files = {path.name for path in models_folder().glob("*.onnx") if is_regular(path) and path.name.isprintable()}
    split = {name.removesuffix(FRONT) for name in files if name.endswith(FRONT)}
    split = {stem for stem in split if stem + BACK in files}
    halves = {stem + end for stem in split for end in (FRONT, BACK)}
    return sorted(split | {name.removesuffix(".onnx") for name in files - halves})


def resolve(name: str, *, notice: Notice | None = None) -> ModelFile:
    """The model called `name` (`default`, an installed name, `stand-in`, `tiny`) or the file at the path `name`.

    A stand-in that is missing or of an older revision is built, with progress to `notice`. Raises ModelNotFoundError
    for an unknown name and ModelError for a file that does not match its record.
    """
    name = default_model() if name == "default" else name
    path = models_folder() / f"{name}.onnx"
    if name in STAND_INS:
        record = read_record(path)
        if path.is_file() and record is not None and record["revision"] == STAND_IN_REVISION:
            return checked(path, record)
        return build_stand_in(name, notice=notice)
    if not is_regular(path) and (halves := _halves(name)):
        return _joined(name, *halves)
    if not is_regular(path) and (name.endswith(".onnx") or "/" in name or "\\" in name):
        path = full_path(name)
    if not is_regular(path):
        known = ", ".join(dict.fromkeys([*STAND_INS, *installed_names()]))
        raise ModelNotFoundError(
            f"unknown model {name[:200]!r}; choose one of {known}, or give the path of an .onnx file"
        )
    record = read_record(path)
    return checked(path, record) if record else _recognise(path)


def imported_from(sha256: str) -> ModelFile | None:
    """The installed model that was imported from the file with that SHA-256, None where there is none."""
    for name in installed_names():
        source = (read_record(models_folder() / f"{name}.onnx") or {}).get("source") or {}
        if source.get("sha256") == sha256 and "precision" in source:  # variants record their source's SHA-256, too
            return resolve(name)
    return None


def remove(name: str) -> list[Path]:
    """Delete the installed model `name`: its data, record and pre-optimised forms, and leftovers of broken downloads.

    Returns the files deleted.

    Raises ModelNotFoundError when no model of that name is installed; files elsewhere are never deleted.
    """
    path = models_folder() / f"{name}.onnx"
    paths = [path] if path.is_file() else list(_halves(name))
    if Path(name).name != name or not paths:
        known = ", ".join(installed_names()) or "none"
        raise ModelNotFoundError(f"model {name!r} is not installed; choose one of the installed models: {known}")
    files = [
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
    files += preoptimized_files(name)
    for path in paths:
        if read_record(path) is None:
            with suppress(ModelError):
                files += sorted(trial_records(file_sha256(path)).glob("*.json"))
    for each in files:
        each.unlink()
    return files


def build_stand_in(name: str, *, notice: Notice | None = None) -> ModelFile:
    """Build the stand-in `name` (`stand-in` or `tiny`) from its seed, even if it exists already.

    Takes about 10 s at full size.
    """
    import onnx

    from kokoro_lab.models.graph.model_graph import build
    from kokoro_lab.models.graph.weights import seeded_state

    say = notice or (lambda _: None)
    size = STAND_INS[name]
    arch = architecture_named(size)
    path = models_folder() / f"{name}.onnx"
    with locked(path.with_suffix(".lock"), error=ModelError, advice=ADVICE):
        remove_litter(path.parent)
        say(f"building the {name} model: Kokoro's architecture with seeded weights, not the published ones")
        metadata = {"kokoro_lab.weights": "stand-in", "kokoro_lab.seed": str(STAND_IN_SEED)}
        model = build(arch, seeded_state(arch, STAND_IN_SEED), metadata=metadata)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
        write_bytes(path, data, error=ModelError, advice=ADVICE)
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
    """The two installed files of the split model `name`; empty where it is not installed."""
    paths = tuple(models_folder() / (name + end) for end in (FRONT, BACK))
    return paths if all(map(is_regular, paths)) else ()


def _joined(name: str, *halves: Path) -> ModelFile:
    """A model in two files: its path is the first file's, its SHA-256 is computed from those of both."""
    front, back = (resolve(path.stem) for path in halves)
    return replace(front, name=name, sha256=joined_sum(front.sha256, back.sha256), bytes=front.bytes + back.bytes)


def joined_sum(front: str, back: str) -> str:
    """The SHA-256 of a split model, from those of its two files."""
    return hashlib.sha256(f"{front} {back}".encode()).hexdigest()


def _recognise(path: Path) -> ModelFile:
    """Identify a file that has no record.

    It is published if the catalogue has its SHA-256, else imported; the shapes of its weights give its architecture.
    """
    sha256 = file_sha256(path)
    size = file_bytes(path)
    if (known := published_models().get(sha256)) is not None:
        return ModelFile(known.name, path, sha256, size, "published", "full", known.precision)
    metadata = _metadata(path)
    architecture = architecture_of(remembered(path, "shapes", lambda: shapes_of(path)))
    file = ModelFile(path.stem, path, sha256, size, "imported", architecture, "unknown")
    if metadata.get("kokoro_lab.weights") == "stand-in":
        file = replace(file, weights="stand-in", precision=metadata.get("kokoro_lab.precision", "fp32"))
    graph = metadata.get("kokoro_lab.graph", "")
    return replace(file, precision=graph) if graph.startswith(KERNELS) else file


def _metadata(path: Path) -> dict[str, str]:
    """A model's metadata, read without its weights."""
    with opened(path, what="model file", most=MOST_BYTES, error=ModelError) as stream:
        return read_header(stream, path.name)
