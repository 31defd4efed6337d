"""The files that a session reads, in one place: their bytes say what was measured, and a cold start drops them.

Of a model these are its file or both its halves, its external data, and its pre-optimised form with the weights of
that; then the compiled kernels that the graph calls, and onnxruntime's own native libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.kernels.library import choose
from kokoro_lab.models.files.byte_sums import outside_files
from kokoro_lab.runtime.opening import preoptimized_form
from kokoro_lab.runtime.session_files.native_libraries import native_libraries

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile
    from kokoro_lab.runtime.settings import SessionSettings

__all__ = ["FilesRead", "files_read", "with_data"]


@dataclass(frozen=True)
class FilesRead:
    """The files of a session, each once, those of the model in the order in which they are read."""

    model: tuple[Path, ...]
    kernels: tuple[Path, ...]
    """The compiled operators; empty for a graph without them."""
    runtime: tuple[Path, ...]
    """onnxruntime's native libraries."""


def files_read(model: ModelFile, settings: SessionSettings) -> FilesRead:
    """The files that a session of `model` with these settings reads.

    The model's own file is one of them where its pre-optimised form is opened too: that was made from it.
    Raises ModelError for a file that cannot be read.
    """
    graphs = [model.path, *model.back]
    if (quick := preoptimized_form(model, settings).path) is not None:
        graphs.append(quick)
    library = choose().path if model.needs_kernels else None
    return FilesRead(with_data(*graphs), () if library is None else (library,), native_libraries())


def with_data(*graphs: Path) -> tuple[Path, ...]:
    """ONNX files, each followed by the files that hold its large tensors. Raises ModelError for another file."""
    return tuple(dict.fromkeys(path for graph in graphs for path in (graph, *outside_files(graph))))
