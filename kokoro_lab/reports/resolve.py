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
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from kokoro_lab.measure.drift import drift
from kokoro_lab.measure.percentiles import percentile
from kokoro_lab.measure.statistics import MARGIN
from kokoro_lab.reports.claims import NOT_MEASURABLE, Claim, Claims, Compare
from kokoro_lab.reports.derived import SOAK
from kokoro_lab.reports.evidence import Evidence, chosen
from kokoro_lab.reports.facts import FACTS
from kokoro_lab.reports.intervals import (
    CONFIDENCE,
    Interval,
    by_block,
    failure_bound,
    failure_tail,
    interval,
)
from kokoro_lab.reports.kept import kept_placebo, kept_ratio
from kokoro_lab.reports.replay import replay

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


PAIRING = (
    *("provider", "intra_op_threads", "graph_level", "precision", "text_preset", "voice", "speed", "lang", "state"),
    *("arrivals", "clients"),
)
"""Factors in which two compared cells must agree, but for those that the claim varies."""

COMPARED = ("recipe", "engine_settings", "delivery", *PAIRING)
"""Factors that a claim may vary."""

OUTSIDE_THE_SESSION = frozenset({"delivery", "arrivals", "clients", "state", "text_preset", "engine_settings"})
"""Factors that the digest of a session says nothing of, or not all: equal digests make them no placebo."""

UNGATED = frozenset({"lufs", "true_peak_dbtp", *SOAK})
"""Figures for which it does not matter whether the audio is that of the reference."""

CUT_ELSEWHERE = "its text is cut elsewhere than in one piece, so its audio is not ranked"
EQUAL = 1 + MARGIN
FEWEST_CALLS = 2
SOAK_S = 1200.0  # of calls, for which a drift is stated
LONG_ENOUGH = 0.9  # of them: the last call is due some time before the end


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
    cell_id: str = ""


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
        return _compared(claim, way.compare, evidence)
    if claim.metric == "error_share":
        return _failures(claim, evidence)
    return _level(claim, way.rows or {}, evidence)


def missing(claim: Claim) -> Resolution:
    """There are no rows for it; which command measures them."""
    notebook = claim.resolve.notebook
    return Resolution(claim, "not measured yet", f"kokoro-lab sweep full measures it, in notebook {notebook}")


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
    rows = _full(chosen(evidence.values(metric), filters))
    if rows.empty:
        return missing(claim)
    best = _best(_usable(rows, claim.metric))
    if best is None:
        return Resolution(claim, "inconclusive", _why_unranked(rows))
    label = str(best["label"].iloc[0])
    if claim.metric == "drift":
        return _drifting(claim, best, label)
    if claim.statistic == "p95":
        return _tail(claim, best, label)
    measured = interval(by_block(best))
    gap = measured.scaled(1 / claim.bar) if claim.bar > 0 else None
    found = dataclasses.replace(_judge(claim, measured, gap, label), cell_id=str(best["cell_id"].iloc[0]))
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


def _compared(claim: Claim, between: Compare, evidence: Evidence) -> Resolution:
    """The best candidate cell against the baseline cell that differs from it in the compared factors alone."""
    values = _full(evidence.values(claim.metric))
    sides = {"candidate": chosen(values, between.candidate), "baseline": chosen(values, between.baseline)}
    if any(side.empty for side in sides.values()):
        return missing(claim)
    ranked = {name: _usable(side, claim.metric) for name, side in sides.items()}
    for name, kept in ranked.items():
        if kept.empty:
            return Resolution(claim, "inconclusive", f"{name}: {_why_unranked(sides[name])}")
    varied = {column for column in COMPARED if between.candidate.get(column) != between.baseline.get(column)}
    if "recipe" in varied:
        varied.add("precision")
    shared = [column for column in PAIRING if column not in varied]
    candidate = _best(ranked["candidate"].merge(ranked["baseline"][shared].drop_duplicates(), on=shared))
    if candidate is None:
        return Resolution(claim, "inconclusive", "no two cells differ in this alone")
    same = _best(ranked["baseline"].merge(candidate[shared].drop_duplicates(), on=shared))
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
    outcome = _judge(claim, _gain(times, claim.unit), times.scaled(1 / stated), label)
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
    return _judge(claim, _gain(times, claim.unit), times.scaled(1 / (1 - claim.bar / 100)), label)


def _gain(times: Interval, unit: str) -> Interval:
    """The ratio of times as a gain in the claim's unit; its ends change places."""

    def turned(value: float) -> float:
        return {"times": 1 / value, "% more": 100 * (1 / value - 1), "% less": 100 * (1 - value)}[unit]

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
    """Met or missed when the interval of the gap, or of the level where the bar is 0 or less, lies on one side."""
    if claim.direction == "between" and isinstance(claim.value, list):
        return _within(claim, measured, label)
    scale, bar = (gap, 1.0) if gap is not None else (measured, claim.bar)
    if scale.low is None or scale.high is None:
        return Resolution(claim, "inconclusive", "one block alone has no interval", measured, gap, label)
    if scale.high <= bar:
        return Resolution(claim, "met", "", measured, gap, label)
    if scale.low > bar:
        return Resolution(claim, "missed", "", measured, gap, label)
    return Resolution(claim, "inconclusive", "the interval holds the bar", measured, gap, label)


def _within(claim: Claim, measured: Interval, label: str) -> Resolution:
    low, high = claim.value if isinstance(claim.value, list) else (claim.bar, claim.bar)
    if measured.low is None or measured.high is None:
        return Resolution(claim, "inconclusive", "one block alone has no interval", measured, None, label)
    if low <= measured.low and measured.high <= high:
        return Resolution(claim, "met", "", measured, None, label)
    if measured.high < low or measured.low > high:
        return Resolution(claim, "missed", "", measured, None, label)
    return Resolution(claim, "inconclusive", "the interval reaches over an end of the range", measured, None, label)


def _usable(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Blocks that may stand for a claim: ranked ones; else, of streams and of UNGATED, undisturbed ones."""
    if metric in UNGATED:
        return rows[rows["counts"]]
    return rows[(rows["ranked"] == "equivalent") | (rows["counts"] & (rows["delivery"] == "stream"))]


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
