"""Which variant of a model is the fastest on this machine: what `models tune` found, kept for `Engine.load`.

One small file in the lab's home, keyed by processor, onnxruntime, number of cores and the sum of the model that the
variants were made of. Only a variant whose audio is equivalent may become a default; the fastest close one is kept
beside it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kokoro_lab.models.records import written_whole
from kokoro_lab.paths import home
from kokoro_lab.runtime.preoptimized import machine_key

if TYPE_CHECKING:
    from kokoro_lab.models.records import ModelFile

__all__ = ["Best", "Tuned", "read_tuned", "tuned_key", "tuned_path", "write_tuned"]


@dataclass(frozen=True)
class Best:
    """The fastest variant of one class."""

    name: str
    sha256: str
    gate: Literal["equivalent", "close"]
    speed: float
    """How many times as fast as the source, the median over all pairs of blocks."""
    low: float
    """Lower end of its interval."""


@dataclass(frozen=True)
class Tuned:
    """What tuning found for one model on one machine."""

    source: str
    """Name of the model that the variants were made of."""
    source_sha256: str
    measured_at: str
    """UTC, ISO 8601."""
    machine_id: str
    """Of the machine's stable fingerprint, as in the results' tables."""
    equivalent: Best | None
    """None: no equivalent variant is faster than the source."""
    close: Best | None
    measured: tuple[str, ...]
    """Names of the variants that were compared."""


def tuned_path() -> Path:
    """Where the choices are kept."""
    return home() / "tuned.json"


def tuned_key(source: ModelFile) -> str:
    """What a choice holds for: processor and onnxruntime, cores, source."""
    return f"{machine_key()}-{os.cpu_count()}-{source.sha256}"


def read_tuned(source: ModelFile) -> Tuned | None:
    """What tuning found for `source` on this machine; None when it was never tuned here, or the file is unreadable."""
    try:
        found = _read()[tuned_key(source)]
        best = {kind: None if found[kind] is None else Best(**found[kind]) for kind in ("equivalent", "close")}
        return Tuned(**{**found, **best, "measured": tuple(found["measured"])})
    except (KeyError, TypeError):
        return None


def write_tuned(source: ModelFile, found: Tuned) -> None:
    """Keep a choice, in the place of an earlier one for the same machine and source."""
    path = tuned_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    everything = {**_read(), tuned_key(source): asdict(found)}
    with written_whole(path) as stream:
        stream.write(json.dumps(everything, indent=1).encode())


def _read() -> dict[str, Any]:
    try:
        everything = json.loads(tuned_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return everything if isinstance(everything, dict) else {}
