"""What the rows of a run say about a claim: its verdict, the measured interval and the gap to what was stated.

A claim about rows is held against the best cell that may be ranked: of the blocks that match it, those of the full
architecture, at the engine's default settings, undisturbed, whose audio is equivalent. The gap is a ratio, measured
over stated: 1 is on the bar, above 1 falls short of it by that factor. `met` and `missed` need the whole interval on
one side of the bar.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from kokoro_lab.measure.percentiles import percentile
from kokoro_lab.measure.statistics import BlockValue, compare, pair_up
from kokoro_lab.reports.claims import NOT_MEASURABLE, Claim, Claims, Compare
from kokoro_lab.reports.evidence import Evidence, matching, plain
from kokoro_lab.reports.intervals import (
    CONFIDENCE,
    Interval,
    by_block,
    failure_bound,
    failure_tail,
    interval,
)

__all__ = ["VERDICTS", "Resolution", "Verdict", "resolve", "resolve_all"]

Verdict = Literal["met", "missed", "inconclusive", "placebo", "not measurable here", "not measured yet"]
VERDICTS: tuple[Verdict, ...] = (
    "met",
    "missed",
    "inconclusive",
    "placebo",
    "not measurable here",
    "not measured yet",
)


PAIRING = ("provider", "intra_op_threads", "graph_level", "precision", "text_preset", "voice", "speed", "lang", "state")
"""Factors in which two compared cells must agree, but for those that the claim varies."""


MEDIAN_BEYOND_P95 = 0.10
"""Highest chance of a block median beyond the true p95, however alike the repeats of a block are (Markov's inequality:
half of them are beyond, of 5 % on average)."""


@dataclass(frozen=True)
class Resolution:
    """One claim and what became of it here."""

    claim: Claim
    verdict: Verdict
    reason: str = ""
    """Why there is no clearer verdict; empty where the interval says it all."""
    measured: Interval | None = None
    """In the unit of the claim."""
    gap: Interval | None = None
    """Measured over stated; above 1 falls short."""
    cell: str = ""
    """The cell that stands for the claim, as `cell_label` calls it."""


def resolve_all(claims: Claims, evidence: Evidence) -> list[Resolution]:
    """Every claim, in the order of the file."""
    return [resolve(claim, evidence) for claim in claims.claims]


def resolve(claim: Claim, evidence: Evidence) -> Resolution:
    """Hold one claim against the rows of a run."""
    way = claim.resolve
    if way.not_measurable is not None:
        return Resolution(claim, "not measurable here", NOT_MEASURABLE[way.not_measurable])
    if way.not_measured_yet is not None:
        return _missing(claim, way.not_measured_yet)
    if evidence.tiny:
        return Resolution(claim, "not measured yet", "the tiny model ran, which shows nothing about speed")
    if way.compare is not None:
        return _compared(claim, way.compare, evidence)
    if claim.metric == "error_share":
        return _failures(claim, evidence)
    return _level(claim, way.rows or {}, evidence)


def _missing(claim: Claim, notebook: str) -> Resolution:
    return Resolution(claim, "not measured yet", f"notebook {notebook} measures it")


def _level(claim: Claim, filters: Mapping[str, Any], evidence: Evidence) -> Resolution:
    rows = _full(matching(plain(evidence.values(claim.metric)), filters))
    if rows.empty:
        return _missing(claim, claim.resolve.notebook)
    best = _best(rows[rows["ranked"] == "equivalent"])
    if best is None:
        return Resolution(claim, "inconclusive", _why_unranked(rows))
    label = str(best["label"].iloc[0])
    if claim.statistic == "p95":
        return _tail(claim, best, label)
    measured = interval(by_block(best))
    gap = measured.scaled(1 / claim.bar) if claim.bar > 0 else None
    return _judge(claim, measured, gap, label)


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


def _compared(claim: Claim, between: Compare, evidence: Evidence) -> Resolution:
    """The best candidate cell against the baseline cell that differs from it in the compared factors alone."""
    values = _full(plain(evidence.values(claim.metric)))
    sides = {"candidate": matching(values, between.candidate), "baseline": matching(values, between.baseline)}
    if any(side.empty for side in sides.values()):
        return _missing(claim, claim.resolve.notebook)
    ranked = {name: side[side["ranked"] == "equivalent"] for name, side in sides.items()}
    for name, kept in ranked.items():
        if kept.empty:
            return Resolution(claim, "inconclusive", f"{name}: {_why_unranked(sides[name])}")
    varied = set(between.candidate) | set(between.baseline)
    shared = [column for column in PAIRING if column not in varied]
    candidate = _best(ranked["candidate"].merge(ranked["baseline"][shared].drop_duplicates(), on=shared))
    if candidate is None:
        return Resolution(claim, "inconclusive", "no two cells differ in this alone")
    same = ranked["baseline"].merge(candidate[shared].drop_duplicates(), on=shared)
    label = str(candidate["label"].iloc[0])
    digests = [_digests(evidence, side) for side in (candidate, same)]
    if digests[0] and digests[0] == digests[1]:
        return Resolution(claim, "placebo", "both sides ran the same settings and the same graph", cell=label)
    found = compare(pair_up(_pairable(same), _pairable(candidate)))
    if found.ratio is None:
        return Resolution(claim, "inconclusive", "no round has an undisturbed block of both sides", cell=label)
    times = Interval(found.ratio, found.low, found.high, found.pairs, len(candidate) + len(same))
    stated = 1 - claim.bar / 100 if claim.unit == "% less" else 1 / claim.bar
    outcome = _judge(claim, _gain(times, claim.unit), times.scaled(1 / stated), label)
    return outcome if times.known else dataclasses.replace(outcome, reason=found.reason.rstrip("."))


def _pairable(rows: pd.DataFrame) -> list[BlockValue]:
    """The blocks as the comparison of pairs takes them: one of each side from the same round and text."""
    return [
        BlockValue(str(block["text_preset"].iloc[0]), int(block["round"].iloc[0]), float(block["value"].median()))
        for _, block in rows.groupby(["cell_id", "block"], sort=False)
    ]


def _gain(times: Interval, unit: str) -> Interval:
    """The ratio of times as a gain in the claim's unit; its ends change places."""

    def turned(value: float) -> float:
        return 1 / value if unit == "times" else 100 * (1 - value)

    low = None if times.high is None else turned(times.high)
    high = None if times.low is None else turned(times.low)
    return Interval(turned(times.median), low, high, times.blocks, times.values)


