"""Measure a block in its state: warm, or one of the cold states (measurement rules 1 and 2,
docs/measurement-rules.md).
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kokoro_lab.measure.block.cache_counts import cache_counts
from kokoro_lab.measure.block.calls import STAGES, Call, EmptyEngine, load, speak
from kokoro_lab.measure.block.load_generator import under_load
from kokoro_lab.measure.block.renderings import Rendering, distinct_renderings
from kokoro_lab.measure.block.steady import is_steady, label_outliers
from kokoro_lab.measure.machine.energy import find_meter
from kokoro_lab.measure.machine.peak_memory import rss_mb
from kokoro_lab.measure.peers.adapters.own_engine import PeerEngine
from kokoro_lab.measure.records.cell import OTHER_TEXT, Cell, LoadReading, Repeat

if TYPE_CHECKING:
    from kokoro_lab.engine.engine import Engine
    from kokoro_lab.engine.status import Calls

__all__ = ["BlockMeasurement", "Loader", "measure"]

Loader = Callable[[Cell], "tuple[Engine | EmptyEngine | PeerEngine, dict[str, float]]"]
"""Cell -> its engine, and the load stages in milliseconds."""

IDLE_S = 5.0
"""Idle seconds after a session: longer than our engine waits by default before it releases memory (3 s)."""


@dataclass
class BlockMeasurement:
    """The state and the results of a block, during and after its measurement."""

    engine: Engine | EmptyEngine | PeerEngine
    load_ms: dict[str, float]
    cold: dict[str, str]
    repeats: list[Repeat] = field(default_factory=list)
    warmup_ms: list[float] = field(default_factory=list)
    became_steady: bool = False
    last: Call | None = None
    renderings: tuple[Rendering, ...] = ()
    """Distinct renderings of the timed calls, the last call's first."""
    energy_j: float | None = None
    energy_source: str = ""
    load: LoadReading | None = None
    figures: dict[str, float] = field(default_factory=dict)
    earlier: Calls | None = None
    """What an engine that is loaded already has counted of other cells; None for a new one."""


def measure(
    cell: Cell,
    *,
    spawned_ns: int,
    load_ms: dict[str, float],
    made_cold: Mapping[str, str] | None = None,
    load: Loader = load,
) -> BlockMeasurement:
    """Load the cell's engine and measure it in the cell's state.

    `spawned_ns`: the parent's monotonic clock when it started this process; a cold start is timed from there.
    `load_ms`: durations of the stages before this call. `made_cold`: what the parent reports of the page cache, see
    `pagecache.made_cold`. `load`: gives a warm cell its engine, in a shared process one that is loaded already.
    """
    if cell.state == "cold-session":
        return _cold_session(cell, load_ms)
    engine, stages = load(cell)
    block = BlockMeasurement(engine, {**load_ms, **stages}, {})
    if cell.process == "shared" and not isinstance(engine, EmptyEngine | PeerEngine):
        block.earlier = engine.status().calls
    if cell.state in ("cold", "cold-process"):
        _cold_process(cell, block, spawned_ns)
        block.cold = {"process": "fresh", "session": "new", "shape": "new"}
        block.cold |= made_cold or {"file_cache": "not dropped: not requested", "measured": "cold-process"}
    elif cell.state == "cold-shape":
        _warm_up(cell, block, (OTHER_TEXT,))
        block.load_ms["first_call"] = block.warmup_ms[0]
        _timed(cell, block, 1)
        block.cold = {"shape": f"new, after {len(block.warmup_ms)} calls with another"}
    else:
        _warm_up(cell, block, cell.requests)
        block.load_ms["first_call"] = block.warmup_ms[0]
        before = cache_counts(engine)
        if cell.arrivals:
            _loaded(cell, block)
        else:
            _timed(cell, block, cell.repeats)
        block.figures |= {name: count - before.get(name, 0) for name, count in cache_counts(engine).items()}
    return block


def _warm_up(cell: Cell, block: BlockMeasurement, texts: Sequence[str]) -> None:
    """Call until the times are steady or the cap is reached, with the shapes of `texts` in turn.

    The times of several texts cannot be compared for steadiness, so there only the cap ends the warm-up.
    """
    while len(block.warmup_ms) < cell.warmup_cap and not block.became_steady:
        text = texts[len(block.warmup_ms) % len(texts)]
        block.warmup_ms.append(speak(block.engine, cell, text).total_s * 1e3)
        block.became_steady = len(texts) == 1 and is_steady(block.warmup_ms)


