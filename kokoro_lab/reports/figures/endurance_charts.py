"""Endurance: does an engine under load get slower or use more memory with time?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.statistics.drift import Drift, drift
from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import NotebookAnswer

__all__ = ["Soak", "drift_figure", "endurance_answer", "memory_figure", "soaks"]

USUAL = "default settings"
FEWEST_CALLS = 2
S_IN_HOUR = 3600.0


@dataclass(frozen=True)
class Soak:
    """The calls of one block under load."""

    name: str
    calls: pd.DataFrame
    """One row per successful call: scheduled_s, rtf, rss_mb, waited_ms."""
    failed: int
    all: int

    def drift(self, column: str) -> Drift | None:
        """The drift of a figure over the load; None with fewer than two calls."""
        if len(self.calls) < FEWEST_CALLS or self.calls["scheduled_s"].nunique() < FEWEST_CALLS:
            return None
        return drift(list(self.calls["scheduled_s"]), list(self.calls[column]))


def soaks(evidence: Evidence) -> list[Soak]:
    """The first block of each cell under load.

    Raises:
        NothingMeasuredError: no block was measured under load.
    """
    soaks_by_cell: dict[str, Soak] = {}
    cells: list[Any] = evidence.cells[~evidence.cells["superseded"]].to_dict("records")
    for cell in cells:
        load = cell["details"].get("load")
        if not load or cell["cell_id"] in soaks_by_cell:
            continue
        own = (evidence.samples["cell_id"] == cell["cell_id"]) & (evidence.samples["block"] == cell["block"])
        calls = evidence.samples.loc[own, ["scheduled_s", "rtf", "rss_mb", "waited_ms"]].sort_values("scheduled_s")
        soaks_by_cell[cell["cell_id"]] = Soak(_name(cell), calls, int(load["failed"]), int(load["calls"]))
    if not soaks_by_cell:
        raise NothingMeasuredError("no block was measured under load; add `arrivals: poisson` to the job")
    return list(soaks_by_cell.values())


def drift_figure(evidence: Evidence) -> ChartFigure:
    """Real-time factor of every call over the load, with the fitted line."""
    return _over_time(evidence, "rtf", "real-time factor", "RTF")


def memory_figure(evidence: Evidence) -> ChartFigure:
    """Resident memory after every call over the load, with the fitted line."""
    return _over_time(evidence, "rss_mb", "resident memory, MB", "memory")


def endurance_answer(evidence: Evidence) -> NotebookAnswer:
    """Drift per hour of speed and memory, with intervals, in words."""
    lines = []
    for soak in soaks(evidence):
        words = [f"{len(soak.calls)} of {soak.all} calls succeeded"]
        if not soak.calls.empty:
            words.append(f"the longest wait in the queue was {number(float(soak.calls['waited_ms'].max()))} ms")
        words += [_drift_words(soak.drift("rtf"), "RTF", ""), _drift_words(soak.drift("rss_mb"), "memory", " MB")]
        lines.append(f"**{soak.name}**: {'; '.join(words)}.")
    span = max((float(soak.calls["scheduled_s"].max()) for soak in soaks(evidence) if len(soak.calls)), default=0.0)
    lines.append(
        f"The load lasted {number(span)} s. A drift per hour from so short a load is only a hint; "
        "the plan `soak` lasts twenty minutes."
        if span < S_IN_HOUR
        else f"The load lasted {number(span / S_IN_HOUR)} h."
    )
    return NotebookAnswer.of(evidence, lines)


def _over_time(evidence: Evidence, column: str, axis: str, what: str) -> ChartFigure:
    lines, changes = [], []
    for at, soak in enumerate(soaks(evidence)):
        points = [(float(t), float(v)) for t, v in zip(soak.calls["scheduled_s"], soak.calls[column], strict=True)]
        if not points:
            continue
        lines.append(Curve(soak.name, points, "dots", colour=at))
        slope = soak.drift(column)
        if slope is not None:
            begin, end = points[0][0], points[-1][0]
            middle = float(soak.calls[column].median())
            half = slope.per_hour / S_IN_HOUR * (end - begin) / 2
            lines.append(Curve(soak.name, [(begin, middle - half), (end, middle + half)], "rule", colour=at))
            changes.append(f"{slope.share:+.1%}".replace("%", " %").replace("-", "\u2212") + f" ({soak.name})")
    if not lines:
        raise NothingMeasuredError("no call under load succeeded; see the errors of the cells and measure again")
    title = (
        f"Over the load, {what} changes by {', '.join(changes)}"
        if changes
        else f"A single call shows no drift of {what}"
    )
    note = "Dots: calls. Lines: fitted drift (median of slopes)."
    return curves(lines, title=title, x="scheduled time of the call, s", y=axis, note=note, from_zero=False)


def _drift_words(slope: Drift | None, what: str, unit: str) -> str:
    if slope is None:
        return f"too few calls to estimate a drift of {what}"
    drift_per_hour = f"{what} drifts by {number(slope.per_hour)}{unit} per hour"
    if slope.low is None or slope.high is None:
        return f"{drift_per_hour} (too few calls for an interval)"
    certain = slope.low > 0 or slope.high < 0
    words = f"{drift_per_hour} ({number(slope.low)} to {number(slope.high)})"
    return words if certain else f"{words}, which may be chance"


def _name(row: Mapping[str, Any]) -> str:
    words = {True: "on", False: "off"}
    chosen = sorted(row["engine_settings"].items())
    settings = [
        f"{name.replace('_', ' ')} {words[value] if isinstance(value, bool) else value}" for name, value in chosen
    ]
    return ", ".join(settings) or USUAL