def _failures(claim: Claim, evidence: Evidence) -> Resolution:
    cells = _full(evidence.cells)
    failures = int((cells["status"] == "error").sum())
    trials = failures + len(_full(evidence.samples))
    low, high = failure_bound(failures, trials)
    measured = Interval(100 * failures / trials, 100 * low, 100 * high, len(cells), trials)
    gap = measured.scaled(1 / claim.bar) if claim.bar > 0 else None
    return _judge(claim, measured, gap, f"{failures} of {trials} calls failed")


def _judge(claim: Claim, measured: Interval, gap: Interval | None, label: str) -> Resolution:
    """Met or missed when the interval of the gap, or of the level where the bar is 0, lies on one side."""
    scale, bar = (gap, 1.0) if gap is not None else (measured, claim.bar)
    if scale.low is None or scale.high is None:
        return Resolution(claim, "inconclusive", "one block alone has no interval", measured, gap, label)
    if scale.high <= bar:
        return Resolution(claim, "met", "", measured, gap, label)
    if scale.low > bar:
        return Resolution(claim, "missed", "", measured, gap, label)
    return Resolution(claim, "inconclusive", "the interval holds the bar", measured, gap, label)


def _full(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["architecture"] == "full"]


def _best(rows: pd.DataFrame) -> pd.DataFrame | None:
    """Rows of the cell with the lowest median of block medians; ties go to the first label."""
    if rows.empty:
        return None
    medians = {
        (statistics.median(map(statistics.median, by_block(cell))), str(cell["label"].iloc[0]), str(cell_id))
        for cell_id, cell in rows.groupby("cell_id")
    }
    return rows[rows["cell_id"] == min(medians)[2]]


def _digests(evidence: Evidence, rows: pd.DataFrame) -> set[str]:
    chosen = evidence.cells[evidence.cells["cell_id"].isin(rows["cell_id"])]
    return set(chosen["settings_digest"]) - {""}


def _why_unranked(rows: pd.DataFrame) -> str:
    """Why none of these rows may be ranked."""
    blocks = rows.drop_duplicates(["cell_id", "block"])
    disturbed = int(blocks["contaminated"].sum())
    if disturbed == len(blocks):
        return f"other processes disturbed all {disturbed} blocks" if disturbed > 1 else "the only block was disturbed"
    if (blocks["status"] != "ok").all():
        return "the provider did not run it whole"
    quiet = blocks[~blocks["contaminated"].astype(bool)]
    gates = sorted(set(quiet["gate"]) - {"equivalent"})
    if gates:
        return f"no undisturbed block has equivalent audio ({', '.join(gates)})"
    return "every undisturbed block was replaced by a retry"
