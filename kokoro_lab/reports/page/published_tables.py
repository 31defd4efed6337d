"""The tables of a published report as CSV files, for readers without this package, and how such a file differs.

Rows are sorted by what they describe, so that `diff` can compare two reports; figures have six significant digits.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kokoro_lab.reports.claims.resolution import Resolution
from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.findings.bound import bounds
from kokoro_lab.reports.page.report_data import METRICS
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["CELL", "block_rows", "csv_difference", "published_tables"]

CELL = ("text_preset", "label", "state", "model", "environment", "delivery", "arrivals")
"""Columns that identify the cell of a block across reports."""
ROUNDING = 1e-5
"""Relative: two roundings to six digits of numbers that differ in the last bit."""


def published_tables(evidence: Evidence, resolutions: Sequence[Resolution]) -> dict[str, str]:
    """File name -> table as CSV text."""
    return {
        "blocks.csv": _csv(block_rows(evidence)),
        "claims.csv": _csv(_claim_rows(resolutions)),
        "bounds.csv": _csv(_bound_rows(evidence)),
        "verdicts.csv": _csv(_verdict_rows(evidence)),
    }


def block_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """One row per block: its cell, how it ended, and the medians of its figures."""
    medians = evidence.samples.groupby(["cell_id", "block"])[list(METRICS)].median()
    rows: list[Any] = evidence.cells.to_dict("records")
    records = []
    for row in rows:
        key = (row["cell_id"], row["block"])
        figures = medians.loc[key].to_dict() if key in medians.index else dict.fromkeys(METRICS)
        if row["process"] == "shared":
            figures["rss_mb"] = None  # the memory of several cells
        names = {name: row[name] for name in CELL}
        shared = {name: row[name] for name in ("cell_id", "block", "round", "status", "gate")}
        flags = {name: bool(row[name]) for name in ("contaminated", "superseded", "counts")}
        records.append({**names, **shared, **flags, **figures, "samples": int(row["samples"])})
    return sorted(records, key=lambda row: (*(str(row[name]) for name in (*CELL, "cell_id")), int(row["block"])))


def _claim_rows(resolutions: Sequence[Resolution]) -> list[dict[str, Any]]:
    rows = []
    for resolution in resolutions:
        measured, gap = resolution.measured, resolution.gap
        rows.append(
            {
                "id": resolution.claim.id,
                "stated": resolution.claim.claimed.replace("\u202f", " "),
                "measured": None if measured is None else measured.center,
                "low": None if measured is None else measured.bounds[0],
                "high": None if measured is None else measured.bounds[1],
                "unit": resolution.claim.unit,
                "gap": None if gap is None else gap.center,
                "verdict": resolution.verdict,
                "reason": resolution.reason,
                "cell": resolution.cell,
            }
        )
    return sorted(rows, key=lambda row: str(row["id"]))


def _bound_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": bound.text_preset,
            "label": bound.label,
            "model": bound.model,
            "products": sum(bound.products.values()),
            "bound_ms": bound.bound_ms,
            "zero_overhead_ms": bound.zero_overhead_ms,
            "measured_ms": bound.measured.center,
            "unexplained_ms": bound.unattributed_ms,
            "beaten": bound.below_bound,
        }
        for bound in bounds(evidence)
    ]


def _verdict_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": verdict.text_preset,
            "candidate": verdict.candidate,
            "base": verdict.base,
            "kind": verdict.kind,
            "metric": verdict.metric,
            "verdict": verdict.verdict,
            "ratio": None if verdict.ratio is None else verdict.ratio.center,
            "low": None if verdict.ratio is None else verdict.ratio.low,
            "high": None if verdict.ratio is None else verdict.ratio.high,
            "reason": verdict.reason,
        }
        for verdict in stored_verdicts(evidence, ("cell", "twin", "placebo", "noise"))
    ]


def csv_difference(text: str, made: str) -> str:
    """How a table in a file differs from the one that was made again, in words; empty where it does not."""
    here, there = (list(csv.reader(io.StringIO(table))) for table in (text, made))
    if len(here) != len(there):
        return f"it has {max(0, len(here) - 1)} rows, the tables give {max(0, len(there) - 1)}"
    for number, (said, given) in enumerate(zip(here, there, strict=True)):
        if len(said) != len(given):
            return f"row {number} has {len(said)} columns, the tables give {len(given)}"
        for name, one, other in zip(there[0], said, given, strict=True):
            if one != other and not _rounded_alike(one, other):
                return f"row {number} says {name} {one[:80]!r}, the tables give {other[:80]!r}"
    return ""


def _rounded_alike(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=ROUNDING)
    except ValueError:
        return False


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return "" if value is None else value
