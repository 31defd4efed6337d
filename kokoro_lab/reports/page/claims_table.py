"""Claims as a table: the claimed value, the measured value, the gap between them, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claims import Claims
from kokoro_lab.reports.claims.resolution import VERDICTS, Resolution
from kokoro_lab.reports.drawing.fragments import Html, fragment
from kokoro_lab.reports.findings.answer import gap_words
from kokoro_lab.reports.findings.bound import Bound, bound_of
from kokoro_lab.reports.rows.cell_summary import number, reach

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
"""A sign beside each verdict, so that colour is not the only difference between them."""


def claims_table(
    claims: Claims, resolutions: Sequence[Resolution], bounds: Sequence[Bound] = (), *, caption: str = "Claims"
) -> Html:
    """The resolutions by topic, under a count of their verdicts; gaps to target and to bound."""
    topics = [
        (topic, [_row(claims, item, bounds) for item in resolutions if item.claim.topic == topic])
        for topic in claims.topics()
    ]
    counts = Counter(resolution.verdict for resolution in resolutions)
    summary = [(verdict, SIGNS[verdict], counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    measured = any(resolution.measured is not None for resolution in resolutions)
    filled = [topic for topic in topics if topic[1]]
    return fragment("claims", topics=filled, summary=summary, measured=measured, caption=caption)


def _row(claims: Claims, resolution: Resolution, bounds: Sequence[Bound]) -> dict[str, Any]:
    claim = resolution.claim
    return {
        "id": claim.id,
        "words": claim.words,
        "kind": claim.kind,
        "scenario": claim.scenario[:1].upper() + claim.scenario[1:],
        "sources": [claims.sources[name].title for name in claim.sources],
        "machine": claims.machine(claim),
        "claimed": claim.claimed + ("" if claim.statistic == "median" else f" ({claim.statistic})"),
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
    """The measured value with its unit, and its interval; both empty where nothing was measured."""
    return _measured(resolution), _interval(resolution.measured, _unit(resolution))


def _to_bound(resolution: Resolution, bounds: Sequence[Bound]) -> str:
    """How many times its bound the cell's total time is; empty where no bound was measured."""
    own = bound_of(bounds, resolution.cell_id) if resolution.claim.metric in TIMED else None
    if own is None:
        return ""
    interval = _interval(own.gap)
    return f"{number(own.gap.center)}x the bound" + (f" ({interval})" if interval else "")


def _measured(resolution: Resolution) -> str:
    if resolution.measured is None:
        return ""
    return f"{number(resolution.measured.center)} {_unit(resolution)}".rstrip()


def _unit(resolution: Resolution) -> str:
    claim = resolution.claim
    if claim.kind == "state" and claim.resolve.compare is not None:
        return "times the baseline"
    return "" if claim.unit == "s/s" else claim.unit


def _interval(interval: Interval | None, unit: str = "") -> str:
    return "" if interval is None or interval.count == 0 else reach(interval, unit)
