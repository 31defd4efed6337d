"""What the process of a cell measures, by its bytes: the worker asks after its timed part. The files themselves are
read; no record of them is believed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from kokoro_lab.errors import ModelError
from kokoro_lab.measure.block.calls import EMPTY, engine_config
from kokoro_lab.measure.machine.content_bytes import code_sum, model_sum, text_sum, voice_sum
from kokoro_lab.measure.machine.program_bytes import packages_sum
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.records.identity import MEASURED_PACKAGES, BlockIdentity
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.byte_sums import byte_sum
from kokoro_lab.runtime.session_files.files_read import FilesRead, files_read, with_data
from kokoro_lab.runtime.session_files.native_libraries import native_libraries

__all__ = ["engine_files", "measured_identity"]


def engine_files(cell: Cell) -> FilesRead:
    """The files that our own engine reads for a cell.

    Raises KokoroLabError for a cell that cannot run, such as one of an unknown model.
    """
    if cell.model == EMPTY:
        return FilesRead((), (), native_libraries())
    return files_read(resolve(cell.model), engine_config(cell).session_settings)


def measured_identity(
    cell: Cell, opened: Iterable[Path] = (), since_s: float | None = None, *, voice: str | None = None
) -> BlockIdentity:
    """What our own engine measures for a cell.

    Args:
        cell: the cell.
        opened: the files that its sessions were created from.
        since_s: when its process was started, in seconds since the epoch; None: it has not been.
        voice: SHA-256 of the voice pack that its engine loaded; None: the sum of the pack as it is now.

    Raises:
        ModelError: a file of the model was changed since then, so nobody knows which bytes were read.
        KokoroLabError: the cell cannot run.
    """
    files = engine_files(cell)
    model = tuple(dict.fromkeys((*files.model, *with_data(*opened))))
    if since_s is not None:
        _refuse_changed(model, since_s)
    return BlockIdentity(
        model=model_sum(model) if model else "",
        text=text_sum(cell.text),
        voice="" if not model else voice_sum(cell.voice) if voice is None else voice,
        code=code_sum(),
        packages=packages_sum(MEASURED_PACKAGES, files.runtime, byte_sum),
    )


def _refuse_changed(files: Iterable[Path], since_s: float) -> None:
    now_s = time.time()
    for path in files:
        changed_s = path.stat().st_ctime_ns / 1e9
        if since_s < changed_s <= now_s:  # not a later one: a clock that was set back must not fail every block
            raise ModelError(f"{path} was changed while it was measured; measure again")
