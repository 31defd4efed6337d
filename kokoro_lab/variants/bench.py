"""Variants against the file that they replace, by the instrument: interleaved fresh processes, gated and judged.

The texts have 16, 50, 150 and 400 tokens (data/calibration.json, `bench`), one model call each. The base runs as plain
onnxruntime runs a file, its memory patterns on; candidates run in our engine's settings. Audio is gated against a
reference of its own when one is named: an export of upstream's draws another noise than our graphs do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kokoro_lab.errors import SettingError
from kokoro_lab.measure.cell import Block, Cell, Scalar
from kokoro_lab.measure.sampling import Event, sample
from kokoro_lab.measure.statistics import block_value, compare, pair_up
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.records import read_record
from kokoro_lab.paths import data_folder

__all__ = ["BARS", "Bar", "Judgement", "Row", "bench", "bench_texts", "judgements", "recipe_of"]

THREADS = 2
CALLS = {16: (4, 3), 50: (3, 3), 150: (2, 2), 400: (2, 1)}
"""Tokens -> timed calls and most warm-up calls of a block: a block of 400 tokens should not take a minute."""
ALLOWANCE = 0.97  # of a bar on speed, which the lower end of the interval must reach
Settings = tuple[tuple[str, Scalar], ...]
PLAIN: Settings = (("arena_shrink", False), ("memory_pattern", True), ("memory_reuse", True))
"""What onnxruntime does with a file when nothing is set, and our engine does not."""
OURS: Settings = (("preoptimized", True),)
"""Candidates are opened as our engine opens them: by their pre-optimised file where `models optimize` made one."""

Figure = Literal["speed", "memory", "load"]
State = Literal["met", "missed", "undecided"]


@dataclass(frozen=True)
class Bar:
    """What a variant has to reach at some lengths."""

    figure: Figure
    bound: float
    """Least `speed`, or most `memory` or `load`."""
    tokens: tuple[int, ...]


ALL = tuple(CALLS)
BARS: Mapping[str, tuple[Bar, ...]] = {
    "optimized": (Bar("speed", 1.0, (16, 400)), Bar("speed", 1.05, (50, 150)), Bar("load", 0.7, ALL)),
    "int8": (Bar("speed", 1.8, (16,)), Bar("speed", 2.1, (150, 400)), Bar("memory", 0.7, ALL)),
}
"""Recipe -> bars against the file that upstream's exporter makes with the same weights."""


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
    """Of the audio against the reference: equivalent, close or different."""
    pairs: int
    memory: float | None
    """Peak memory over the base's."""
    peak_mb: float | None
    """Median peak of the processes, megabytes (10^6 bytes)."""
    load: float | None
    """Time of creating the session over the base's."""
    load_ms: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Judgement:
    """A bar held against what was measured."""

    model: str
    figure: Figure
    tokens: int
    bound: float
    found: float | None
    state: State
    """`undecided` without a figure, without an interval, or when the audio is different."""

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
    reference: str = "",
    tokens: Sequence[int] = ALL,
    blocks: int = 6,
    seed: int = 0,
    budget_s: float | None = None,
    base_settings: Settings = PLAIN,
    notice: Callable[[str], None] | None = None,
) -> list[Row]:
    """Measure `candidates` against `base` (names or paths), `blocks` fresh processes each and length.

    reference: the model whose audio the others are gated against, spoken once a length; the base when it is empty.
    Audio and finished blocks are kept in `folder`: called again with it, only what is missing is measured.
    Raises SettingError for a length without a text, and the errors of `measure.sampling.sample`.
    """
    texts = bench_texts()
    unknown = sorted(set(tokens) - set(texts))
    if unknown:
        raise SettingError(f"there are texts of {', '.join(map(str, texts))} tokens; got {unknown}")
    reference = reference or base
    cells = {
        (model, length): Cell(
            model=model,
            text=texts[length],
            intra_op_threads=THREADS,
            repeats=CALLS[length][0],
            warmup_cap=CALLS[length][1],
            engine_settings=base_settings if model == base else OURS,
            reference=model == reference,
        )
        for length in tokens
        for model in dict.fromkeys((base, reference, *candidates))
    }
    counted = {base, *candidates}
    wanted = {cell.id: blocks if model in counted else 1 for (model, _), cell in cells.items()}
    kept = folder / "blocks.jsonl"
    found = _kept(kept, set(wanted))

    def on_event(event: Event) -> None:
        if notice is not None and event.kind in ("finished", "budget"):
            what = f"{event.cell.model}, {len(event.cell.text)} characters: " if event.cell else ""
            notice(f"{event.done} of {event.total} blocks; {what}{event.message}")

    folder.mkdir(parents=True, exist_ok=True)
    measuring = sample(
        list(cells.values()),
        blocks=wanted,
        seed=seed,
        run_dir=folder,
        done={block.key for block in found},
        budget_s=budget_s,
        retries=0,
        on_event=on_event,
    )
    for block in measuring:
        found.append(block)
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(block.as_dict()) + "\n")
    by_cell: dict[str, list[Block]] = {}
    for block in found:
        by_cell.setdefault(block.cell.id, []).append(block)
    return [
        _row(model, length, by_cell.get(cells[base, length].id, []), by_cell.get(cells[model, length].id, []))
        for model in dict.fromkeys(candidates)
        for length in tokens
    ]


def recipe_of(model: str) -> str:
    """The recipe that the installed model `model` was made by; empty when it has none."""
    recipe = (read_record(resolve(model).path) or {}).get("recipe") or {}
    return str(recipe.get("name", ""))


def judgements(rows: Sequence[Row], recipes: Mapping[str, str]) -> list[Judgement]:
    """The bars of each row's recipe (model -> recipe) against what was measured."""
    return [
        Judgement(row.model, bar.figure, row.tokens, bar.bound, getattr(row, bar.figure), _state(row, bar))
        for row in rows
        for bar in BARS.get(recipes.get(row.model, ""), ())
        if row.tokens in bar.tokens
    ]


def _state(row: Row, bar: Bar) -> State:
    found = getattr(row, bar.figure)
    if found is None or row.gate == "different":
        return "undecided"
    if bar.figure != "speed":
        return "met" if found <= bar.bound else "missed"
    if found < bar.bound:
        return "missed"
    if row.low is None:
        return "undecided"
    return "met" if row.low >= ALLOWANCE * bar.bound else "undecided"


def _kept(path: Path, cells: set[str]) -> list[Block]:
    """The blocks of an earlier call that belong to these cells."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    blocks = [Block.from_dict(json.loads(line)) for line in lines]
    return [block for block in blocks if block.cell.id in cells]


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
        _over(_median(candidate, _memory), _median(base, _memory)),
        _median(candidate, _memory),
        _over(_median(candidate, _load), _median(base, _load)),
        _median(candidate, _load),
    )


def _inverse(value: float | None) -> float | None:
    return None if not value else 1.0 / value


def _over(candidate: float | None, base: float | None) -> float | None:
    return None if candidate is None or not base else candidate / base


def _median(blocks: Sequence[Block], figure: Callable[[Block], float | None]) -> float | None:
    values = [value for block in blocks if (value := figure(block)) is not None]
    return float(np.median(values)) if values else None


def _memory(block: Block) -> float | None:
    return block.result.rss_peak_mb


def _load(block: Block) -> float | None:
    return block.result.load_ms.get("session")
