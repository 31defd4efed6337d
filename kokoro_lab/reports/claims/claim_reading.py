"""The cells that may stand for a claim, and the value that they give, before a verdict is reached.

A claim names the factors of its cell in data/claims.yaml, so the cell is chosen before anything is measured. A claim
about the best of several settings lists them; then all of them count, and every interval is made so that they hold
together (`statistics.selection`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.selection import blocks_for, confidence_each
from kokoro_lab.reports.claims.claims import Claim
from kokoro_lab.reports.rows.derived_metrics import SHARES, SOAK
from kokoro_lab.reports.rows.evidence import Evidence, matching

__all__ = [
    "UNGATED",
    "USUAL",
    "Candidates",
    "ClaimReading",
    "Verdict",
    "candidate_cells",
    "matching_cells",
    "not_measured",
    "usable",
    "why_unranked",
]

Verdict = Literal["met", "missed", "inconclusive", "placebo", "not measurable here", "not measured yet"]

UNGATED = frozenset({"lufs", "true_peak_dbtp", *SOAK, *SHARES})
"""Metrics that are valid whether or not the audio is equivalent to the reference."""

USUAL: Mapping[str, Any] = {
    "recipe": "",
    "provider": "cpu",
    "provider_options": {},
    "intra_op_threads": 0,
    "graph_level": "all",
    "engine_settings": {},
    "environment": "",
    "delivery": "whole",
    "arrivals": "",
    "clients": 1,
    "state": "warm",
    "voice": "af_heart",
    "speed": 1.0,
    "lang": "en-us",
    "seed": 0,
    "replica": 0,
    "process": "own",
}
"""Level of each factor that a claim does not name: the default of `Cell`, and no variant of the model. The second cell
of an A/A pair (replica 1) is never a candidate. In a run without such a cell with a process of its own, cells that
shared theirs stand for it: see `matching_cells`."""


@dataclass(frozen=True)
class ClaimReading:
    """A measured value with its interval, or the reason why there is none."""

    measured: Interval | None = None
    """In the unit of the claim."""
    gap: Interval | None = None
    """Measured value divided by claimed value; 1 is on target, above 1 misses it."""
    judged: Interval | None = None
    """Judged instead of the gap where the gap lacks an end or has a sign; 1 is on target here too."""
    settled: Verdict | None = None
    """A verdict that needs no value."""
    undecided: str = "the confidence interval includes the target"
    """The reason given when the interval lies on both sides of the target."""
    shortfall: str = ""
    """Why there is no interval, where the number of blocks is not the reason."""
    cannot_meet: str = ""
    """Why these rows can show that the claim is missed, but never that it is met."""
    note: str = ""
    """A remark on the value whatever the verdict; without a value, the reason why there is none."""
    cell: str = ""
    """Label of the cell that the claim is compared with, from `cell_label`."""
    cell_id: str = ""


@dataclass(frozen=True)
class Candidates:
    """The cells of a run that a filter names, with the values of one metric."""

    rows: pd.DataFrame
    """One row per value, those that may not be ranked included."""
    count: int
    """Cells that the run set out to measure, whether or not they have values that may be ranked."""

    @property
    def confidence(self) -> float:
        """Of each cell's interval, so that those of all candidates hold together."""
        return confidence_each(self.count)

    def each(self, metric: str) -> Iterator[pd.DataFrame]:
        """The rows that may stand for the claim, cell by cell, the lowest label first."""
        rows = usable(self.rows, metric)
        for _, cell in sorted(rows.groupby("cell_id"), key=lambda group: (str(group[1]["label"].iloc[0]), group[0])):
            yield cell

    @property
    def choice(self) -> str:
        """What the choice among several cells costs, as a remark; empty for one cell."""
        if self.count <= 1:
            return ""
        return f"the best of {self.count} cells: intervals of {self.confidence:.1%} each hold together at 95 %"

    def shortfall(self, interval: Interval) -> str:
        """Why several cells give no interval; empty for one cell, whose own reason says it."""
        if self.count <= 1 or interval.known:
            return ""
        return f"the best of {self.count} cells needs {blocks_for(self.count)} undisturbed blocks of each of them"


def candidate_cells(evidence: Evidence, metric: str, filters: Mapping[str, Any], notebook: str) -> Candidates:
    """The values of the cells that a claim names; rows of the tiny or an unknown architecture never resolve a claim."""
    rows = matching_cells(evidence.values(metric), filters, notebook)
    planned = matching_cells(evidence.cells, filters, notebook)
    planned = planned[planned["architecture"] != "tiny"]
    return Candidates(rows[rows["architecture"] == "full"], max(1, planned["cell_id"].nunique()))


def matching_cells(frame: pd.DataFrame, filters: Mapping[str, Any], notebook: str) -> pd.DataFrame:
    """Rows of the cells that have the levels of the filters, and the usual level of every other factor; of the claim's
    own notebook, for the same factors may be measured with other numbers of calls elsewhere.

    A claim that does not name the process is about a process of its own. In a run that has no such cell it is read from
    the cells that shared theirs, never from both.
    """
    rows = matching(frame, {**USUAL, **filters, "notebook": notebook})
    if rows.empty and "process" not in filters:
        rows = matching(frame, {**USUAL, **filters, "notebook": notebook, "process": "shared"})
    return rows


def not_measured(claim: Claim) -> ClaimReading:
    """No rows exist for the claim; the note names the command that measures them."""
    words = f"measure it with kokoro-lab sweep {claim.resolve.plan} (notebook {claim.resolve.notebook})"
    return ClaimReading(settled="not measured yet", note=words)


def usable(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Blocks that count for a claim: ranked blocks; for streams and UNGATED metrics, all undisturbed blocks."""
    if metric in UNGATED:
        return rows[rows["counts"]]
    return rows[(rows["ranked"] == "equivalent") | (rows["counts"] & (rows["delivery"] == "stream"))]


def why_unranked(rows: pd.DataFrame) -> str:
    """Why none of these rows may be ranked."""
    blocks = rows.drop_duplicates(["cell_id", "block"])
    disturbed = int(blocks["contaminated"].sum())
    if disturbed == len(blocks):
        return f"other processes disturbed all {disturbed} blocks" if disturbed > 1 else "the only block was disturbed"
    if (blocks["status"] != "ok").all():
        return "the provider did not run the whole graph"
    quiet = blocks[~blocks["contaminated"].astype(bool)]
    gates = sorted(set(quiet["gate"]) - {"equivalent"})
    if gates:
        return f"no undisturbed block has equivalent audio ({', '.join(gates)})"
    return "every undisturbed block was replaced by a retry"
