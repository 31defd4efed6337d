"""Claims about the level of a figure (median, p95, drift, events, shares) of the cell that the claim names.

A stream splits its text at other places than a whole delivery does, so its audio differs from the reference and is
never ranked. When its sound arrives can be measured: a claim about a stream is compared with its undisturbed blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import pandas as pd

from kokoro_lab.measure.statistics.counts import rate_interval, share_interval
from kokoro_lab.measure.statistics.drift import drift
from kokoro_lab.measure.statistics.intervals import FEWEST, Interval, median_interval
from kokoro_lab.measure.statistics.percentiles import percentile, surely_beyond
from kokoro_lab.measure.statistics.selection import lowest
from kokoro_lab.reports.claims.claim_reading import (
    UNGATED,
    Candidates,
    ClaimReading,
    candidate_cells,
    not_measured,
    why_unranked,
)
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.rows.derived_metrics import EVENTS, SHARES
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.frame_statistics import by_block, rows_interval
from kokoro_lab.store.blocks import records

__all__ = ["failure_reading", "level_reading"]

CUT_ELSEWHERE = "streaming splits the text at other places, so its audio is not ranked"
FEWEST_CALLS = 2
FEWEST_COUNTS = 2
"""Blocks that must agree on how many look-ups hit: a count from one block is a figure of one process."""
SOAK_S = 1200.0  # of calls, the duration that the claims of drift and of steady memory refer to
LONG_ENOUGH = 0.9  # of SOAK_S: the last call is due some time before the end
SOAKED = frozenset({"drift", "rss_reach_mb"})
"""Metrics that a short load can show to be too large, but never to stay small."""


def level_reading(claim: Claim, filters: Mapping[str, Any], evidence: Evidence) -> ClaimReading:
    """The cell that the filters name, in the statistic of the claim; of several, the best, corrected for the choice."""
    metric = "rtf" if claim.metric == "drift" else claim.metric
    candidates = candidate_cells(evidence, metric, filters, claim.resolve.notebook)
    if candidates.rows.empty:
        return not_measured(claim)
    cells = list(candidates.each(claim.metric))
    if not cells:
        return ClaimReading(settled="inconclusive", note=why_unranked(candidates.rows))
    read = _special(claim)
    if read is None:
        return _median_reading(claim, candidates, cells)
    if candidates.count > 1:
        words = f"{candidates.count} cells match, and this statistic has no interval for the best of several"
        return ClaimReading(settled="inconclusive", note=words)
    return read(claim, cells[0], str(cells[0]["label"].iloc[0]))


def failure_reading(claim: Claim, evidence: Evidence) -> ClaimReading:
    """The share of failed calls among all calls of the run: blocks that ended in an error, failed calls of loads."""
    cells, samples = (frame[frame["architecture"] == "full"] for frame in (evidence.cells, evidence.samples))
    loads = [(details or {}).get("load") or {} for details in cells["details"]]
    failures = int((cells["status"] == "error").sum()) + sum(int(load.get("failed", 0)) for load in loads)
    trials = failures + len(samples)
    measured = share_interval(failures, trials).scaled(100)
    label = f"{failures} of {trials} calls failed"
    return _against_target(claim, measured, ClaimReading(cell=label))


def _special(claim: Claim) -> Callable[[Claim, pd.DataFrame, str], ClaimReading] | None:
    """How this claim is read where it is not by the median of its blocks."""
    if claim.metric == "drift":
        return _drift_reading
    if claim.metric in EVENTS:
        return _event_reading
    if claim.metric in SHARES:
        return _share_reading
    return _tail_reading if claim.statistic == "p95" else None


def _median_reading(claim: Claim, candidates: Candidates, cells: list[pd.DataFrame]) -> ClaimReading:
    intervals = [rows_interval(cell, confidence=candidates.confidence) for cell in cells]
    measured = lowest(intervals)
    best = cells[min(range(len(cells)), key=lambda at: intervals[at].center)]
    cut = set(best["ranked"]) != {"equivalent"} and claim.metric not in UNGATED
    reading = ClaimReading(
        shortfall=candidates.shortfall(measured),
        cannot_meet=_too_short(best) if claim.metric in SOAKED else "",
        note="; ".join(filter(None, (CUT_ELSEWHERE if cut else "", candidates.choice))),
        cell=str(best["label"].iloc[0]),
        cell_id=str(best["cell_id"].iloc[0]),
    )
    return _against_target(claim, measured, reading)


def _against_target(claim: Claim, measured: Interval, reading: ClaimReading) -> ClaimReading:
    """The reading with the measured value and its gap; a gap that can be infinite is judged, and not shown."""
    gap = _over_target(claim, measured)
    shown = gap is not None and all(end is None or math.isfinite(end) for end in (gap.low, gap.center, gap.high))
    return replace(reading, measured=measured, gap=gap if shown else None, judged=gap)


def _over_target(claim: Claim, measured: Interval) -> Interval | None:
    """Measured over claimed, or claimed over measured where more is better; 1 is on target."""
    if claim.target <= 0:
        return None
    if claim.direction == "at least":
        return measured.mapped(lambda value: claim.target / value if value > 0 else math.inf, falling=True)
    return measured.scaled(1 / claim.target)


def _too_short(rows: pd.DataFrame) -> str:
    """Why a load was too short to show that something stays small; empty for one of twenty minutes."""
    asked = float(rows["load_s"].max())
    if asked >= LONG_ENOUGH * SOAK_S:
        return ""
    return "the load was too short to meet the claim; kokoro-lab sweep soak lasts 20 minutes"


def _drift_reading(claim: Claim, rows: pd.DataFrame, label: str) -> ClaimReading:
    """The largest drift, up or down, that the interval of the slope allows, in percent over the load; of several
    blocks, the median slope, or with too few of them for one, all that the interval of any block allows."""
    slopes = []
    for _, block in rows.groupby("block"):
        if block["scheduled_s"].nunique() >= FEWEST_CALLS:
            slope = drift(list(block["scheduled_s"]), list(block["value"]))
            slopes.append(slope.share_interval.scaled(100))
    if not slopes:
        return ClaimReading(settled="inconclusive", note="too few calls to estimate a drift", cell=label)
    last_s = float(rows.groupby("block")["scheduled_s"].max().min())
    measured = _over_blocks(slopes)
    return ClaimReading(
        measured=measured,
        judged=_over_target(claim, measured.magnitude),
        shortfall="too few calls for an interval",
        cannot_meet=_too_short(rows),
        note=f"over {last_s:.0f} s" + (f" in each of {len(slopes)} blocks" if len(slopes) > 1 else ""),
        cell=label,
        cell_id=str(rows["cell_id"].iloc[0]),
    )


def _over_blocks(slopes: list[Interval]) -> Interval:
    """The median of the blocks' slopes; with too few blocks for its interval, the hull of their own intervals."""
    if len(slopes) >= FEWEST:
        return median_interval([slope.center for slope in slopes])
    lows, highs = [slope.low for slope in slopes], [slope.high for slope in slopes]
    known = all(slope.known for slope in slopes)
    return Interval(
        median(slope.center for slope in slopes),
        min((low for low in lows if low is not None), default=None),
        max((high for high in highs if high is not None), default=None),
        min(slope.count for slope in slopes),
        slopes[0].confidence if known else None,
    )


