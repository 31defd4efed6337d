"""Variants against the file that they replace, by the instrument: interleaved fresh processes, gated and judged.

The texts have 16, 50, 150 and 400 tokens (data/calibration.json, `bench`), one model call each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kokoro_lab.errors import SettingError
from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.sampling import Event, sample
from kokoro_lab.measure.statistics import block_value, compare, pair_up
from kokoro_lab.paths import data_folder

__all__ = ["Row", "bench", "bench_texts"]

THREADS = 2


@dataclass(frozen=True)
class Row:
    """One variant at one length."""

    model: str
    tokens: int
    speed: float | None
    """How many times as fast as the base; None without a pair."""
    low: float | None
    high: float | None
    """Ends of the interval of `speed`; None when there are too few pairs for one."""
    verdict: str
    gate: str
    """Of the audio against the base: equivalent, close or different."""
    pairs: int
    memory: float | None
    """Peak memory over the base's."""
    load: float | None
    """Time of loading over the base's."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def bench_texts() -> dict[int, str]:
    """Tokens -> text."""
    entries = json.loads((data_folder() / "calibration.json").read_text(encoding="utf-8"))["bench"]
    return {int(entry["tokens"]): str(entry["text"]) for entry in entries}


def bench(
    base: str,
    candidates: Sequence[str],
    folder: Path,
    *,
    tokens: Sequence[int] = (16, 50, 150, 400),
    blocks: int = 4,
    repeats: int = 3,
    seed: int = 0,
    budget_s: float | None = None,
    notice: Callable[[str], None] | None = None,
) -> list[Row]:
    """Measure `candidates` against `base` (names or paths); audio and blocks are kept in `folder`.

    Raises SettingError for a length without a text, and the errors of `measure.sampling.sample`.
    """
    texts = bench_texts()
    unknown = sorted(set(tokens) - set(texts))
    if unknown:
        raise SettingError(f"there are texts of {', '.join(map(str, texts))} tokens; got {unknown}")
    cells = {
        (model, length): Cell(
            model=model,
            text=texts[length],
            intra_op_threads=THREADS,
            repeats=repeats,
            warmup_cap=4,
            reference=model == base,
        )
        for length in tokens
        for model in dict.fromkeys((base, *candidates))
    }

    def on_event(event: Event) -> None:
        if notice is not None and event.kind == "finished":
            notice(event.message)

    found: dict[str, list[Block]] = {}
    for block in sample(
        list(cells.values()), blocks=blocks, seed=seed, run_dir=folder, budget_s=budget_s, retries=0, on_event=on_event
    ):
        found.setdefault(block.cell.id, []).append(block)
    return [
        _row(model, length, found.get(cells[base, length].id, []), found.get(cells[model, length].id, []))
        for model in dict.fromkeys(candidates)
        for length in tokens
    ]


def _row(model: str, tokens: int, base: Sequence[Block], candidate: Sequence[Block]) -> Row:
    """A busy machine contaminates blocks; their pairs still count here, because both sides ran in turn."""
    sides = [[value for block in blocks if (value := block_value(block))] for blocks in (base, candidate)]
    comparison = compare(pair_up(sides[0], sides[1], use_contaminated=True))
    gates = {block.gate.verdict for block in candidate if block.gate is not None}
    worst = next((each for each in ("different", "close", "equivalent") if each in gates), "unknown")
    return Row(
        model,
        tokens,
        _inverse(comparison.ratio),
        _inverse(comparison.high),
        _inverse(comparison.low),
        str(comparison.verdict),
        worst,
        comparison.pairs,
        _ratio(base, candidate, _memory),
        _ratio(base, candidate, _load),
    )


def _inverse(value: float | None) -> float | None:
    return None if not value else 1.0 / value


def _ratio(base: Sequence[Block], candidate: Sequence[Block], figure: Callable[[Block], float]) -> float | None:
    sides = [[figure(block) for block in blocks] for blocks in (base, candidate)]
    if not all(sides) or not np.median(sides[0]):
        return None
    return float(np.median(sides[1]) / np.median(sides[0]))


def _memory(block: Block) -> float:
    return block.result.rss_peak_mb or 0.0


def _load(block: Block) -> float:
    return block.result.load_ms.get("session", 0.0)
