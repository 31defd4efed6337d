"""How a block is measured in each state: warm, and the kinds of cold that are factors of their own (rules 1 and 2)."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kokoro_lab.measure.calls import STAGES, Call, EmptyEngine, load, speak
from kokoro_lab.measure.cell import Cell, LoadReading, Repeat
from kokoro_lab.measure.energy import find_meter
from kokoro_lab.measure.memory import rss_mb
from kokoro_lab.measure.steady import is_steady, label_outliers
from kokoro_lab.measure.underload import under_load

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.measure.adapters.engine import PeerEngine

__all__ = ["OTHER_TEXT", "Measured", "measure"]

OTHER_TEXT = "This sentence is here so that the shape that is measured next has never been seen by the session."
"""What a cold-shape block warms up with."""


@dataclass
class Measured:
    """A block while it is being measured, and when it is done."""

    engine: Engine | EmptyEngine | PeerEngine
    load_ms: dict[str, float]
    cold: dict[str, str]
    repeats: list[Repeat] = field(default_factory=list)
    warmup_ms: list[float] = field(default_factory=list)
    became_steady: bool = False
    last: Call | None = None
    energy_j: float | None = None
    energy_source: str = ""
    load: LoadReading | None = None


def measure(cell: Cell, *, spawned_ns: int, load_ms: dict[str, float], file_cache: str = "") -> Measured:
    """Load the cell's engine and measure it in the cell's state.

    `spawned_ns`: the parent's monotonic clock when it started this process; a cold start is counted from there.
    `load_ms`: stages before this call. `file_cache`: what the parent did about the page cache.
    """
    if cell.state == "cold-session":
        return _cold_session(cell, load_ms)
    engine, stages = load(cell)
    block = Measured(engine, {**load_ms, **stages}, {})
    if cell.state in ("cold", "cold-process"):
        _cold_process(cell, block, spawned_ns)
        block.cold = {"process": "fresh", "session": "new", "shape": "new"}
        block.cold["file_cache"] = file_cache or "not dropped: not asked for"
    elif cell.state == "cold-shape":
        _warm_up(cell, block, OTHER_TEXT)
        block.load_ms["first_call"] = block.warmup_ms[0]
        _timed(cell, block, 1)
        block.cold = {"shape": f"new, after {len(block.warmup_ms)} calls with another"}
    else:
        _warm_up(cell, block, cell.text)
        block.load_ms["first_call"] = block.warmup_ms[0]
        if cell.arrivals:
            _loaded(cell, block)
        else:
            _timed(cell, block, cell.repeats)
    return block


def _warm_up(cell: Cell, block: Measured, text: str) -> None:
    """Call until the times are steady or the cap is reached; the shapes are those of `text`."""
    while len(block.warmup_ms) < cell.warmup_cap and not block.became_steady:
        block.warmup_ms.append(speak(block.engine, cell, text).total_s * 1e3)
        block.became_steady = is_steady(block.warmup_ms)


def _timed(cell: Cell, block: Measured, count: int) -> None:
    """The timed repeats. Garbage is collected before them, and whatever is counted is counted between them."""
    meter = find_meter()
    gc.collect()
    meter.begin()
    calls, memory = [], []
    for _ in range(count):
        calls.append(speak(block.engine, cell))
        memory.append(rss_mb())
    block.energy_j, block.energy_source = meter.end(), meter.source
    labels = label_outliers([call.total_s for call in calls])
    for number, (call, rss, label) in enumerate(zip(calls, memory, labels, strict=True)):
        block.repeats.append(_repeat(number, call, call.total_s, call.ttfa_s, rss, block.became_steady, label))
    block.last = calls[-1]


def _loaded(cell: Cell, block: Measured) -> None:
    """Calls under load; a repeat's total counts from when it was due, its RTF is the engine's time alone."""
    meter = find_meter()
    gc.collect()
    meter.begin()
    served, block.load = under_load(cell, lambda: speak(block.engine, cell), rss_mb)
    block.energy_j, block.energy_source = meter.end(), meter.source
    labels = label_outliers([item.request.latency_s for item in served])
    for number, (item, label) in enumerate(zip(served, labels, strict=True)):
        waited_s = item.request.started_s - item.request.scheduled_s
        repeat = _repeat(
            number,
            item.call,
            item.request.latency_s,
            waited_s + item.call.ttfa_s,
            item.rss_mb,
            block.became_steady,
            label,
        )
        block.repeats.append(replace(repeat, rtf=item.call.total_s / item.call.speech_s))
    block.last = served[-1].call if served else None


def _cold_process(cell: Cell, block: Measured, spawned_ns: int) -> None:
    """The first call of the process is the one repeat, counted from the start of the process."""
    call = speak(block.engine, cell)
    lead_s = (call.began_ns - spawned_ns) / 1e9
    block.load_ms["first_call"] = call.total_s * 1e3
    total_s = (call.ended_ns - spawned_ns) / 1e9
    block.repeats.append(_repeat(0, call, total_s, lead_s + call.ttfa_s, rss_mb(), False, ""))
    block.last = call
    block.energy_source = "not measured: a cold start is one call"


def _cold_session(cell: Cell, load_ms: dict[str, float]) -> Measured:
    """A second session in a process that has imports, phonemiser and voices warm; counted from its loading on."""
    first, _ = load(cell)
    speak(first, cell)
    first.close()
    gc.collect()
    start = time.monotonic_ns()
    engine, stages = load(cell)
    block = Measured(engine, {**load_ms, **stages}, {"session": "new, the second of its process", "shape": "new"})
    _cold_process(cell, block, start)
    return block


def _repeat(number: int, call: Call, total_s: float, ttfa_s: float, rss: float, steady: bool, outlier: str) -> Repeat:
    stages = {stage: call.stages.get(stage, 0.0) * 1e3 for stage in STAGES}
    return Repeat(
        repeat=number,
        total_ms=total_s * 1e3,
        ttfa_ms=ttfa_s * 1e3,
        audio_s=len(call.samples) / 24_000,
        speech_s=call.speech_s,
        rtf=total_s / call.speech_s,
        normalise_ms=stages["normalise"],
        phonemise_ms=stages["phonemise"],
        tokenise_ms=stages["tokenise"],
        infer_ms=stages["infer"],
        post_process_ms=stages["post_process"],
        other_ms=total_s * 1e3 - sum(stages.values()),
        rss_mb=rss,
        steady=steady,
        outlier="high" if outlier == "high" else "low" if outlier == "low" else "",
    )
