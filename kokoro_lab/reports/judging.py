"""What every way of resolving a claim shares: the resolution itself, which rows may stand for it, and the verdict."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from kokoro_lab.reports.claims import Claim
from kokoro_lab.reports.derived import SOAK
from kokoro_lab.reports.intervals import Interval, by_block

__all__ = [
    "UNGATED",
    "VERDICTS",
    "Resolution",
    "Verdict",
    "best_cell",
    "full_size",
    "judge",
    "missing",
    "usable",
    "why_unranked",
]

Verdict = Literal["met", "missed", "inconclusive", "placebo", "not measurable here", "not measured yet"]
VERDICTS: tuple[Verdict, ...] = (
    "met",
    "missed",
    "inconclusive",
    "placebo",
    "not measurable here",
    "not measured yet",
)


UNGATED = frozenset({"lufs", "true_peak_dbtp", *SOAK})
"""Figures for which it does not matter whether the audio is that of the reference."""


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


def missing(claim: Claim) -> Resolution:
    """There are no rows for it; which command measures them."""
    notebook = claim.resolve.notebook
    return Resolution(claim, "not measured yet", f"kokoro-lab sweep full measures it, in notebook {notebook}")


def usable(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Blocks that may stand for a claim: ranked ones; else, of streams and of UNGATED, undisturbed ones."""
    if metric in UNGATED:
        return rows[rows["counts"]]
    return rows[(rows["ranked"] == "equivalent") | (rows["counts"] & (rows["delivery"] == "stream"))]


def full_size(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the full architecture: tiny ones never resolve a claim."""
    return frame[frame["architecture"] == "full"]


def best_cell(rows: pd.DataFrame) -> pd.DataFrame | None:
    """Rows of the cell with the lowest median of block medians; ties go to the first label."""
    if rows.empty:
        return None
    medians = {
        (statistics.median(map(statistics.median, by_block(cell))), str(cell["label"].iloc[0]), str(cell_id))
        for cell_id, cell in rows.groupby("cell_id")
    }
    return rows[rows["cell_id"] == min(medians)[2]]


def why_unranked(rows: pd.DataFrame) -> str:
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


def judge(claim: Claim, measured: Interval, gap: Interval | None, label: str) -> Resolution:
    """Met or missed when the interval of the gap, or of the level where the bar is 0 or less, lies on one side."""
    if claim.direction == "between" and isinstance(claim.value, list):
        return within(claim, measured, label)
    scale, bar = (gap, 1.0) if gap is not None else (measured, claim.bar)
    if scale.low is None or scale.high is None:
        return Resolution(claim, "inconclusive", "one block alone has no interval", measured, gap, label)
    if scale.high <= bar:
        return Resolution(claim, "met", "", measured, gap, label)
    if scale.low > bar:
        return Resolution(claim, "missed", "", measured, gap, label)
    return Resolution(claim, "inconclusive", "the interval holds the bar", measured, gap, label)


def within(claim: Claim, measured: Interval, label: str) -> Resolution:
    low, high = claim.value if isinstance(claim.value, list) else (claim.bar, claim.bar)
    if measured.low is None or measured.high is None:
        return Resolution(claim, "inconclusive", "one block alone has no interval", measured, None, label)
    if low <= measured.low and measured.high <= high:
        return Resolution(claim, "met", "", measured, None, label)
    if measured.high < low or measured.low > high:
        return Resolution(claim, "missed", "", measured, None, label)
    return Resolution(claim, "inconclusive", "the interval reaches over an end of the range", measured, None, label)
