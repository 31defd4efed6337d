"""The conclusions of a measured job: verdicts, A/A pairs, noise floors and settings without effect, as rows.

A row of table `verdicts` has one of four kinds, named in its details:

    cell     a cell compared with its counterpart: faster, slower, equivalent, inconclusive or invalid
    twin     an A/A pair: `sound` is false when noise was judged an effect
    noise    the noise floor and the smallest detectable effect of one text; both cells are the same
    placebo  a setting without effect: two of its levels have the same effective digest

Rows are keyed by run, both cells and metric, and have a digest over the digests of their blocks: concluding again from
the same blocks changes nothing, and concluding from other blocks replaces the rows. A comparison that other runs made
before says which attempt it is, and is judged at a lower level (see `statistics.reruns`).
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.comparison import MARGIN, Comparison
from kokoro_lab.measure.statistics.noise import NoiseFloor, blocks_needed
from kokoro_lab.measure.statistics.placebo import Placebo, placebos
from kokoro_lab.measure.statistics.reruns import attempt_alpha
from kokoro_lab.measure.statistics.verdicts import CellVerdict, RunVerdicts, counterparts, judge_run, noise_labels
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import blocks_of
from kokoro_lab.store.integrity.attempts import Pair, number_attempts
from kokoro_lab.store.integrity.verdict_states import basis_of

__all__ = ["FIGURES", "SETTINGS", "conclude", "verdict_rows"]

FIGURES = ("total_ms", "ttfa_ms", "rtf")
"""The figures that are judged. Each is a table of its own: verdicts are corrected for the comparisons of one figure."""

EFFECT = 0.05
"""The effect for which the needed blocks are given: a plan of five minutes should detect it."""

SETTINGS = "settings"
"""The metric of a setting without effect: the effective settings, not a time."""


def conclude(store: Store, run_id: str, cells: Iterable[str], looks: int = 1) -> int:
    """Judge the stored blocks of these cells of a run and store the verdicts; returns the number of rows written.

    looks: how often the run looks at its comparisons, as in `verdict_rows`.
    """
    wanted = set(cells)
    rows, samples = (store.rows(name, run_id=run_id) for name in ("cells", "samples"))
    blocks = blocks_of(store.decoded("cells", rows), store.decoded("samples", samples))
    blocks = [block for block in blocks if block.cell.id in wanted]
    if not any(block.result.repeats for block in blocks):
        return 0
    basis = basis_of(run_id, {block.cell.id for block in blocks}, rows, samples)
    pairs = [(base.id, cell.id) for cell, base in counterparts(block.cell for block in blocks).items()]
    attempts = number_attempts(store, run_id, pairs)
    return store.store_verdicts(run_id, verdict_rows(run_id, blocks, basis, attempts, looks))


def verdict_rows(
    run_id: str,
    blocks: Sequence[Block],
    basis: Mapping[str, Any] | None = None,
    attempts: Mapping[Pair, int] | None = None,
    looks: int = 1,
) -> list[dict[str, Any]]:
    """The rows of table `verdicts` that these blocks of one run support; none without a completed call.

    Args:
        run_id: the run.
        blocks: all its blocks of the cells that are judged together.
        basis: what the verdicts are drawn from, of `basis_of`; None for rows that are not stored.
        attempts: which attempt each comparison is; 1 for those that are not named.
        looks: how often the run looks at its comparisons, which share their level (`sweeps.looks`).
    """
    if not any(block.result.repeats for block in blocks):
        return []
    shared = {"run_id": run_id, "made_at": datetime.datetime.now(datetime.UTC), "minimum_effect": MARGIN}
    rows: list[dict[str, Any]] = []
    for figure in FIGURES:
        rows += _figure_rows(blocks, figure, attempts or {}, looks)
    rows += [_placebo_row(placebo) for placebo in placebos(blocks)]
    return [{**shared, **row, "details": {**row["details"], **(basis or {})}} for row in rows]


def _figure_rows(
    blocks: Sequence[Block], figure: str, attempts: Mapping[Pair, int], looks: int
) -> Iterable[dict[str, Any]]:
    numbers = {1, *attempts.values()}
    judged = {number: judge_run(blocks, figure, alpha=attempt_alpha(number) / looks) for number in numbers}
    first, cells = judged[1], [block.cell for block in blocks]
    for place, item in enumerate(first.cells):
        attempt = attempts.get((item.base.id, item.cell.id), 1)
        yield _cell_row(judged[attempt].cells[place], figure, attempt, looks)
    yield from _other_rows(first, cells)


def _cell_row(item: CellVerdict, figure: str, attempt: int, looks: int) -> dict[str, Any]:
    details = {"kind": "cell", "gate": item.gate, "attempt": attempt, **({"looks": looks} if looks > 1 else {})}
    row = _comparison_row(figure, item.base, item.cell, item.comparison, details)
    if attempt > 1:
        level = f"{attempt_alpha(attempt) / looks:.2%}"
        row["reason"] = f"Attempt {attempt} of this comparison, judged at a level of {level}: {row['reason']}"
    return row


def _other_rows(judged: RunVerdicts, cells: Sequence[Cell]) -> Iterable[dict[str, Any]]:
    for twin in judged.twins:
        base = counterparts(cells)[twin.cell]
        yield _comparison_row(judged.figure, base, twin.cell, twin.comparison, {"kind": "twin", "sound": twin.sound})
    labels = noise_labels(cells)
    for text, floor in judged.noise.items():
        measured = sorted({cell for cell in cells if labels[cell] == text}, key=lambda c: (not c.reference, c.id))
        yield _noise_row(judged.figure, measured[0], text, floor)


def _comparison_row(
    figure: str, base: Cell, candidate: Cell, comparison: Comparison, details: dict[str, Any]
) -> dict[str, Any]:
    return {
        "base_cell": base.id,
        "candidate_cell": candidate.id,
        "metric": figure,
        "verdict": comparison.verdict,
        "ratio": comparison.ratio,
        "ratio_low": comparison.low,
        "ratio_high": comparison.high,
        "p_value": comparison.p,
        "margin": comparison.margin,
        "pairs": comparison.pairs,
        "reason": comparison.reason,
        "details": {
            **details,
            "confidence": comparison.confidence,
            "p_equivalence": comparison.p_equivalence,
            "superiority": comparison.superiority,
            "comparisons": comparison.comparisons,
            "left_out": comparison.left_out,
            "by_text": comparison.by_text,
        },
    }


def _noise_row(figure: str, cell: Cell, text: str, floor: NoiseFloor) -> dict[str, Any]:
    shares = {name: value if math.isfinite(value) else None for name, value in dataclasses.asdict(floor).items()}
    known = shares["floor"] is not None
    smallest = shares["detectable"]
    needed = blocks_needed(floor.sd, EFFECT) if known else None
    return {
        "base_cell": cell.id,
        "candidate_cell": cell.id,
        "metric": figure,
        "verdict": "noise",
        "margin": MARGIN,
        "pairs": floor.pairs,
        "reason": (
            f"{text}: differences of {floor.floor:.1%} occur by chance; "
            + (
                f"smallest detectable effect {smallest:.1%}"
                if smallest is not None
                else "too few blocks to detect any effect"
            )
            + (f"; {needed} blocks per cell detect an effect of {EFFECT:.0%}." if needed is not None else ".")
            if known
            else f"{text}: no cell has two uncontaminated blocks, so its noise is unknown."
        ),
        "details": {"kind": "noise", "text": text, "blocks_needed": needed, **shares},
    }


def _placebo_row(placebo: Placebo) -> dict[str, Any]:
    here, there = placebo.levels
    return {
        "base_cell": placebo.cells[0],
        "candidate_cell": placebo.cells[1],
        "metric": SETTINGS,
        "verdict": "placebo",
        "margin": MARGIN,
        "pairs": 0,
        "reason": f"{placebo.factor} at {here} and at {there} has the same effective settings and graph.",
        "details": {"kind": "placebo", "factor": placebo.factor, "levels": [here, there], "digest": placebo.digest},
    }
