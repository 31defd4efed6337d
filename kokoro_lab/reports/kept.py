"""The verdicts that a sweep kept, as reports read them; others are compared the same way, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.measure.statistics import BlockValue, compare, pair_up
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import Interval

__all__ = ["Kept", "kept_placebo", "kept_ratio", "kept_verdicts"]


@dataclass(frozen=True)
class Kept:
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


def kept_verdicts(evidence: Evidence, kinds: Sequence[str] = ("cell",), metric: str = "") -> list[Kept]:
    """The kept verdicts of these kinds, by length of text and label; of one figure, when one is named."""
    if evidence.verdicts.empty:
        return []
    records: list[Any] = evidence.cells.to_dict("records")
    cells = {str(row["cell_id"]): row for row in records}
    found = []
    rows: list[Any] = evidence.verdicts.to_dict("records")
    for row in rows:
        details = row["details"] or {}
        base, candidate = cells.get(row["base_cell"]), cells.get(row["candidate_cell"])
        if details.get("kind") not in kinds or base is None or candidate is None:
            continue
        if metric and row["metric"] != metric:
            continue
        found.append(
            Kept(
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
    return sorted(found, key=lambda one: (one.characters, one.text_preset, one.candidate, one.metric))


def kept_ratio(
    evidence: Evidence, base: pd.DataFrame, candidate: pd.DataFrame, metric: str
) -> tuple[Interval | None, str]:
    """Candidate over base, and why there is no better answer: as the sweep kept it, else from the blocks of both.

    Each side: rows of one cell with a `value`. None without a pair of undisturbed blocks.
    """
    ids = (str(base["cell_id"].iloc[0]), str(candidate["cell_id"].iloc[0]))
    for one in kept_verdicts(evidence, ("cell",), metric):
        if (one.base_cell, one.candidate_cell) == ids and one.ratio is not None:
            return one.ratio, one.reason.rstrip(".")
    found = compare(pair_up(_pairable(base), _pairable(candidate)))
    if found.ratio is None:
        return None, "no round has an undisturbed block of both sides"
    values = len(base) + len(candidate)
    return Interval(found.ratio, found.low, found.high, found.pairs, values), found.reason.rstrip(".")


def kept_placebo(evidence: Evidence, base: pd.DataFrame, candidate: pd.DataFrame) -> bool:
    """Whether the sweep found that both cells came to the same effective settings."""
    ids = {str(base["cell_id"].iloc[0]), str(candidate["cell_id"].iloc[0])}
    return any({one.base_cell, one.candidate_cell} == ids for one in kept_verdicts(evidence, ("placebo",)))


def _ratio(row: dict[str, Any]) -> Interval | None:
    if pd.isna(row["ratio"]):
        return None
    low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("ratio_low", "ratio_high"))
    return Interval(float(row["ratio"]), low, high, int(row["pairs"]), int(row["pairs"]))


def _named(cell: dict[str, Any]) -> str:
    return str(cell["label"]) + ("" if cell["state"] == "warm" else f", {cell['state']}")


def _pairable(rows: pd.DataFrame) -> list[BlockValue]:
    """The blocks as the comparison of pairs takes them: one of each side from the same round and text."""
    return [
        BlockValue(str(block["text_preset"].iloc[0]), int(block["round"].iloc[0]), float(block["value"].median()))
        for _, block in rows.groupby(["cell_id", "block"], sort=False)
    ]
