"""Writes pre-optimised model files, which open faster on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kokoro_lab.errors import ModelError, SettingError
from kokoro_lab.files.scratch import remove_abandoned
from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.models.catalog import preoptimized_files
from kokoro_lab.models.files.model_record import ADVICE, ModelFile, file_sha256, write_record
from kokoro_lab.runtime.opening import open_file
from kokoro_lab.runtime.preoptimized import WEIGHTS_SUFFIX, find, machine_key, preoptimized_path
from kokoro_lab.runtime.settings import SessionSettings

__all__ = ["preoptimized", "preoptimized_path"]

MAKING = ".making-"
"""Prefix of the folder in which a file is written."""


def preoptimized(file: ModelFile) -> Path:
    """The pre-optimised form of `file`, written if none fits; outdated forms of the same model are deleted.

    Graph and weights are written to a temporary folder and moved into place, the record last: without it neither is
    opened. Errors are those of `Session.open`, and SettingError for a split model.
    """
    if found := find(file).path:
        return found
    if file.back:
        raise SettingError(f"{file.name} is a split model, which cannot be pre-optimised; choose a model in one file")
    path = preoptimized_path(file)
    remove_abandoned(path.parent, MAKING)
    with scratch_folder(path.parent, prefix=MAKING, error=ModelError, advice=ADVICE) as folder:
        graph = folder / path.name
        open_file(file, SessionSettings(), graph)
        path.with_suffix(".json").unlink(missing_ok=True)
        weights = graph.with_suffix(WEIGHTS_SUFFIX)
        if weights.is_file():  # absent where no weight is large enough to be stored apart
            weights.replace(path.with_suffix(WEIGHTS_SUFFIX))
        graph.replace(path)
    aside = path.with_suffix(WEIGHTS_SUFFIX)
    written = replace(file, name=path.stem, path=path, sha256=file_sha256(path), bytes=path.stat().st_size)
    write_record(
        written,
        source={"name": file.name, "sha256": file.sha256},
        machine=machine_key(),
        weights_bytes=aside.stat().st_size if aside.is_file() else 0,
    )
    for other in preoptimized_files(file.name):
        if other.parent == path.parent and other.stem != path.stem:
            other.unlink()  # belongs to an earlier version of the model
    return path
