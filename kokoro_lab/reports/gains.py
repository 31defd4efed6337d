"""Claims about a gain, or about what a thing does: one cell held against another that differs from it in that alone."""

from __future__ import annotations

import dataclasses

import pandas as pd

from kokoro_lab.measure.percentiles import percentile
from kokoro_lab.measure.statistics import MARGIN
from kokoro_lab.reports.claims import Claim, Compare
from kokoro_lab.reports.evidence import Evidence, chosen
from kokoro_lab.reports.intervals import Interval, by_block
from kokoro_lab.reports.judging import Resolution, best_cell, full_size, judge, missing, usable, why_unranked
from kokoro_lab.reports.kept import kept_placebo, kept_ratio

__all__ = ["compared"]

PAIRING = (
    *("provider", "intra_op_threads", "graph_level", "precision", "text_preset", "voice", "speed", "lang", "state"),
    *("arrivals", "clients"),
)
"""Factors in which two compared cells must agree, but for those that the claim varies."""

COMPARED = ("recipe", "engine_settings", "delivery", *PAIRING)
"""Factors that a claim may vary."""

OUTSIDE_THE_SESSION = frozenset({"delivery", "arrivals", "clients", "state", "text_preset", "engine_settings"})
"""Factors that the digest of a session says nothing of, or not all: equal digests make them no placebo."""

EQUAL = 1 + MARGIN


def compared(claim: Claim, between: Compare, evidence: Evidence) -> Resolution:
    """The best candidate cell against the baseline cell that differs from it in the compared factors alone."""
    values = full_size(evidence.values(claim.metric))
    sides = {"candidate": chosen(values, between.candidate), "baseline": chosen(values, between.baseline)}
    if any(side.empty for side in sides.values()):
        return missing(claim)
    ranked = {name: usable(side, claim.metric) for name, side in sides.items()}
    for name, kept in ranked.items():
        if kept.empty:
            return Resolution(claim, "inconclusive", f"{name}: {why_unranked(sides[name])}")
    varied = {column for column in COMPARED if between.candidate.get(column) != between.baseline.get(column)}
    if "recipe" in varied:
        varied.add("precision")
    shared = [column for column in PAIRING if column not in varied]
    candidate = best_cell(ranked["candidate"].merge(ranked["baseline"][shared].drop_duplicates(), on=shared))
    if candidate is None:
        return Resolution(claim, "inconclusive", "no two cells differ in this alone")
    same = best_cell(ranked["baseline"].merge(candidate[shared].drop_duplicates(), on=shared))
    if same is None:
        return Resolution(claim, "inconclusive", "no two cells differ in this alone")
    label = str(candidate["label"].iloc[0])
    digests = [_digests(evidence, side) for side in (candidate, same)]
    alike = digests[0] and digests[0] == digests[1] and not varied & OUTSIDE_THE_SESSION
    if alike or kept_placebo(evidence, same, candidate):
        return Resolution(claim, "placebo", "both sides ran the same settings and the same graph", cell=label)
    if claim.statistic == "p95":
        return _tails(claim, same, candidate, label)
    times, reason = kept_ratio(evidence, same, candidate, claim.metric)
    if times is None:
        return Resolution(claim, "inconclusive", reason, cell=label)
    if claim.kind == "state":
        return _state(claim, times, label, reason)
    stated = {"% less": 1 - claim.bar / 100, "% more": 1 / (1 + claim.bar / 100), "times": 1 / claim.bar}[claim.unit]
    outcome = judge(claim, _gain(times, claim.unit), times.scaled(1 / stated), label)
    return outcome if times.known else dataclasses.replace(outcome, reason=reason)


def _state(claim: Claim, times: Interval, label: str, reason: str) -> Resolution:
    """What the thing does here, as the part of the time, or of the memory, that is left with it."""
    if times.low is None or times.high is None:
        return Resolution(claim, "inconclusive", reason, times, None, label)
    if times.high < 1:
        return Resolution(claim, "met", "with it, this part of the baseline is left", times, None, label)
    if times.low > 1:
        return Resolution(claim, "missed", "with it, more is taken than without", times, None, label)
    if times.low > 1 / EQUAL and times.high < EQUAL:
        return Resolution(claim, "missed", "it makes no difference", times, None, label)
    return Resolution(claim, "inconclusive", "cannot be told from no effect", times, None, label)


def _tails(claim: Claim, base: pd.DataFrame, candidate: pd.DataFrame, label: str) -> Resolution:
    """The gain of a p95: the upper bound of one side against the value of the other."""
    sides = [percentile(by_block(side), 0.95) for side in (base, candidate)]
    for tail in sides:
        if tail.value is None or tail.upper is None:
            few = f"too few samples for a p95: {tail.samples} of {tail.needed}"
            return Resolution(claim, "inconclusive", few, cell=label)
    (first, first_upper), (second, second_upper) = [(float(tail.value or 0), float(tail.upper or 0)) for tail in sides]
    times = Interval(second / first, second / first_upper, second_upper / first, 1, sides[0].samples)
    return judge(claim, _gain(times, claim.unit), times.scaled(1 / (1 - claim.bar / 100)), label)


def _gain(times: Interval, unit: str) -> Interval:
    """The ratio of times as a gain in the claim's unit; its ends change places."""

    def turned(value: float) -> float:
        return {"times": 1 / value, "% more": 100 * (1 / value - 1), "% less": 100 * (1 - value)}[unit]

    low = None if times.high is None else turned(times.high)
    high = None if times.low is None else turned(times.low)
    return Interval(turned(times.median), low, high, times.blocks, times.values)


def _digests(evidence: Evidence, rows: pd.DataFrame) -> set[str]:
    chosen = evidence.cells[evidence.cells["cell_id"].isin(rows["cell_id"])]
    return set(chosen["settings_digest"]) - {""}
