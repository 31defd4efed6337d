"""Claims as a table: what was stated, what was measured, how far apart they are, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kokoro_lab.reports.answer import gap_words
from kokoro_lab.reports.bound import Bound, bound_of
from kokoro_lab.reports.claims import Claims
from kokoro_lab.reports.fragments import Html, fragment
from kokoro_lab.reports.intervals import Interval
from kokoro_lab.reports.resolve import VERDICTS, Resolution
from kokoro_lab.reports.summary import number

__all__ = ["SIGNS", "claims_table", "measured_words"]

TIMED = frozenset({"ttfa_ms", "total_ms", "infer_ms", "rtf"})

SIGNS = {
    "met": "✓",
    "missed": "✕",
    "inconclusive": "?",
    "placebo": "∅",
    "not measurable here": "–",
    "not measured yet": "…",
}
"""A sign beside each verdict, so that colour is not all that tells them apart."""


def claims_table(claims: Claims, resolutions: Sequence[Resolution], bounds: Sequence[Bound] = ()) -> Html:
    """The resolutions by topic, under a count of their verdicts; gaps to target and to bound."""
    topics = [
        (topic, [_row(claims, item, bounds) for item in resolutions if item.claim.topic == topic])
        for topic in claims.topics()
    ]
    counts = Counter(resolution.verdict for resolution in resolutions)
    summary = [(verdict, SIGNS[verdict], counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    held = any(resolution.measured is not None for resolution in resolutions)
    return fragment("claims", topics=[topic for topic in topics if topic[1]], summary=summary, held=held)


def _row(claims: Claims, resolution: Resolution, bounds: Sequence[Bound]) -> dict[str, Any]:
    claim = resolution.claim
    return {
        "id": claim.id,
        "words": claim.words,
        "kind": claim.kind,
        "scenario": claim.scenario[:1].upper() + claim.scenario[1:],
        "sources": [claims.sources[name].title for name in claim.sources],
        "machine": claims.machine(claim),
        "stated": claim.stated + ("" if claim.statistic == "median" else f" ({claim.statistic})"),
        "measured": _measured(resolution),
        "interval": _interval(resolution.measured, _unit(resolution)),
        "cell": resolution.cell,
        "gap": gap_words(resolution.gap),
        "gap_interval": _interval(resolution.gap),
        "to_bound": _to_bound(resolution, bounds),
        "verdict": resolution.verdict,
        "sign": SIGNS[resolution.verdict],
        "reason": resolution.reason,
    }


def measured_words(resolution: Resolution) -> tuple[str, str]:
    """What was measured, with its unit, and its interval; both empty where nothing was."""
    return _measured(resolution), _interval(resolution.measured, _unit(resolution))


def _to_bound(resolution: Resolution, bounds: Sequence[Bound]) -> str:
    """How far the whole call of the cell is from its bound; empty where no bound was measured."""
    own = bound_of(bounds, resolution.cell_id) if resolution.claim.metric in TIMED else None
    if own is None:
        return ""
    reach = _interval(own.gap)
    return f"{number(own.gap.median)} times the bound" + (f" ({reach})" if reach else "")


def _measured(resolution: Resolution) -> str:
    if resolution.measured is None:
        return ""
    return f"{number(resolution.measured.median)} {_unit(resolution)}"


def _unit(resolution: Resolution) -> str:
    claim = resolution.claim
    if claim.kind == "state" and claim.resolve.compare is not None:
        return "of the baseline"
    return {"s/s": "s for 1 s"}.get(claim.unit, claim.unit)


def _interval(found: Interval | None, unit: str = "") -> str:
    if found is None or found.high is None:
        return ""
    words = f"at most {number(found.high)}" if found.low is None else f"{number(found.low)} to {number(found.high)}"
    return f"{words} {unit}".rstrip()
