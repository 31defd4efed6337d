"""Metrics with one value per block, computed from what the block recorded: deliveries, load, stages, audio."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import AudioError
from kokoro_lab.measure.block.cache_counts import CACHES
from kokoro_lab.measure.block.listener import Arrival, Listening, listen

__all__ = ["DERIVED", "EVENTS", "OF_THE_PROCESS", "SHARES", "SOAK", "SOUND", "AudioOf", "derived", "stored_audio"]

Row = Mapping[str, Any]
AudioOf = Callable[[str], "np.ndarray[Any, np.dtype[np.float32]] | None"]

TEN_MINUTES_S = 600.0
FIRST_CALL = "first_call"
"""The only stage of loading that comes after the engine is ready for its first text."""
WARMING = "warmup"
"""The stage of loading that runs the warm-up calls."""


def _startup_ms(row: Row) -> float | None:
    return sum(ms for name, ms in row["load_ms"].items() if name != FIRST_CALL) if row["load_ms"] else None


def _warming_share(row: Row) -> float | None:
    startup, warming = _startup_ms(row), _stage(row, WARMING)
    return None if not startup or warming is None else 100 * warming / startup


def _stage(row: Row, name: str) -> float | None:
    return (row["load_ms"] or {}).get(name)


def _heard(row: Row) -> Listening | None:
    arrivals = _arrivals(row)
    return listen(arrivals) if arrivals else None


def _arrivals(row: Row) -> tuple[Arrival, ...]:
    return tuple(Arrival(*delivery) for delivery in (row["details"] or {}).get("deliveries") or ())


def _first_byte_ms(row: Row) -> float | None:
    arrivals = _arrivals(row)
    return 1e3 * arrivals[0].at_s if arrivals else None


def _gap_max_ms(row: Row) -> float | None:
    listening = _heard(row)
    return None if listening is None else 1e3 * listening.gap_max_s


def _underrun_count(row: Row) -> tuple[int, float] | None:
    """Underruns and the seconds played: of all timed streams, or in blocks from before these were counted, of the
    last."""
    figures = _figures(row)
    if "streamed_s" in figures:
        return int(figures["underruns"]), float(figures["streamed_s"])
    listening = _heard(row)
    played = sum(delivery.duration_s for delivery in _arrivals(row))
    return None if listening is None or not played else (listening.underruns, played)


def _underruns(row: Row) -> float | None:
    counted = _underrun_count(row)
    return None if counted is None or not counted[1] else counted[0] * TEN_MINUTES_S / counted[1]


def _figures(row: Row) -> Mapping[str, float]:
    return (row["details"] or {}).get("figures") or {}


def _hit_count(cache: str) -> Callable[[Row], tuple[int, int] | None]:
    """Hits and look-ups of a cache during the timed calls, as the engine counted them; None where it is off."""

    def count(row: Row) -> tuple[int, int] | None:
        figures = _figures(row)
        lookups = int(figures.get(f"{cache}_lookups", 0))
        return (int(figures[f"{cache}_hits"]), lookups) if lookups else None

    return count


def _share(count: Callable[[Row], tuple[int, int] | None], row: Row) -> float | None:
    counted = count(row)
    return None if counted is None else 100.0 * counted[0] / counted[1]


def _call_period_ms(row: Row) -> float | None:
    load = (row["details"] or {}).get("load")
    return 1e3 / load["throughput_hz"] if load and load["throughput_hz"] else None


DERIVED: Mapping[str, Callable[[Row], float | None]] = {
    "startup_ms": _startup_ms,
    "warming_ms": lambda row: _stage(row, WARMING),
    "warming_share": _warming_share,
    "first_call_ms": lambda row: _stage(row, FIRST_CALL),
    "first_byte_ms": _first_byte_ms,
    "gap_max_ms": _gap_max_ms,
    "underruns": _underruns,
    "call_period_ms": _call_period_ms,
    "session_ms": lambda row: _figures(row).get("session_ms"),
    "rss_peak_mb": lambda row: row["rss_peak_mb"],
}
"""Metric -> its value from a row of `cells`; None where the block did not record it."""

OF_THE_PROCESS = frozenset(
    {
        "startup_ms",
        "warming_ms",
        "warming_share",
        "first_call_ms",
        "rss_mb",
        "rss_peak_mb",
        "rss_step_mb",
        "rss_reach_mb",
    }
)
"""Metrics of a process as a whole: where several cells shared it, they are those of none of them."""

EVENTS: Mapping[str, tuple[Callable[[Row], tuple[int, float] | None], float]] = {
    "underruns": (_underrun_count, TEN_MINUTES_S),
}
"""Metric -> the events of a block with the seconds in which they could happen, and the seconds of its unit."""

SHARES: Mapping[str, Callable[[Row], tuple[int, int] | None]] = {
    f"{cache}_hit_share": _hit_count(cache) for cache in CACHES
}
"""Metric (in %) -> hits and look-ups of a block, by the counters of the engine's cache."""

SOAK: Mapping[str, Callable[[pd.Series[Any]], float]] = {
    "rss_step_mb": lambda memory: float(memory.diff().abs().median()),
    "rss_reach_mb": lambda memory: float((memory - memory.median()).abs().max()),
}
"""Metric -> its value from the resident memory after each call of a block under load."""

SOUND: Mapping[str, Callable[[np.ndarray[Any, np.dtype[np.float32]]], float | None]] = {
    "lufs": integrated_lufs,
    "true_peak_dbtp": true_peak_dbtp,
}
"""Metric -> its value from the stored audio of a block."""


def derived(metric: str, cells: pd.DataFrame, samples: pd.DataFrame, audio_of: AudioOf) -> list[float | None]:
    """One value per row of `cells`, None where there is none.

    Raises KeyError for a metric that this module does not compute.
    """
    rows: list[Any] = cells.to_dict("records")
    if metric in DERIVED:
        return [_number(DERIVED[metric](row)) for row in rows]
    if metric in SHARES:
        return [_number(_share(SHARES[metric], row)) for row in rows]
    if metric in SOAK:
        memory = {key: group["rss_mb"] for key, group in samples.groupby(["cell_id", "block"], sort=False)}
        return [_soaked(metric, row, memory.get((row["cell_id"], row["block"]))) for row in rows]
    sound = SOUND[metric]
    listening = [audio_of(row["audio_path"]) if row["audio_path"] else None for row in rows]
    return [None if samples_ is None else _number(sound(samples_)) for samples_ in listening]


def stored_audio(run_dir: Path) -> AudioOf:
    """Reads float32[S] as the worker stored it; None when the file is missing or damaged."""

    def read(path: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        try:
            return read_saved(run_dir / path)
        except AudioError:
            return None

    return read


def _soaked(metric: str, row: Row, memory: pd.Series[Any] | None) -> float | None:
    under_load = bool((row["details"] or {}).get("load"))
    return SOAK[metric](memory) if under_load and memory is not None and len(memory) > 1 else None


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
