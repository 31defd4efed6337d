"""Readings of one block: repeats, provider, model, load, quiet and gate. Plain values that cross the process
boundary as JSON.

Times are in milliseconds, memory in megabytes (10^6 bytes), shares between 0 and 1. A value that was not available
is None, never 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kokoro_lab.measure.records.record import Record

__all__ = [
    "SEVERITY",
    "GateReading",
    "GateVerdict",
    "LoadReading",
    "ModelReading",
    "ProviderReading",
    "QuietReading",
    "RenderingReading",
    "Repeat",
    "VisitReading",
    "stayed_cached",
    "worst_verdict",
]


GateVerdict = Literal["equivalent", "close", "none", "different"]
"""A verdict of the audio gate; none: the audio was not found wrong, and nothing says that it is right."""

SEVERITY: tuple[GateVerdict, ...] = ("equivalent", "close", "none", "different")
"""The verdicts of the audio gate, the worst last."""


def worst_verdict(verdicts: Iterable[GateVerdict]) -> GateVerdict:
    """The worst of several verdicts of the audio gate; none without any."""
    return max(verdicts, key=SEVERITY.index, default="none")


def stayed_cached(cold: Mapping[str, str]) -> bool:
    """Whether the files of a start that was to be cold were in the page cache all the same, or nobody knows.

    cold: of a block's result. Blocks of earlier versions say it only in the words of file_cache.
    """
    if "measured" in cold:
        return cold["measured"] != "cold"
    return cold.get("file_cache", "").startswith(("not dropped", "dropped, not verified"))


@dataclass(frozen=True)
class Repeat(Record):
    """One timed call, measured from outside the engine; the stage times are the engine's own and add up to its
    total."""

    repeat: int
    total_ms: float
    ttfa_ms: float
    """Call to the first sample above -50 dBFS, plus the playing time of what was queued before it."""
    audio_s: float
    """All samples, inserted pauses too."""
    speech_s: float
    """Synthesised speech only; the denominator of the real-time factor."""
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


@dataclass(frozen=True)
class RenderingReading(Record):
    """Repeats of a block that have exactly the same samples."""

    repeat: int
    """Number of the first of them."""
    count: int
    durations: tuple[int, ...] | None = None
    """Of its tokens, as in `BlockResult.durations`."""


@dataclass(frozen=True)
class ProviderReading(Record):
    """The requested provider and the provider that ran, from onnxruntime's node assignment."""

    requested: str
    effective: str
    """Provider of most nodes, by our name ("cpu"); empty when no session was made."""
    share: float
    """Share of the nodes assigned to the requested provider."""
    nodes: dict[str, int] = field(default_factory=dict)
    """Provider -> number of nodes."""


@dataclass(frozen=True)
class ModelReading(Record):
    """The model file that ran."""

    name: str
    sha256: str
    weights: str
    """stand-in | imported | published"""
    architecture: str
    """full | tiny"""
    precision: str
    variant: str | None = None
    """Recipe that the file was built with, or plain; None when no file was opened."""
    kernels: str | None = None
    """Instruction set of the compiled operators that ran, or none."""
    preoptimized: bool | None = None
    """Whether the file's pre-optimised form was opened."""
    verified: str | None = None
    """What says that this file's output is right: "" for nothing, else the verdict of its verification (equivalent,
    close or different); None where it was not asked, as in rows of earlier versions."""


@dataclass(frozen=True)
class LoadReading(Record):
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


@dataclass(frozen=True)
class QuietReading(Record):
    """How quiet the machine was while one block ran (measurement rule 8)."""

    contaminated: bool
    reason: str = ""
    """One sentence; empty when clean."""
    other_cpu_share: float | None = None
    """CPU time of processes outside our process tree over the total CPU time."""
    harness_cpu_share: float | None = None
    """Share of the process that waits for the worker, which must sleep."""
    steal_share: float | None = None
    """CPU time taken by the hypervisor over the total CPU time."""
    cpu_pressure: float | None = None
    """Share of wall time in which some task waited for a CPU (PSI some)."""
    memory_pressure: float | None = None
    io_pressure: float | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    governor: str | None = None
    on_battery: bool | None = None


@dataclass(frozen=True)
class VisitReading(Record):
    """One cell of a process that measures several cells in turn, as that process saw it."""

    place: int
    """Position among the cells of the process, from 0."""
    wall_s: float
    """From the end of the cell before, or the start of the process, to the end of this cell."""
    quiet: QuietReading
    """While this cell was measured, from loading its engine to its last timed call."""


@dataclass(frozen=True)
class GateReading(Record):
    """The equivalence gate on the audio of one block (measurement rule 5)."""

    verdict: GateVerdict
    reference: str
    """Id of the reference cell."""
    reasons: tuple[str, ...] = ()
    durations_equal: bool | None = None
    log_mel_db: float | None = None
    """Mean over the frames, dB."""
    worst_db: float | None = None
    """Of the window of 200 ms with the largest mean, dB."""
    frame_db: float | None = None
    """99th percentile of the frames, dB."""
    level_db: float | None = None
    """Level minus the reference's in the window of 200 ms where they differ most, dB."""
    seam: float | None = None
    """Largest jump between neighbouring samples that the reference does not have, 1.0 is full scale."""
    polarity: float | None = None
    """Lowest correlation of the waveforms in a window of 200 ms, -1 (inverted) to 1."""
    f0_cents: float | None = None
    """Root mean square difference of pitch, cents; None where nothing is voiced in both."""
    voicing_error: float | None = None
    """Share of frames voiced in only one of the two."""
    peak: float | None = None
    rms_dbfs: float | None = None
    finite: bool = True
    silent: bool = False
    clipped_fraction: float | None = None
