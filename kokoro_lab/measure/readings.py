"""What is read off one block: repeats, provider, model, load, quiet and gate. Plain values that cross as JSON.

Times are in milliseconds, memory in megabytes (10^6 bytes), shares between 0 and 1. What was not available is None,
never 0 or NaN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

__all__ = ["GateReading", "LoadReading", "ModelReading", "ProviderReading", "QuietReading", "Repeat"]


@dataclass(frozen=True)
class Repeat:
    """One timed call, measured from outside the engine; stage times are the engine's own and add up to its total."""

    repeat: int
    total_ms: float
    ttfa_ms: float
    """Call to the first sample above -50 dBFS, plus the playing time of what was queued before it."""
    audio_s: float
    """All samples, inserted pauses too."""
    speech_s: float
    """Synthesised speech only; what RTF divides by."""
    rtf: float
    normalise_ms: float
    phonemise_ms: float
    tokenise_ms: float
    infer_ms: float
    post_process_ms: float
    other_ms: float
    rss_mb: float
    steady: bool
    outlier: Literal["", "high", "low"] = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class ProviderReading:
    """Which provider was asked for and which ran, from onnxruntime's node assignment."""

    requested: str
    effective: str
    """Provider of most nodes, by our name ("cpu"); empty when no session was made."""
    share: float
    """Share of nodes that the requested provider took."""
    nodes: dict[str, int] = field(default_factory=dict)
    """Provider -> number of nodes."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class ModelReading:
    """Which file ran."""

    name: str
    sha256: str
    weights: str
    """stand-in | imported | published"""
    architecture: str
    """full | tiny"""
    precision: str
    variant: str | None = None
    """Recipe that the file was made by, or plain; None where nothing was opened."""
    kernels: str | None = None
    """Instruction set of the compiled operators that ran, or none."""
    preoptimized: bool | None = None
    """Whether the file's pre-optimised form was opened."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class LoadReading:
    """A block under load. Its repeats are the calls that succeeded, in the order in which they were due."""

    calls: int
    failed: int
    first_error: str
    throughput_hz: float
    """Calls that succeeded, a second."""
    scheduled_s: tuple[float, ...]
    """When each repeat's call was due, from the start of the load; what a drift is fitted over."""
    waited_ms: tuple[float, ...]
    """How long each repeat's call waited for a client before it was made."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = dataclasses.asdict(self)
        return {**values, "scheduled_s": list(self.scheduled_s), "waited_ms": list(self.waited_ms)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        lists = {name: tuple(values[name]) for name in ("scheduled_s", "waited_ms")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class QuietReading:
    """How quiet the machine was while one block ran (rule 8)."""

    contaminated: bool
    reason: str = ""
    """One sentence; empty when clean."""
    other_cpu_share: float | None = None
    """CPU time of processes outside our tree over the CPU time there was."""
    harness_cpu_share: float | None = None
    """CPU time of the process that waits for the worker: it must sleep."""
    steal_share: float | None = None
    """CPU time the hypervisor took over the CPU time there was."""
    cpu_pressure: float | None = None
    """Share of wall time in which some task waited for a CPU (PSI some)."""
    memory_pressure: float | None = None
    io_pressure: float | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    governor: str | None = None
    on_battery: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class GateReading:
    """The equivalence gate on the audio of one block (rule 5)."""

    verdict: Literal["equivalent", "close", "different"]
    reference: str
    """Id of the reference cell."""
    reasons: tuple[str, ...] = ()
    durations_equal: bool | None = None
    log_mel_db: float | None = None
    peak: float | None = None
    rms_dbfs: float | None = None
    finite: bool = True
    silent: bool = False
    clipped_fraction: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**dataclasses.asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `as_dict`."""
        return cls(**{**values, "reasons": tuple(values.get("reasons", ()))})
