"""Read a notebook that somebody may have edited: bounded, and with everything that papermill needs to start it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from kokoro_lab.errors import PlanError
from kokoro_lab.files.documents import read_json, validated

__all__ = ["Notebook", "NotebookCell", "read_notebook"]

MOST_BYTES = 16 << 20  # of a notebook without outputs; the largest of ours has some tens of kB
MOST_CELLS = 10_000


class _CellMetadata(BaseModel):
    tags: tuple[str, ...] = ()


class NotebookCell(BaseModel):
    """A cell, without its outputs."""

    cell_type: str
    source: str
    metadata: _CellMetadata = _CellMetadata()

    @property
    def tags(self) -> tuple[str, ...]:
        """The cell's tags; papermill replaces what follows the one tagged `parameters`."""
        return self.metadata.tags

    @field_validator("source", mode="before")
    @classmethod
    def _joined(cls, source: Any) -> Any:
        """The format allows a list of lines."""
        lines = isinstance(source, list) and all(isinstance(line, str) for line in source)
        return "".join(source) if lines else source


class _Kernel(BaseModel):
    name: Annotated[str, Field(min_length=1)]


class _Metadata(BaseModel):
    kernelspec: _Kernel


class Notebook(BaseModel):
    """What we and papermill need of a notebook before any of it runs."""

    cells: Annotated[list[NotebookCell], Field(min_length=1, max_length=MOST_CELLS)]
    metadata: _Metadata
    nbformat: Annotated[int, Field(ge=4, le=4)]
    nbformat_minor: Annotated[int, Field(ge=0)]


def read_notebook(path: Path) -> Notebook:
    """The notebook in a file. Raises PlanError for a file that is none, or that papermill cannot start."""
    document = read_json(path, what="notebook", most=MOST_BYTES, error=PlanError, advice="correct the notebook")
    return validated(Notebook, document, what=f"notebook {path}", error=PlanError)
