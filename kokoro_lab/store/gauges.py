"""Readings for budgets from the blocks of one cell: a value with its interval, and the number of calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import AudioError
from kokoro_lab.measure.block.listener import Arrival, listen
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.counts import rate_interval
from kokoro_lab.measure.statistics.drift import drift
from kokoro_lab.measure.statistics.intervals import block_interval
from kokoro_lab.measure.statistics.percentiles import percentile, surely_beyond
from kokoro_lab.store.budgets import Player

__all__ = ["Gauge", "audio_gauge", "drift_gauge", "figure_gauge", "memory_gauge", "underrun_gauge"]

LISTENED_S = 600.0  # s; underruns are counted per ten minutes of playback
DRIFTED_S = 1200.0  # s; drift is given per twenty minutes
LONG_ENOUGH = 0.9  # least share of this that a load must last; its last arrival comes before the end


@dataclass(frozen=True)
class Gauge:
    """One reading. `low` and `high` are None without an interval; such a reading can fail but not pass."""

    value: float | None
    low: float | None
    high: float | None
    samples: int
    blocks: int
    p50: float | None = None
    p50_low: float | None = None
    p50_high: float | None = None
    p95: float | None = None
    p95_upper: float | None = None
    p95_text: str = ""
    certainly_above: float | None = None
    """A lower bound of a value that is unknown itself: the limit that the medians of too many blocks exceed."""
    reason: str = ""
    """Why there is no value or no interval."""


def figure_gauge(blocks: Sequence[Block], figure: str, statistic: str, limit: float | None) -> Gauge:
    """The median of a figure with its interval over blocks, and its p95 with its bound or `too few samples`."""
    values = [block.values(figure) for block in blocks]
    if not all(values):
        return Gauge(None, None, None, 0, 0, reason="its process measured other cells too, so its memory is not known")
    middle, tail = block_interval(values), percentile(values, 0.95)
    low, high = middle.bounds
    reading = Gauge(
        value=middle.center,
        low=low,
        high=high,
        samples=sum(map(len, values)),
        blocks=len(values),
        p50=middle.center,
        p50_low=low,
        p50_high=high,
        p95=tail.value,
        p95_upper=tail.upper,
        p95_text=tail.text,
        reason=middle.shortfall,
    )
    if statistic == "p50":
        return reading
    if tail.value is not None:
        # The percentile's bound is one-sided: a value beyond the limit fails, a bound within it passes.
        return dataclasses.replace(reading, value=tail.value, low=tail.value, high=tail.upper, reason="")
    beyond, sure = surely_beyond(values, limit) if limit is not None else (0, False)
    reason = f"{beyond} of {len(values)} block medians exceed the limit" if sure else tail.text
    return dataclasses.replace(
        reading, value=None, low=None, high=None, certainly_above=limit if sure else None, reason=reason
    )


def memory_gauge(blocks: Sequence[Block]) -> Gauge:
    """How far resident memory went from its steady state, in megabytes: the worst call of the worst block."""
    away = [
        max(abs(repeat.rss_mb - block.result.rss_steady_mb) for repeat in block.result.repeats)
        for block in blocks
        if block.result.rss_steady_mb is not None and block.result.repeats
    ]
    calls = sum(len(block.result.repeats) for block in blocks)
    worst = max(away, default=None)
    reason = "" if away else "no block reported its steady memory"
    return Gauge(worst, worst, worst, calls, len(away), reason=reason)


def underrun_gauge(blocks: Sequence[Block], player: Player) -> Gauge:
    """Underruns per ten minutes of playback, with the exact Poisson interval."""
    played_s, underruns = 0.0, 0
    streams = [block for block in blocks if block.result.deliveries]
    for block in streams:
        arrivals = [Arrival(*delivery) for delivery in block.result.deliveries]
        underruns += listen(arrivals, chunk_ms=player.chunk_ms, prebuffer=player.prebuffer).underruns
        played_s += sum(delivery.duration_s for delivery in arrivals)
    if not played_s:
        return Gauge(None, None, None, 0, 0, reason="no stream reported when its chunks arrived")
    rate = rate_interval(underruns).scaled(LISTENED_S / played_s)
    reason = f"{underruns} in {played_s / 60:.1f} minutes of playback"
    return Gauge(rate.center, rate.low, rate.high, len(streams), len(streams), reason=reason)


def drift_gauge(blocks: Sequence[Block]) -> Gauge:
    """How much the time of a call changed over twenty minutes of load, in percent of its start; of the longest
    block."""
    loads = [(block, block.result.load.scheduled_s) for block in blocks if block.result.load]
    loads = [(block, times) for block, times in loads if len(set(times)) > 1]
    if not loads:
        return Gauge(None, None, None, 0, 0, reason="no block was under load")
    block, times = max(loads, key=lambda load: float(np.ptp(load[1])))
    span = float(np.ptp(times))
    slope = drift(times, [repeat.total_ms for repeat in block.result.repeats])
    scale = 100.0 * DRIFTED_S / span
    change = slope.share_interval.magnitude.scaled(scale)
    if span < LONG_ENOUGH * DRIFTED_S:
        reason = f"the longest load lasted {span:.0f} s of {DRIFTED_S:.0f} s"
        return Gauge(change.center, None, None, slope.values, 1, reason=reason)
    return Gauge(change.center, change.low, change.high, slope.values, 1)


def audio_gauge(blocks: Sequence[Block], run_dir: Path, what: str) -> Gauge:
    """Loudness (LUFS) or true peak (dBTP) of the stored audio after loudness levelling; it has no noise."""
    from kokoro_lab.audio.finish import Finish, finish
    from kokoro_lab.audio.loudness import TARGET_LUFS

    calls = sum(len(block.result.repeats) for block in blocks)
    paths = [run_dir / block.audio_path for block in blocks if block.audio_path]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return Gauge(None, None, None, 0, 0, reason="its audio is not stored here")
    try:
        left = finish(read_saved(path), Finish(target_lufs=TARGET_LUFS))
    except AudioError as error:
        return Gauge(None, None, None, 0, 0, reason=error.message)
    value = left.lufs if what == "loudness" else left.true_peak_dbtp
    if value is None:
        return Gauge(None, None, None, calls, len(blocks), reason="it is too short or too quiet to have a loudness")
    value = round(value, 3)  # 0.001 dB: a gain is applied in float32
    return Gauge(value, value, value, calls, len(blocks))