def _timed(cell: Cell, block: BlockMeasurement, count: int) -> None:
    """The timed repeats. Garbage is collected beforehand; memory is read between the calls."""
    if len(cell.requests) > 1:
        _session(cell, block, count)
        return
    meter = find_meter()
    gc.collect()
    meter.begin()
    calls, memory = [], []
    processor_s = time.process_time()
    for _ in range(count):
        calls.append(speak(block.engine, cell))
        memory.append(rss_mb())
    block.figures["cpu_ms"] = (time.process_time() - processor_s) * 1e3 / count
    block.energy_j, block.energy_source = meter.end(), meter.source
    labels = label_outliers([call.total_s for call in calls])
    for number, (call, rss, label) in enumerate(zip(calls, memory, labels, strict=True)):
        block.repeats.append(_repeat(number, call, call.total_s, call.ttfa_s, rss, block.became_steady, label))
    block.last = calls[-1]
    _keep_renderings(block, calls)
    _count_underruns(block, calls)
    if block.last.first_words is not None:
        block.figures["first_segment_words"] = block.last.first_words


def _count_underruns(block: BlockMeasurement, calls: Sequence[Call]) -> None:
    """Gaps over all timed streams, with the seconds in which they could be heard."""
    streams = [call for call in calls if call.deliveries]
    if streams:
        block.figures["underruns"] = sum(call.underruns for call in streams)
        block.figures["streamed_s"] = sum(delivery.duration_s for call in streams for delivery in call.deliveries)


def _session(cell: Cell, block: BlockMeasurement, count: int) -> None:
    """The timed calls of several requests in turn, and the memory after an idle period.

    Memory is the subject, so no samples are retained; calls of different lengths get no outlier labels.
    """
    gc.collect()
    first: dict[str, str] = {}
    differing = 0
    for number in range(count):
        request = cell.requests[number % len(cell.requests)]
        call = speak(block.engine, cell, request)
        rss = rss_mb()
        block.repeats.append(_repeat(number, call, call.total_s, call.ttfa_s, rss, block.became_steady, ""))
        digest = hashlib.sha256(call.samples.tobytes()).hexdigest()
        differing += digest != first.setdefault(request, digest)
        block.last = call
    time.sleep(IDLE_S)
    session_ms = sum(repeat.total_ms for repeat in block.repeats)
    block.figures |= {"session_ms": session_ms, "differing": differing, "rss_idle_mb": rss_mb()}
    block.energy_source = "not measured: a session measures memory"


def _loaded(cell: Cell, block: BlockMeasurement) -> None:
    """Calls under load: a repeat's total counts from when it was due, its real-time factor from the engine's time
    alone."""
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
    _keep_renderings(block, [item.call for item in served])
    _count_underruns(block, [item.call for item in served])


def _keep_renderings(block: BlockMeasurement, calls: Sequence[Call]) -> None:
    block.renderings, count = distinct_renderings(calls)
    if count > 1:
        block.figures["renderings"] = count


def _cold_process(cell: Cell, block: BlockMeasurement, spawned_ns: int) -> None:
    """The only repeat is the first call of the process, timed from the start of the process."""
    call = speak(block.engine, cell)
    lead_s = (call.began_ns - spawned_ns) / 1e9
    block.load_ms["first_call"] = call.total_s * 1e3
    total_s = (call.ended_ns - spawned_ns) / 1e9
    block.repeats.append(_repeat(0, call, total_s, lead_s + call.ttfa_s, rss_mb(), False, ""))
    block.last = call
    _keep_renderings(block, [call])
    block.energy_source = "not measured: a cold start is a single call"


def _cold_session(cell: Cell, load_ms: dict[str, float]) -> BlockMeasurement:
    """A second session in a process whose imports, phonemiser and voices are warm, timed from the start of its
    loading."""
    first, _ = load(cell)
    speak(first, cell)
    first.close()
    gc.collect()
    start = time.monotonic_ns()
    engine, stages = load(cell)
    block = BlockMeasurement(
        engine, {**load_ms, **stages}, {"session": "new, the second of its process", "shape": "new"}
    )
    _cold_process(cell, block, start)
    return block


def _repeat(number: int, call: Call, total_s: float, ttfa_s: float, rss: float, steady: bool, outlier: str) -> Repeat:
    stages = {stage: call.stages.get(stage, 0.0) * 1e3 for stage in STAGES}
    return Repeat(
        repeat=number,
        total_ms=total_s * 1e3,
        ttfa_ms=ttfa_s * 1e3,
        audio_s=call.audio_s,
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
