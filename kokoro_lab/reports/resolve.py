"""What the rows of a run say about a claim: its verdict, the measured interval and the gap to what was stated.

A claim about rows is held against the best cell that may be ranked: of the blocks that match it, those of the full
architecture, undisturbed, whose audio is equivalent. Of what a claim does not name, the engine's default counts. The
gap is a ratio, measured over stated: 1 is on the bar, above 1 falls short of it by that factor. `met` and `missed` need
the whole interval on one side of the bar.

A stream cuts its text elsewhere than one piece does, so its audio is not that of the reference and is never ranked;
when its sound arrives is measured all the same: a claim about a stream is held against its undisturbed blocks.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kokoro_lab.measure.drift import drift
from kokoro_lab.measure.percentiles import percentile
from kokoro_lab.reports.claims import NOT_MEASURABLE, Claim, Claims
from kokoro_lab.reports.evidence import Evidence, chosen
from kokoro_lab.reports.facts import FACTS
from kokoro_lab.reports.gains import compared
from kokoro_lab.reports.intervals import (
    CONFIDENCE,
    Interval,
    by_block,
    failure_bound,
    failure_tail,
    interval,
)
from kokoro_lab.reports.judging import (
    UNGATED,
    VERDICTS,
    Resolution,
    Verdict,
    best_cell,
    full_size,
    judge,
    missing,
    usable,
    why_unranked,
)
from kokoro_lab.reports.replay import replay

__all__ = ["VERDICTS", "Resolution", "Verdict", "resolve", "resolve_all"]

CUT_ELSEWHERE = "its text is cut elsewhere than in one piece, so its audio is not ranked"
FEWEST_CALLS = 2
SOAK_S = 1200.0  # of calls, for which a drift is stated
LONG_ENOUGH = 0.9  # of them: the last call is due some time before the end


MEDIAN_BEYOND_P95 = 0.10
"""Highest chance of a block median beyond the true p95, however alike the repeats of a block are (Markov's inequality:
half of them are beyond, of 5 % on average)."""


def resolve_all(claims: Claims, evidence: Evidence) -> list[Resolution]:
    """Every claim, in the order of the file."""
    return [resolve(claim, evidence) for claim in claims.claims]


def resolve(claim: Claim, evidence: Evidence) -> Resolution:
    """Hold one claim against the rows of a run."""
    way = claim.resolve
    if way.not_measurable is not None:
        return Resolution(claim, "not measurable here", NOT_MEASURABLE[way.not_measurable])
    if evidence.tiny:
        return Resolution(claim, "not measured yet", "the tiny model ran, which shows nothing about speed")
    if way.fact is not None:
        return _fact(claim, way.fact)
    if way.replay is not None:
        return _replayed(claim, way.replay, evidence)
    if way.compare is not None:
        return compared(claim, way.compare, evidence)
    if claim.metric == "error_share":
        return _failures(claim, evidence)
    return _level(claim, way.rows or {}, evidence)


def _fact(claim: Claim, name: str) -> Resolution:
    value, words = FACTS[name]()
    measured = Interval(float(value), float(value), float(value), 0, 1)
    stated = 1.0 if isinstance(claim.value, str) else claim.bar
    verdict: Verdict = "met" if value == stated else "missed"
    return Resolution(claim, verdict, f"{value:g} {words}", measured if not isinstance(claim.value, str) else None)


def _replayed(claim: Claim, cache: str, evidence: Evidence) -> Resolution:
    found = replay(evidence, cache)
    if found is None:
        return missing(claim)
    gap = Interval(claim.bar / found.share.median, None, None, 0, found.share.values) if found.share.median else None
    if found.share.low is None or found.share.high is None:
        raise ValueError("a replay has both ends")
    if found.share.low >= claim.bar:
        return Resolution(claim, "met", found.words, found.share, gap, found.cell)
    if found.share.high < claim.bar:
        return Resolution(claim, "missed", found.words, found.share, gap, found.cell)
    return Resolution(claim, "inconclusive", f"up to the workload: {found.words}", found.share, gap, found.cell)


def _level(claim: Claim, filters: Mapping[str, Any], evidence: Evidence) -> Resolution:
    metric = "rtf" if claim.metric == "drift" else claim.metric
    rows = full_size(chosen(evidence.values(metric), filters))
    if rows.empty:
        return missing(claim)
    best = best_cell(usable(rows, claim.metric))
    if best is None:
        return Resolution(claim, "inconclusive", why_unranked(rows))
    label = str(best["label"].iloc[0])
    if claim.metric == "drift":
        return _drifting(claim, best, label)
    if claim.statistic == "p95":
        return _tail(claim, best, label)
    measured = interval(by_block(best))
    gap = measured.scaled(1 / claim.bar) if claim.bar > 0 else None
    found = dataclasses.replace(judge(claim, measured, gap, label), cell_id=str(best["cell_id"].iloc[0]))
    cut = set(best["ranked"]) != {"equivalent"} and claim.metric not in UNGATED
    return dataclasses.replace(found, reason=found.reason or CUT_ELSEWHERE) if cut else found


def _drifting(claim: Claim, rows: pd.DataFrame, label: str) -> Resolution:
    """The largest drift, up or down, that the interval of the slope allows, in percent over the load."""
    if rows["scheduled_s"].nunique() < FEWEST_CALLS:
        return Resolution(claim, "inconclusive", "too few calls for a drift", cell=label)
    found = drift(list(rows["scheduled_s"]), list(rows["value"]))
    span = f"over {rows['scheduled_s'].max():.0f} s"
    if found.share_low is None or found.share_high is None:
        measured = Interval(100 * found.share, None, None, 1, len(rows))
        return Resolution(claim, "inconclusive", f"{span}, too few calls for an interval", measured, cell=label)
    low, high = 100 * found.share_low, 100 * found.share_high
    measured = Interval(100 * found.share, low, high, 1, len(rows))
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    worst = max(abs(low), abs(high))
    verdict: Verdict = "met" if worst <= claim.bar else "missed" if least > claim.bar else "inconclusive"
    if verdict == "met" and rows["scheduled_s"].max() < LONG_ENOUGH * SOAK_S:
        return Resolution(
            claim, "inconclusive", f"{span} alone; kokoro-lab sweep soak lasts 20 minutes", measured, cell=label
        )
    return Resolution(claim, verdict, span, measured, None, label)


def _tail(claim: Claim, rows: pd.DataFrame, label: str) -> Resolution:
    blocks = by_block(rows)
    tail = percentile(blocks, 0.95)
    if tail.value is None or tail.upper is None:
        few = f"too few samples for a p95: {tail.samples} of {tail.needed}"
        beyond = sum(statistics.median(block) > claim.bar for block in blocks)
        if failure_tail(beyond, len(blocks), MEDIAN_BEYOND_P95) < 1 - CONFIDENCE:
            reason = f"{beyond} of {len(blocks)} block medians lie beyond the bar; {few}"
            return Resolution(claim, "missed", reason, cell=label)
        return Resolution(claim, "inconclusive", few, cell=label)
    measured = Interval(tail.value, None, tail.upper, rows["block"].nunique(), tail.samples)
    gap = measured.scaled(1 / claim.bar)
    if tail.upper <= claim.bar:
        return Resolution(claim, "met", "", measured, gap, label)
    if tail.value > claim.bar:
        return Resolution(claim, "missed", "", measured, gap, label)
    return Resolution(claim, "inconclusive", "the upper bound lies beyond the bar", measured, gap, label)


def _failures(claim: Claim, evidence: Evidence) -> Resolution:
    cells = full_size(evidence.cells)
    failures = int((cells["status"] == "error").sum())
    trials = failures + len(full_size(evidence.samples))
    low, high = failure_bound(failures, trials)
    measured = Interval(100 * failures / trials, 100 * low, 100 * high, len(cells), trials)
    gap = measured.scaled(1 / claim.bar) if claim.bar > 0 else None
    return judge(claim, measured, gap, f"{failures} of {trials} calls failed")
