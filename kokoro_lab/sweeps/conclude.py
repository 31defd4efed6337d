"""What may be said when a job has been measured: its verdicts, A/A pairs, noise floors and placebos, as rows.

A row of table `verdicts` is one of four kinds, named in its details:

    cell     a cell against its counterpart: faster, slower, equivalent, inconclusive or invalid
    twin     an A/A pair: `sound` is false when noise was taken for an effect
    noise    the noise floor and the smallest detectable effect of one text; both cells are the same one
    placebo  two levels of a setting that came to the same effective digest

Rows are keyed by run, both cells and metric, and say by a digest which blocks they were made from: concluding again
from the same blocks changes nothing, and from more of them replaces what was said.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.noise import NoiseFloor, blocks_needed
from kokoro_lab.measure.placebo import Placebo, placebos
from kokoro_lab.measure.statistics import MARGIN, Comparison
from kokoro_lab.measure.verdicts import RunVerdicts, counterparts, judge_run
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks

__all__ = ["FIGURES", "conclude", "verdict_rows"]

FIGURES = ("total_ms", "ttfa_ms", "rtf")
"""What a run is judged by. Each is a table of its own: verdicts are corrected for the comparisons of one figure."""

EFFECT = 0.05
"""What the blocks that are still needed are said for: the effect that a plan of five minutes is to find."""

SETTINGS = "settings"
"""The metric of a placebo: what the session took up, not a time."""


def conclude(store: Store, run_id: str, cells: Iterable[str]) -> int:
    """Judge the kept blocks of these cells of a run and keep the verdicts; returns how many rows were written."""
    return store.keep_verdicts(run_id, verdict_rows(run_id, stored_blocks(store, run_id, cells)))


def verdict_rows(run_id: str, blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """The rows of table `verdicts` that these blocks of one run support; none without a completed call."""
    if not any(block.result.repeats for block in blocks):
        return []
    shared = {"run_id": run_id, "made_at": datetime.datetime.now(datetime.UTC), "minimum_effect": MARGIN}
    evidence = _evidence(blocks)
    rows: list[dict[str, Any]] = []
    for figure in FIGURES:
        rows += _figure_rows(judge_run(blocks, figure), [block.cell for block in blocks])
    rows += [_placebo_row(found) for found in placebos(blocks)]
    return [{**shared, **row, "details": {**row["details"], "evidence": evidence}} for row in rows]


def _figure_rows(judged: RunVerdicts, cells: Sequence[Cell]) -> Iterable[dict[str, Any]]:
    for item in judged.cells:
        yield _comparison_row(judged.figure, item.base, item.cell, item.comparison, {"kind": "cell", "gate": item.gate})
    for twin in judged.twins:
        base = counterparts(cells)[twin.cell]
        yield _comparison_row(judged.figure, base, twin.cell, twin.comparison, {"kind": "twin", "sound": twin.sound})
    for text, floor in judged.noise.items():
        measured = sorted({cell for cell in cells if _noise_label(cell) == text}, key=lambda c: (not c.reference, c.id))
        yield _noise_row(judged.figure, measured[0], text, floor)


def _comparison_row(
    figure: str, base: Cell, candidate: Cell, found: Comparison, details: dict[str, Any]
) -> dict[str, Any]:
    return {
        "base_cell": base.id,
        "candidate_cell": candidate.id,
        "metric": figure,
        "verdict": found.verdict,
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "p_value": found.p,
        "margin": found.margin,
        "pairs": found.pairs,
        "reason": found.reason,
        "details": {
            **details,
            "confidence": found.confidence,
            "p_equivalence": found.p_equivalence,
            "superiority": found.superiority,
            "comparisons": found.comparisons,
            "left_out": found.left_out,
            "by_text": found.by_text,
        },
    }


def _noise_row(figure: str, cell: Cell, text: str, floor: NoiseFloor) -> dict[str, Any]:
    shares = {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(floor).items()}
    known = shares["floor"] is not None
    seen = shares["detectable"]
    needed = blocks_needed(floor.sd, EFFECT) if known else None
    return {
        "base_cell": cell.id,
        "candidate_cell": cell.id,
        "metric": figure,
        "verdict": "noise",
        "margin": MARGIN,
        "pairs": floor.pairs,
        "reason": (
            f"{text}: chance alone looks like {floor.floor:.1%}; "
            + (f"an effect of {seen:.1%} would be found" if seen is not None else "too few blocks to find any effect")
            + (f"; {needed} blocks a cell find one of {EFFECT:.0%}." if needed is not None else ".")
            if known
            else f"{text}: no cell has two undisturbed blocks, so its noise is unknown."
        ),
        "details": {"kind": "noise", "text": text, "blocks_needed": needed, **shares},
    }


def _placebo_row(found: Placebo) -> dict[str, Any]:
    here, there = found.levels
    return {
        "base_cell": found.cells[0],
        "candidate_cell": found.cells[1],
        "metric": SETTINGS,
        "verdict": "placebo",
        "margin": MARGIN,
        "pairs": 0,
        "reason": f"{found.factor} at {here} and at {there} came to the same settings and the same graph.",
        "details": {"kind": "placebo", "factor": found.factor, "levels": [here, there], "digest": found.digest},
    }


def _noise_label(cell: Cell) -> str:
    """The name that `judge_run` gives the noise of this cell's text and state."""
    return (cell.text_preset or cell.text) + ("" if cell.state == "warm" else f", {cell.state}")


def _evidence(blocks: Sequence[Block]) -> str:
    """A digest of which blocks the verdicts rest on."""
    keys = sorted(block.key for block in blocks)
    return hashlib.sha256(repr(keys).encode()).hexdigest()[:16]
