"""The resolution of a claim against the rows of a run: its verdict, the measured interval and the gap to the claim.

Three steps, each in its own module: the cells that the claim names are taken (`claim_reading`), they give a value with
its interval (`level_claims`, `comparison_claims`, `facts`), and the interval is judged here. `met` and `missed` need
the whole interval on one side of the target; a range of too few blocks gives no verdict.

A claim about rows is compared with the one cell that its factors name, whatever other cells the run has; of that cell
count blocks of the full architecture, undisturbed, with equivalent audio. Factors that a claim does not name are at the
engine's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from kokoro_lab.measure.statistics.comparison import MARGIN
from kokoro_lab.measure.statistics.intervals import Interval, exact
from kokoro_lab.reports.claims.claim_reading import ClaimReading, Verdict
from kokoro_lab.reports.claims.claims import NOT_MEASURABLE, NOT_YET, Claim, Claims
from kokoro_lab.reports.claims.comparison_claims import comparison_reading
from kokoro_lab.reports.claims.facts import FACTS
from kokoro_lab.reports.claims.level_claims import failure_reading, level_reading
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["VERDICTS", "Resolution", "Verdict", "resolve", "resolve_all"]

VERDICTS: tuple[Verdict, ...] = (
    "met",
    "missed",
    "inconclusive",
    "placebo",
    "not measurable here",
    "not measured yet",
)

EQUAL = 1 + MARGIN


@dataclass(frozen=True)
class Resolution:
    """One claim and its verdict on this machine."""

    claim: Claim
    verdict: Verdict
    reason: str = ""
    """Why the verdict is not clearer; empty where the interval is enough."""
    measured: Interval | None = None
    """In the unit of the claim."""
    gap: Interval | None = None
    """Measured value divided by claimed value; above 1 misses the target."""
    cell: str = ""
    """Label of the cell that the claim is compared with, from `cell_label`."""
    cell_id: str = ""


def resolve_all(claims: Claims, evidence: Evidence) -> list[Resolution]:
    """Every claim, in the order of the file."""
    return [resolve(claim, evidence) for claim in claims.claims]


def resolve(claim: Claim, evidence: Evidence) -> Resolution:
    """Judge one claim by the rows of a run."""
    reading = _reading(claim, evidence)
    verdict, reason = _judged(claim, reading)
    if verdict == "met" and reading.cannot_meet:
        verdict, reason = "inconclusive", reading.cannot_meet
    words = "; ".join(part for part in (reason, reading.note) if part)
    return Resolution(claim, verdict, words, reading.measured, reading.gap, reading.cell, reading.cell_id)


def _reading(claim: Claim, evidence: Evidence) -> ClaimReading:
    """The value that the claim is judged by, read in the way that the claim names."""
    way = claim.resolve
    if way.not_measurable is not None:
        settled: Verdict = "not measured yet" if way.not_measurable in NOT_YET else "not measurable here"
        return ClaimReading(settled=settled, note=NOT_MEASURABLE[way.not_measurable])
    if evidence.tiny:
        which = "the tiny model ran" if "tiny" in evidence.architectures else "no model of the full architecture ran"
        words = f"{which}; its speed says nothing about Kokoro"
        return ClaimReading(settled="not measured yet", note=words)
    if way.fact is not None:
        return _fact_reading(claim, way.fact)
    if way.compare is not None:
        return comparison_reading(claim, way.compare, evidence)
    if claim.metric == "error_share":
        return failure_reading(claim, evidence)
    return level_reading(claim, way.rows or {}, evidence)


def _fact_reading(claim: Claim, name: str) -> ClaimReading:
    value, words = FACTS[name]()
    in_words = isinstance(claim.value, str)
    return ClaimReading(
        measured=None if in_words else exact(float(value)),
        settled="met" if value == (1.0 if in_words else claim.target) else "missed",
        note=f"{value:g} {words}",
    )


def _judged(claim: Claim, reading: ClaimReading) -> tuple[Verdict, str]:
    """The verdict, and why it is not clearer."""
    measured = reading.measured
    if reading.settled is not None or measured is None:
        return reading.settled or "inconclusive", ""
    if claim.kind == "state":
        return _judged_state(measured, reading.shortfall)
    between = claim.value if claim.direction == "between" and isinstance(claim.value, list) else None
    ratio = reading.judged or reading.gap
    judged, target = (ratio, 1.0) if ratio is not None and between is None else (measured, claim.target)
    if not judged.known or judged.low is None or judged.high is None:
        return "inconclusive", reading.shortfall or judged.shortfall
    if between is not None:
        return _judged_between(judged.low, judged.high, between)
    if judged.high <= target:
        return "met", ""
    return ("missed", "") if judged.low > target else ("inconclusive", reading.undecided)


def _judged_between(low: float, high: float, stated: list[float]) -> tuple[Verdict, str]:
    if stated[0] <= low and high <= stated[1]:
        return "met", ""
    if high < stated[0] or low > stated[1]:
        return "missed", ""
    return "inconclusive", "the confidence interval includes an end of the range"


def _judged_state(times: Interval, shortfall: str) -> tuple[Verdict, str]:
    """Whether a feature pays off, by the ratio of time or memory with it to that without it."""
    if not times.known or times.low is None or times.high is None:
        return "inconclusive", shortfall or times.shortfall
    if times.high < 1:
        return "met", "takes less with it than without it"
    if times.low > 1:
        return "missed", "takes more with it than without it"
    if times.low > 1 / EQUAL and times.high < EQUAL:
        return "missed", "it makes no difference"
    return "inconclusive", "the confidence interval includes no effect"
