"""The fastest variant of a model on this machine: the result of `models tune`, stored for `Engine.load`.

A small file in the lab's home has a record per processor, onnxruntime version, number of cores and SHA-256 of the
source model. Only a variant with equivalent audio may become a default; the fastest close variant is recorded beside
it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kokoro_lab.errors import ModelError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.models.files.model_record import ADVICE
from kokoro_lab.paths import home
from kokoro_lab.runtime.preoptimized import machine_key

if TYPE_CHECKING:
    from kokoro_lab.models.files.model_record import ModelFile

__all__ = ["Best", "Tuned", "read_tuned", "tuned_key", "tuned_path", "write_tuned"]


MOST_BYTES = 16 << 20  # of the tuning records; each has about 1 kB


@dataclass(frozen=True)
class Best:
    """The fastest variant of one class."""

    name: str
    sha256: str
    gate: Literal["equivalent", "close"]
    speed: float
    """Speed relative to the source, the median over all pairs of blocks."""
    low: float
    """Lower end of the speed's interval."""


@dataclass(frozen=True)
class Tuned:
    """The result of tuning a model on a machine."""

    source: str
    """Name of the model that the variants were derived from."""
    source_sha256: str
    measured_at: str
    """UTC, ISO 8601."""
    machine_id: str
    """The machine's stable fingerprint, as in the results tables."""
    equivalent: Best | None
    """None: no equivalent variant is faster than the source."""
    close: Best | None
    measured: tuple[str, ...]
    """Names of the variants that were compared."""


def tuned_path() -> Path:
    """The path of the tuning records."""
    return home() / "tuned.json"


def tuned_key(source: ModelFile) -> str:
    """The key of a record: processor and onnxruntime, cores, source."""
    return f"{machine_key()}-{os.cpu_count()}-{source.sha256}"


def read_tuned(source: ModelFile) -> Tuned | None:
    """The tuning record of `source` on this machine; None where it was never tuned here, or the file is unreadable."""
    try:
        return as_record(Tuned, _read().get(tuned_key(source)), what="tuning record", error=ModelError)
    except ModelError:
        return None


def write_tuned(source: ModelFile, tuned: Tuned) -> None:
    """Store a record, replacing an earlier record of the same machine and source."""
    path = tuned_path()
    everything = {**_read(), tuned_key(source): asdict(tuned)}
    write_text(path, json.dumps(everything, indent=1), error=ModelError, advice=ADVICE)


def _read() -> dict[str, Any]:
    try:
        everything = read_json(tuned_path(), what="file of tuning records", most=MOST_BYTES, error=ModelError)
    except ModelError:
        return {}
    return everything if isinstance(everything, dict) else {}
