"""The verdicts of a sweep, read from table `verdicts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.measure.statistics.intervals import CONFIDENCE, Interval
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["StoredVerdict", "stored_verdicts"]


@dataclass(frozen=True)
class StoredVerdict:
    """One row of table `verdicts`, with the names of its cells."""

    kind: str
    """cell, twin, noise or placebo."""
    metric: str
    verdict: str
    base: str
    candidate: str
    """Labels of the cells."""
    text_preset: str
    characters: int
    ratio: Interval | None
    """Candidate over base."""
    reason: str
    details: dict[str, Any]
    base_cell: str = ""
    candidate_cell: str = ""
    gate: str = ""


def stored_verdicts(evidence: Evidence, kinds: Sequence[str] = ("cell",), metric: str = "") -> list[StoredVerdict]:
    """The stored verdicts of these kinds, by text length and label; of one metric only when `metric` is given."""
    if evidence.verdicts.empty:
        return []
    records: list[Any] = evidence.cells.to_dict("records")
    cells = {str(row["cell_id"]): row for row in records}
    verdicts = []
    rows: list[Any] = evidence.verdicts.to_dict("records")
    for row in rows:
        details = row["details"] or {}
        base, candidate = cells.get(row["base_cell"]), cells.get(row["candidate_cell"])
        if details.get("kind") not in kinds or base is None or candidate is None:
            continue
        if metric and row["metric"] != metric:
            continue
        verdicts.append(
            StoredVerdict(
                kind=details["kind"],
                metric=row["metric"],
                verdict=row["verdict"],
                base=_named(base),
                candidate=_named(candidate),
                text_preset=str(candidate["text_preset"]),
                characters=int(candidate["characters"]),
                ratio=_ratio(row),
                reason=str(row["reason"]),
                details=details,
                base_cell=str(row["base_cell"]),
                candidate_cell=str(row["candidate_cell"]),
                gate=str(details.get("gate", "")),
            )
        )
    return sorted(verdicts, key=lambda row: (row.characters, row.text_preset, row.candidate, row.metric))


def _ratio(row: dict[str, Any]) -> Interval | None:
    if pd.isna(row["ratio"]):
        return None
    low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("ratio_low", "ratio_high"))
    confidence = float((row["details"] or {}).get("confidence", CONFIDENCE))
    return Interval(float(row["ratio"]), low, high, int(row["pairs"]), None if low is None else confidence)


def _named(cell: dict[str, Any]) -> str:
    return str(cell["label"]) + ("" if cell["state"] == "warm" else f", {cell['state']}")
