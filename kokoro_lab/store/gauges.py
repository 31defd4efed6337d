"""What a budget measures in the blocks of one cell: a value with its interval, and how many calls stand behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kokoro_lab.measure.cell import Block
from kokoro_lab.measure.drift import drift
from kokoro_lab.measure.listener import Arrival, listen
from kokoro_lab.measure.noise import block_interval
from kokoro_lab.measure.percentiles import percentile
from kokoro_lab.store.budgets import Player

__all__ = ["Gauge", "audio_gauge", "drift_gauge", "figure_gauge", "memory_gauge", "underrun_gauge"]

ALPHA = 0.05
LISTENED_S = 600.0  # s; underruns are counted in ten minutes of listening
DRIFTED_S = 1200.0  # s; a drift is told over twenty minutes
LONG_ENOUGH = 0.9  # share of them that a load must last: the last arrival comes before the end
MEDIAN_BEYOND_P95 = 0.10
"""Highest chance of a block median beyond the true p95, however alike the repeats of a block are (Markov's inequality:
half of them are beyond, of 5 % on average)."""


@dataclass(frozen=True)
class Gauge:
    """One reading. `low` and `high` are None where it has no interval; then it can fail, and cannot pass by itself."""

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
    """A value under which it cannot be, though it has none itself: block medians that lie beyond a p95's bar."""
    reason: str = ""
    """Why there is no value, or what its interval lacks."""


def figure_gauge(blocks: Sequence[Block], figure: str, statistic: str, bar: float | None) -> Gauge:
    """The median of a figure with its interval over blocks, and its p95 with its bound or `too few samples`."""
    values = [[float(getattr(repeat, figure)) for repeat in block.result.repeats] for block in blocks]
    middle, tail = block_interval(values), percentile(values, 0.95)
    told = Gauge(
        value=middle.value,
        low=middle.low,
        high=middle.high,
        samples=sum(map(len, values)),
        blocks=len(values),
        p50=middle.value,
        p50_low=middle.low,
        p50_high=middle.high,
        p95=tail.value,
        p95_upper=tail.upper,
        p95_text=tail.text,
        reason="" if middle.low is not None else "one block alone has no interval",
    )
    if statistic == "p50":
        return told
    if tail.value is not None:
        # The percentile's bound is one-sided: a value beyond the bar fails, a bound within it passes.
        return dataclasses.replace(told, value=tail.value, low=tail.value, high=tail.upper, reason="")
    beyond = sum(float(np.median(block)) > bar for block in values) if bar is not None else 0
    sure = bar is not None and _tail(beyond, len(values)) < ALPHA
    reason = f"{beyond} of {len(values)} block medians lie beyond the bar" if sure else tail.text
    return dataclasses.replace(
        told, value=None, low=None, high=None, certainly_above=bar if sure else None, reason=reason
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
    reason = "" if away else "no block told its steady memory"
    return Gauge(worst, worst, worst, calls, len(away), reason=reason)


def underrun_gauge(blocks: Sequence[Block], player: Player) -> Gauge:
    """Underruns in ten minutes of listening, with the exact Poisson interval (Garwood 1936)."""
    from scipy import stats

    heard, silent = 0.0, 0
    streams = [block for block in blocks if block.result.deliveries]
    for block in streams:
        arrivals = [Arrival(*delivery) for delivery in block.result.deliveries]
        silent += listen(arrivals, chunk_ms=player.chunk_ms, prebuffer=player.prebuffer).underruns
        heard += sum(delivery.duration_s for delivery in arrivals)
    if not heard:
        return Gauge(None, None, None, 0, 0, reason="no stream told when its chunks arrived")
    times = LISTENED_S / heard
    low = 0.0 if silent == 0 else float(stats.chi2.ppf(ALPHA / 2, 2 * silent)) / 2
    tail = ALPHA if silent == 0 else ALPHA / 2
    high = float(stats.chi2.ppf(1 - tail, 2 * (silent + 1))) / 2
    reason = f"{silent} in {heard / 60:.1f} minutes of listening"
    return Gauge(silent * times, low * times, high * times, len(streams), len(streams), reason=reason)


def drift_gauge(blocks: Sequence[Block]) -> Gauge:
    """How much a call's time changed over twenty minutes of load, in percent of its start: the longest block's."""
    loads = [(block, block.result.load.scheduled_s) for block in blocks if block.result.load]
    loads = [(block, times) for block, times in loads if len(set(times)) > 1]
    if not loads:
        return Gauge(None, None, None, 0, 0, reason="no block was under load")
    block, times = max(loads, key=lambda load: float(np.ptp(load[1])))
    span = float(np.ptp(times))
    found = drift(times, [repeat.total_ms for repeat in block.result.repeats])
    scale = 100.0 * DRIFTED_S / span
    low = high = None
    if found.share_low is not None and found.share_high is not None:
        ends = (abs(found.share_low) * scale, abs(found.share_high) * scale)
        low, high = (0.0 if found.share_low <= 0.0 <= found.share_high else min(ends)), max(ends)
    if span < LONG_ENOUGH * DRIFTED_S:
        reason = f"the longest load lasted {span:.0f} s of {DRIFTED_S:.0f} s"
        return Gauge(abs(found.share) * scale, None, None, found.values, 1, reason=reason)
    return Gauge(abs(found.share) * scale, low, high, found.values, 1)


def audio_gauge(blocks: Sequence[Block], run_dir: Path, what: str) -> Gauge:
    """Loudness (LUFS) or true peak (dBTP) of the kept audio, levelled as it would leave; it is the same every time."""
    from kokoro_lab.audio.finish import Finish, finish
    from kokoro_lab.audio.loudness import TARGET_LUFS

    calls = sum(len(block.result.repeats) for block in blocks)
    paths = [run_dir / block.audio_path for block in blocks if block.audio_path]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return Gauge(None, None, None, 0, 0, reason="its audio is not kept here")
    left = finish(np.load(path), Finish(target_lufs=TARGET_LUFS))
    value = left.lufs if what == "loudness" else left.true_peak_dbtp
    if value is None:
        return Gauge(None, None, None, calls, len(blocks), reason="it is too short or too quiet to have a loudness")
    value = round(value, 3)  # 0.001 dB: a gain is applied in float32
    return Gauge(value, value, value, calls, len(blocks))


def _tail(successes: int, trials: int) -> float:
    """Chance of so many block medians or more beyond the true p95."""
    from scipy import stats

    return float(stats.binom.sf(successes - 1, trials, MEDIAN_BEYOND_P95))
