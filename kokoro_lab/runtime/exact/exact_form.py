"""The exact form of a model: the same graph in fp32 on the compiled operators, which is what the default model runs as.

It is a variant by the recipe `kernels-fp32` whose record names these very bytes as its source, and whose verification
found equal durations and a difference below the rounding of a 16-bit file. A published file is another exporter's: its
exact form is that of the model that was imported from it. This module only looks; `variants.default_form` makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kokoro_lab._version import __version__
from kokoro_lab.errors import KokoroLabError, ModelError, SettingError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, imported_from, installed_names, models_folder, resolve
from kokoro_lab.models.files.model_record import ADVICE, read_record
from kokoro_lab.models.verification_records import verified_snr_db, vouched
from kokoro_lab.paths import home
from kokoro_lab.runtime.preoptimized import find

__all__ = [
    "EXACT_SNR_DB",
    "RECIPE",
    "ExactForm",
    "exact_form",
    "forget_failure",
    "is_exact",
    "made_forms",
    "plain_source",
    "preparation_lock",
    "record_failure",
]

RECIPE = "kernels-fp32"
EXACT_SNR_DB = 80.0
"""Least signal-to-noise ratio of an exact form, dB: speech at -23 dBFS loses as much when it is rounded to 16 bits."""
MOST_RECORD_BYTES = 1 << 16


@dataclass(frozen=True)
class ExactForm:
    """The exact form of a model, or why there is none to use."""

    model: ModelFile | None
    reason: str
    """Why there is none, a clause; empty where there is one."""
    preparable: bool
    """Whether `kokoro-lab models prepare` has something to make here that no earlier attempt failed to make."""


@dataclass(frozen=True)
class FailedPreparation:
    """An attempt to make an exact form that failed, and would fail again."""

    reason: str
    version: str
    """Of this package."""


def exact_form(source: ModelFile) -> ExactForm:
    """The exact form of `source` that this machine can run, or why there is none.

    Without compiled kernels the pre-optimised form of `source` itself is what can be prepared.
    """
    failed = _failure(source)
    if reason := _without_kernels():
        return ExactForm(None, reason, not failed and not source.back and find(source).path is None)
    verified = ""
    for file in made_forms(plain_source(source)):
        if is_exact(file):
            return ExactForm(file, "", not failed and find(file).path is None)
        if (snr_db := verified_snr_db(file)) is not None:
            verified = f"{file.name} is equivalent at {snr_db:.0f} dB, which is not exact"
        elif vouched(file) not in ("", "equivalent"):
            verified = f"{file.name} is {vouched(file)} by its verification"
    if verified or failed:
        return ExactForm(None, verified or f"preparing it failed ({failed})", False)
    return ExactForm(None, "it was not prepared yet, by `kokoro-lab models prepare`", True)


def plain_source(source: ModelFile) -> ModelFile:
    """The graph of ours that stands for `source`: what was imported from it, or `source` itself where nothing was."""
    with suppress(ModelError):
        if source.weights == "published" and (imported := imported_from(source.sha256)) is not None:
            return imported
    return source


def made_forms(plain: ModelFile) -> Iterator[ModelFile]:
    """The installed variants by the exact form's recipe that were made of these very bytes, verified or not."""
    for name in installed_names():
        record: dict[str, Any] = read_record(models_folder() / f"{name}.onnx") or {}
        recipe, made_of = record.get("recipe") or {}, record.get("source") or {}
        if recipe.get("name") != RECIPE or made_of.get("sha256") != plain.sha256:
            continue
        with suppress(KokoroLabError):  # a file that differs from its record
            file = resolve(name)
            if file.precision == RECIPE:
                yield file


def is_exact(file: ModelFile) -> bool:
    """Whether the file's verification found equal durations and a difference of at most EXACT_SNR_DB."""
    snr_db = verified_snr_db(file)
    return snr_db is not None and snr_db >= EXACT_SNR_DB


def preparation_lock(source: ModelFile) -> Path:
    """The lock that a process holds while it makes the exact form of `source`."""
    return home() / "exact" / f"{source.sha256}.lock"


def record_failure(source: ModelFile, reason: str) -> None:
    """Remember why the exact form of `source` cannot be made, so that no later process tries by itself."""
    failure = FailedPreparation(reason, __version__)
    with suppress(ModelError):  # a home that cannot be written: it is tried again next time
        write_text(_failure_path(source), json.dumps(asdict(failure)), error=ModelError, advice=ADVICE)


def forget_failure(source: ModelFile) -> None:
    """Forget an earlier failure."""
    with suppress(OSError):
        _failure_path(source).unlink(missing_ok=True)


def _failure_path(source: ModelFile) -> Path:
    return home() / "exact" / f"{source.sha256}.json"


def _failure(source: ModelFile) -> str:
    """Why this version of the package could not make the exact form; empty where it did not fail."""
    try:
        document = read_json(_failure_path(source), what="record of a preparation", most=MOST_RECORD_BYTES)
        failure = as_record(FailedPreparation, document, what="record of a preparation")
    except KokoroLabError:
        return ""
    return failure.reason if failure.version == __version__ else ""


def _without_kernels() -> str:
    """Why the compiled operators cannot be used; empty when they can."""
    try:
        return choose().reason
    except SettingError as error:
        return error.message