def _event_reading(claim: Claim, rows: pd.DataFrame, label: str) -> ClaimReading:
    """Events over the whole time in which they could happen, with the exact interval: none counted is not none."""
    count_of, per_s = EVENTS[claim.metric]
    counted = [count for count in (count_of(row) for row in records(rows)) if count is not None]
    events, seconds = sum(int(count[0]) for count in counted), sum(count[1] for count in counted)
    measured = rate_interval(events).scaled(per_s / seconds)
    reading = ClaimReading(
        note=f"{events} in {seconds / 60:.1f} minutes of playback, in {len(counted)} blocks",
        cell=label,
        cell_id=str(rows["cell_id"].iloc[0]),
    )
    return _against_target(claim, measured, reading)


def _share_reading(claim: Claim, rows: pd.DataFrame, label: str) -> ClaimReading:
    """Hits over look-ups as the engine counted them. Blocks repeat the same requests, so their look-ups are not added
    up: the interval is that of one block, from the lowest to the highest of several."""
    counted = [count for count in (SHARES[claim.metric](row) for row in records(rows)) if count is not None]
    shares = [share_interval(hits, lookups).scaled(100) for hits, lookups in counted]
    shares.sort(key=lambda share: share.center)
    low, high, lookups = shares[0], shares[-1], min(share.count for share in shares)
    enough = len(shares) >= FEWEST_COUNTS
    center = median(share.center for share in shares)
    measured = Interval(center, low.low, high.high, lookups, low.confidence if enough else None)
    reading = ClaimReading(
        shortfall="" if enough else f"1 block counted; at least {FEWEST_COUNTS} that agree are required",
        undecided="the engine counted too few look-ups to decide",
        note=f"{lookups} look-ups a block, counted by the engine in {len(shares)} blocks",
        cell=label,
        cell_id=str(rows["cell_id"].iloc[0]),
    )
    return _against_target(claim, measured, reading)


def _tail_reading(claim: Claim, rows: pd.DataFrame, label: str) -> ClaimReading:
    """The p95 with its upper bound: met if the upper bound is within the target, missed if the value is beyond it."""
    blocks = by_block(rows)
    tail = percentile(blocks, 0.95)
    cell_id = str(rows["cell_id"].iloc[0])
    if tail.value is None or tail.upper is None:
        few = f"{tail.samples} samples; a p95 needs at least {tail.needed}"
        beyond, sure = surely_beyond(blocks, claim.target)
        if sure:
            reason = f"{beyond} of {len(blocks)} block medians are beyond the target ({few})"
            return ClaimReading(settled="missed", note=reason, cell=label, cell_id=cell_id)
        more = f"; kokoro-lab sweep {claim.resolve.plan} takes enough"
        return ClaimReading(settled="inconclusive", note=few + more, cell=label, cell_id=cell_id)
    measured = Interval(tail.value, None, tail.upper, tail.samples)
    gap = measured.scaled(1 / claim.target)
    return ClaimReading(
        measured=measured,
        gap=gap,
        judged=Interval(gap.center, gap.center, gap.high, gap.count),
        undecided="the upper bound is beyond the target",
        cell=label,
        cell_id=cell_id,
    )
