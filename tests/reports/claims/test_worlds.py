"""Every claim can be met, missed and left open: made-up rows of its own cell bring about each state of the world."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from claim_evidence import cells_of, evidence_for, with_value
from report_blocks import block, cell, evidence_of

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.selection import blocks_for
from kokoro_lab.reports.claims.claims import Claim, load_claims
from kokoro_lab.reports.claims.resolution import resolve
from kokoro_lab.reports.rows.evidence import Evidence

CLAIMS = load_claims().claims
MEASURED = [claim for claim in CLAIMS if claim.resolve.rows is not None or claim.resolve.compare is not None]
BLOCKS, TAIL_BLOCKS, TAIL_CALLS, CHOICES = 6, 80, 2, 7
WORLDS = ("met", "missed", "inconclusive")


def world(claim: Claim, wanted: str, folder: Path) -> Evidence:
    """Rows in which the truth is clearly on one side of the claim, or the blocks lie on both sides of it."""
    if claim.metric in SPECIAL:
        return SPECIAL[claim.metric](claim, wanted)
    tail = claim.statistic == "p95"
    good, bad = _sides_of_the_bar(claim)
    blocks = blocks_for(CHOICES) + 1 if claim.choices else BLOCKS
    values = {"met": [good] * blocks, "missed": [bad] * blocks, "inconclusive": [good, bad]}[wanted]
    if tail:
        values = values[:1] * TAIL_BLOCKS if wanted != "inconclusive" else values[:2]
    calls = TAIL_CALLS if tail else 1
    between = claim.resolve.compare
    if between is None:
        return evidence_for(claim, [(claim.resolve.rows or {}, values)], folder, calls=calls)
    base = [100.0] * len(values)
    return evidence_for(
        claim, [(between.baseline, base), (between.candidate, [100.0 * value for value in values])], folder, calls=calls
    )


def _sides_of_the_bar(claim: Claim) -> tuple[float, float]:
    """A value that meets the claim and one that misses it; of a comparison, ratios of candidate to baseline."""
    if claim.kind == "state":
        return 0.5, 1.5
    if claim.resolve.compare is not None:
        target = claim.target
        ratio = {"% less": 1 - target / 100, "% more": 1 / (1 + target / 100), "times": 1 / target}[claim.unit]
        return 0.7 * ratio, 1.4 * ratio
    if isinstance(claim.value, list) and claim.direction == "between":
        return sum(claim.value) / 2, claim.value[1] + 3
    if claim.metric.endswith("_hit_share"):
        return min(99.0, claim.target + 30), max(0.0, claim.target - 30)
    return (claim.target - 3, claim.target + 3) if claim.target < 0 else (0.5 * claim.target, 1.5 * claim.target)


def _failing(claim: Claim, wanted: str) -> Evidence:
    calls = {"met": 1000, "missed": 1000, "inconclusive": 20}[wanted]
    blocks: list[Block] = [block(cell(), 0, (100.0,) * calls)]
    if wanted == "missed":
        blocks += [block(cell(), 1 + at, status="error", error="it broke") for at in range(60)]
    return evidence_of(blocks, notebook=claim.resolve.notebook)


def _drifting(claim: Claim, wanted: str) -> Evidence:
    (of,) = cells_of(claim.resolve.rows or {})
    slope = {"met": 0.0, "missed": 0.5, "inconclusive": 0.05}[wanted]
    noise = np.random.default_rng(1).normal(0, 0.2 if wanted == "inconclusive" else 0.01, 300)
    made = with_value(of, 0, "total_ms", 100.0, Path(), calls=300)
    rtf = [1.0 + slope * at / 300 + error for at, error in enumerate(noise)]
    repeats = tuple(
        dataclasses.replace(repeat, rtf=value) for repeat, value in zip(made.result.repeats, rtf, strict=True)
    )
    made = dataclasses.replace(made, result=dataclasses.replace(made.result, repeats=repeats))
    return evidence_of([made], notebook=claim.resolve.notebook)


def _gaps(claim: Claim, wanted: str) -> Evidence:
    (of,) = cells_of(claim.resolve.rows or {})
    blocks, events = {"met": (6, 0.0), "missed": (6, 10.0), "inconclusive": (1, 0.0)}[wanted]
    made = [with_value(of, number, "underruns", events, Path()) for number in range(blocks)]
    return evidence_of(made, notebook=claim.resolve.notebook)


SPECIAL: dict[str, Callable[[Claim, str], Evidence]] = {
    "error_share": _failing,
    "drift": _drifting,
    "underruns": _gaps,
}


@pytest.mark.parametrize("claim", MEASURED, ids=lambda claim: claim.id)
def test_every_state_of_the_world_is_reachable(claim: Claim, tmp_path: Path) -> None:
    for wanted in WORLDS:
        if claim.metric.endswith("_hit_share") and wanted == "inconclusive":
            evidence = evidence_for(claim, [(claim.resolve.rows or {}, [round(claim.target)] * 2)], tmp_path)
        else:
            evidence = world(claim, wanted, tmp_path)
        found = resolve(claim, evidence)
        assert found.verdict == wanted, (wanted, found.verdict, found.reason, found.measured, found.gap)
