"""Makes the files that onnxruntime has optimised already, for quick sessions on this machine."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from kokoro_lab.errors import SettingError
from kokoro_lab.models.catalog import preoptimized_files
from kokoro_lab.models.records import ModelFile, file_sum, write_record
from kokoro_lab.runtime.preoptimized import WEIGHTS_SUFFIX, find, machine_key, preoptimized_path
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings

__all__ = ["preoptimized", "preoptimized_path"]


def preoptimized(file: ModelFile) -> Path:
    """The pre-optimised form of `file`, made if there is none that fits; those of its earlier bytes go.

    Graph and weights are written aside and moved to their places, the record last: without it neither is opened.
    Errors are those of `Session.open`, and SettingError for a split model.
    """
    if found := find(file).path:
        return found
    if file.back:
        raise SettingError(f"{file.name} is split in two files, which are not pre-optimised")
    path = preoptimized_path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
        graph = Path(folder) / path.name
        Session.open(file, SessionSettings(optimized_path=graph)).close()
        path.with_suffix(".json").unlink(missing_ok=True)
        weights = graph.with_suffix(WEIGHTS_SUFFIX)
        if weights.is_file():  # absent where no weight is large enough to be put aside
            weights.replace(path.with_suffix(WEIGHTS_SUFFIX))
        graph.replace(path)
    aside = path.with_suffix(WEIGHTS_SUFFIX)
    made = replace(file, name=path.stem, path=path, sha256=file_sum(path), bytes=path.stat().st_size)
    write_record(
        made,
        source={"name": file.name, "sha256": file.sha256},
        machine=machine_key(),
        weights_bytes=aside.stat().st_size if aside.is_file() else 0,
    )
    for other in preoptimized_files(file.name):
        if other.parent == path.parent and other.stem != path.stem:
            other.unlink()  # of bytes that the model had before
    return path
