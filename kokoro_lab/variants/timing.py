"""Variants against the file that they replace, by the instrument: interleaved fresh processes, gated and judged.

The texts have 16, 50, 150 and 400 tokens (data/calibration.json, `bench`), one model call each. The base runs as plain
onnxruntime runs a file, its memory patterns on; candidates run in our engine's settings. Audio is gated against a
reference of its own when one is named: an export of upstream's draws another noise than our graphs do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kokoro_lab.errors import SettingError
from kokoro_lab.measure.records.cell import Block, Cell, Scalar
from kokoro_lab.measure.records.readings import GateVerdict
from kokoro_lab.measure.statistics.comparison import BlockValue, compare, pair_up
from kokoro_lab.measure.statistics.same_bytes import values_by_cell
from kokoro_lab.measure.statistics.verdicts import worst_gate
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.cell_job import CellJob, measure_cells
from kokoro_lab.sweeps.job import PlannedCell
from kokoro_lab.sweeps.progress import Listener
from kokoro_lab.units import LONGEST_S
from kokoro_lab.variants.probes import calibration

__all__ = [
    "CALLS",
    "OURS",
    "PLAIN",
    "THREADS",
    "Bounds",
    "Row",
    "Settings",
    "Timing",
    "bench",
    "bench_texts",
    "timed_cell",
]

THREADS = 2
CALLS = {16: (4, 3), 50: (3, 3), 150: (2, 2), 400: (2, 1)}
"""Tokens -> timed calls and most warm-up calls of a block: a block of 400 tokens should not take a minute."""
Settings = tuple[tuple[str, Scalar], ...]
PLAIN: Settings = (("arena_shrink", False), ("memory_pattern", True), ("memory_reuse", True))
"""What onnxruntime does with a file when nothing is set, and our engine does not."""
OURS: Settings = (("preoptimized", True),)
"""Candidates are opened as our engine opens them: by their pre-optimised file where `models optimize` made one."""

ALL = tuple(CALLS)

Bounds = Callable[[Sequence[float]], tuple[float | None, float | None]]
"""Ends of an interval from the values of pairs; None where there are too few."""


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
    gate: GateVerdict
    """The worst of the blocks, of the audio against the reference."""
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
class Timing:
    """How much is measured, and where it is stored."""

    results: Results
    run_id: str
    """A run that is there is continued: only what is missing is measured."""
    tokens: Sequence[int] = ALL
    blocks: int = 6
    """Fresh processes a model and length."""
    budget_s: float | None = None
    """Seconds of this call."""


def bench_texts() -> dict[int, str]:
    """Tokens -> text."""
    return {entry.tokens: entry.text for entry in calibration().bench}


def timed_cell(model: str, tokens: int, settings: Settings = OURS, *, threads: int = THREADS, **factors: Any) -> Cell:
    """The cell that speaks the text of `tokens` tokens. Raises SettingError for a length without a text."""
    texts = bench_texts()
    if tokens not in texts:
        raise SettingError(f"there are texts of {', '.join(map(str, texts))} tokens; got {tokens}")
    repeats, warmup_cap = CALLS[tokens]
    return Cell(
        model=model,
        text=texts[tokens],
        text_preset=f"{tokens}-tokens",
        intra_op_threads=threads,
        repeats=repeats,
        warmup_cap=warmup_cap,
        engine_settings=settings,
        **factors,
    )


def bench(
    base: str,
    candidates: Sequence[str],
    timing: Timing,
    *,
    base_settings: Settings = OURS,
    bounds: Bounds | None = None,
    listener: Listener | None = None,
) -> list[Row]:
    """Measure `candidates` against `base` (names or paths), whose audio is the reference; a row each and length.

    bounds: gives the interval of a speed's logarithm from those of its pairs, in place of the interval of `compare`.
    Raises SettingError for a length without a text, and the errors of `sweeps.cell_job.measure_cells`.
    """
    cells = {
        (model, length): timed_cell(model, length, base_settings if model == base else OURS, reference=model == base)
        for length in timing.tokens
        for model in dict.fromkeys((base, *candidates))
    }
    job = CellJob(
        run_id=timing.run_id,
        notebook="variants",
        plan="variants",
        cells=tuple(PlannedCell(cell, timing.blocks) for cell in cells.values()),
        budget_s=LONGEST_S if timing.budget_s is None else timing.budget_s,
        retries=0,
        results=timing.results.root,
    )
    blocks = measure_cells(job, listener)
    values = values_by_cell(blocks)
    by_cell: dict[Cell, _Side] = {
        cell: _Side([block for block in blocks if block.cell == cell], values.get(cell, [])) for cell in cells.values()
    }
    return [
        _row(model, length, by_cell[cells[base, length]], by_cell[cells[model, length]], bounds)
        for model in dict.fromkeys(candidates)
        for length in timing.tokens
    ]


@dataclass(frozen=True)
class _Side:
    """The blocks of one cell, with the values of those that have one."""

    blocks: Sequence[Block]
    values: Sequence[BlockValue]


def _row(model: str, tokens: int, base: _Side, candidate: _Side, bounds: Bounds | None) -> Row:
    """A busy machine contaminates blocks; their pairs still count here, because both sides ran in turn."""
    pairing = pair_up(base.values, candidate.values, use_contaminated=True)
    comparison = compare(pairing)
    low, high, verdict = _inverse(comparison.high), _inverse(comparison.low), str(comparison.verdict)
    if bounds is not None:
        low, high = (
            None if end is None else math.exp(end) for end in bounds([-pair.log_ratio for pair in pairing.pairs])
        )
        verdict = _verdict(low, high)
    return Row(
        model,
        tokens,
        _inverse(comparison.ratio),
        low,
        high,
        verdict,
        worst_gate(candidate.blocks),
        comparison.pairs,
        _over(_median(candidate.blocks, _memory), _median(base.blocks, _memory)),
        _median(candidate.blocks, _memory),
        _over(_median(candidate.blocks, _load), _median(base.blocks, _load)),
        _median(candidate.blocks, _load),
    )


def _verdict(low: float | None, high: float | None) -> str:
    """What the interval of a speed says."""
    if low is not None and low > 1.0:
        return "faster"
    return "slower" if high is not None and high < 1.0 else "inconclusive"


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
