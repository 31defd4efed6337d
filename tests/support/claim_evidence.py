"""Made-up evidence for any claim, from the claim's own filters: blocks whose metric has given values."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from report_blocks import block, evidence_of

from kokoro_lab.audio.loudness import integrated_lufs
from kokoro_lab.measure.records.cell import Block, Cell, LoadReading, ModelReading
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.sweeps.preset_texts import preset_text

TONE = (0.1 * np.sin(2 * np.pi * 997 * np.arange(48_000) / 24_000)).astype(np.float32)
TONE_LUFS = integrated_lufs(TONE) or 0.0
SOAK_S = 1200.0


def cells_of(filters: dict[str, Any]) -> list[Cell]:
    """The cells that a filter names; of lists, all combinations."""
    names = list(filters)
    levels = [level if isinstance(level, list) else [level] for level in filters.values()]
    return [_cell(dict(zip(names, chosen, strict=True))) for chosen in itertools.product(*levels)]


def _cell(levels: dict[str, Any]) -> Cell:
    levels = dict(levels)
    preset, recipe = levels.pop("text_preset"), levels.pop("recipe", "")
    pairs = {name: tuple(levels.pop(name, {}).items()) for name in ("engine_settings", "provider_options")}
    load = {"rate_hz": 1.0, "load_s": SOAK_S} if levels.get("arrivals") == "poisson" else {}
    model = "stand-in" + (f"-{recipe}" if recipe else "")
    return Cell(model=model, text=preset_text(preset), text_preset=preset, **pairs, **load, **levels)


def with_value(of: Cell, number: int, metric: str, value: float, folder: Path, *, calls: int = 1) -> Block:
    """One block of a cell in which the metric is `value`, in the metric's own unit."""
    speech_s = 0.065 * len(of.text)
    times = {"total_ms": value, "ttfa_ms": value, "infer_ms": value / 0.95, "rtf": value * 1000 * speech_s}
    total = times.get(metric, 100.0)
    made = block(of, number, (total,) * calls, digest=f"{of.id}")
    result = made.result
    changes: dict[str, Any] = {"model": ModelReading(of.model, "ab" * 32, "stand-in", "full", "fp32")}
    repeats = result.repeats
    if metric in ("rss_mb", "rss_peak_mb"):
        repeats = tuple(dataclasses.replace(repeat, rss_mb=value) for repeat in repeats)
        changes["rss_peak_mb"] = value
    elif metric in ("rss_step_mb", "rss_reach_mb"):
        levels = [500.0, 500.0 + value] * 2 if metric == "rss_step_mb" else [500.0, 500.0, 500.0, 500.0 + value]
        repeats = tuple(dataclasses.replace(result.repeats[0], repeat=at, rss_mb=rss) for at, rss in enumerate(levels))
    elif metric in ("startup_ms", "warming_ms", "first_call_ms"):
        stage = {"startup_ms": "import", "warming_ms": "warmup", "first_call_ms": "first_call"}[metric]
        changes["load_ms"] = {stage: value}
    elif metric == "warming_share":
        changes["load_ms"] = {"import": 100.0 - value, "warmup": value}
    elif metric in ("first_byte_ms", "gap_max_ms"):
        changes["deliveries"] = ((value / 1000, 1.0, 0.0),)
    elif metric == "session_ms":
        changes["figures"] = {"session_ms": value}
    elif metric.endswith("_hit_share"):
        cache = metric.removesuffix("_hit_share")
        changes["figures"] = {f"{cache}_hits": round(value), f"{cache}_lookups": 100}
    elif metric == "underruns":
        changes["figures"] = {"underruns": round(value), "streamed_s": 600.0}
    elif metric in ("lufs", "true_peak_dbtp"):
        made = dataclasses.replace(made, audio_path=_sound(folder, of, number, metric, value))
    if of.arrivals:
        count = len(repeats)
        throughput = 1000 / value if metric == "call_period_ms" else 1.0
        due = tuple(float(at) * SOAK_S / max(1, count) for at in range(count))
        changes["load"] = LoadReading(count, 0, "", throughput, due, (0.0,) * count)
    return dataclasses.replace(made, result=dataclasses.replace(result, repeats=repeats, **changes))


def _sound(folder: Path, of: Cell, number: int, metric: str, value: float) -> str:
    level = TONE_LUFS if metric == "lufs" else -20.0
    name = f"{of.id}-{number}.npy"
    np.save(folder / name, (TONE * 10 ** ((value - level) / 20)).astype(np.float32))
    return name


Sides = Sequence[tuple[dict[str, Any], Sequence[float]]]
"""Filters, and the values of the metric in each block of their cells."""


def evidence_for(claim: Claim, sides: Sides, folder: Path, *, calls: int = 1) -> Evidence:
    """A run whose cells have the given values of the claim's metric, block by block."""
    blocks = [
        with_value(of, number, claim.metric, value, folder, calls=calls)
        for filters, values in sides
        for of in cells_of(filters)
        for number, value in enumerate(values)
    ]
    return evidence_of(blocks, notebook=claim.resolve.notebook, run_dir=folder)
