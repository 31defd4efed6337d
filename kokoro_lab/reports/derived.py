"""Figures with one value a block that are worked out from what the block recorded: deliveries, load, stages, audio."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.measure.listener import Arrival, Listening, listen

__all__ = ["DERIVED", "SOAK", "SOUND", "AudioOf", "derived", "kept_audio"]

Row = Mapping[str, Any]
AudioOf = Callable[[str], "np.ndarray[Any, np.dtype[np.float32]] | None"]

TEN_MINUTES_S = 600.0
FIRST_CALL = "first_call"
"""The one stage of loading that comes after the engine is ready for its first text."""
WARMING = "warmup"
"""The stage of loading in which the calls of a warm-up are made."""


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
    heard = _heard(row)
    return None if heard is None else 1e3 * heard.gap_max_s


def _underruns(row: Row) -> float | None:
    heard = _heard(row)
    played = sum(delivery.duration_s for delivery in _arrivals(row))
    return None if heard is None or not played else heard.underruns * TEN_MINUTES_S / played


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
    "rss_peak_mb": lambda row: row["rss_peak_mb"],
}
"""Metric -> its value from a row of `cells`; None where the block recorded no such thing."""

SOAK: Mapping[str, Callable[[pd.Series[Any]], float]] = {
    "rss_step_mb": lambda memory: float(memory.diff().abs().median()),
    "rss_reach_mb": lambda memory: float((memory - memory.median()).abs().max()),
}
"""Metric -> its value from resident memory, call by call, of a block under load."""

SOUND: Mapping[str, Callable[[np.ndarray[Any, np.dtype[np.float32]]], float | None]] = {
    "lufs": integrated_lufs,
    "true_peak_dbtp": true_peak_dbtp,
}
"""Metric -> its value from the audio that was kept of a block."""


def derived(metric: str, cells: pd.DataFrame, samples: pd.DataFrame, audio_of: AudioOf) -> list[float | None]:
    """One value a row of `cells`, None where there is none.

    Raises KeyError for a metric that is worked out from nothing here.
    """
    rows: list[Any] = cells.to_dict("records")
    if metric in DERIVED:
        return [_number(DERIVED[metric](row)) for row in rows]
    if metric in SOAK:
        memory = {key: group["rss_mb"] for key, group in samples.groupby(["cell_id", "block"], sort=False)}
        return [_soaked(metric, row, memory.get((row["cell_id"], row["block"]))) for row in rows]
    sound = SOUND[metric]
    heard = [audio_of(row["audio_path"]) if row["audio_path"] else None for row in rows]
    return [None if samples_ is None else _number(sound(samples_)) for samples_ in heard]


def kept_audio(run_dir: Path) -> AudioOf:
    """Reads float32[S] as the worker kept it; None when the file is gone or is no such array."""

    def read(path: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
        try:
            samples = np.load(run_dir / path, allow_pickle=False)
        except (OSError, ValueError):
            return None
        return np.asarray(samples, dtype=np.float32).reshape(-1)

    return read


def _soaked(metric: str, row: Row, memory: pd.Series[Any] | None) -> float | None:
    under_load = bool((row["details"] or {}).get("load"))
    return SOAK[metric](memory) if under_load and memory is not None and len(memory) > 1 else None


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
