"""Endurance: does an engine under load get slower, or larger, with time?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.drift import Drift, drift
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer

__all__ = ["Soak", "drift_figure", "endurance_answer", "memory_figure", "soaks"]

USUAL = "as it is"
FEWEST_CALLS = 2
S_IN_HOUR = 3600.0


@dataclass(frozen=True)
class Soak:
    """One block under load, call by call."""

    name: str
    calls: pd.DataFrame
    """One row a call that succeeded: scheduled_s, rtf, rss_mb, waited_ms."""
    failed: int
    all: int

    def drift(self, column: str) -> Drift | None:
        """The slope of a figure over the load; None with fewer than two calls."""
        if len(self.calls) < FEWEST_CALLS or self.calls["scheduled_s"].nunique() < FEWEST_CALLS:
            return None
        return drift(list(self.calls["scheduled_s"]), list(self.calls[column]))


def soaks(evidence: Evidence) -> list[Soak]:
    """The first block of each cell under load.

    Raises:
        NothingMeasuredError: there is none.
    """
    found: dict[str, Soak] = {}
    cells: list[Any] = evidence.cells[~evidence.cells["superseded"]].to_dict("records")
    for cell in cells:
        load = cell["details"].get("load")
        if not load or cell["cell_id"] in found:
            continue
        own = (evidence.samples["cell_id"] == cell["cell_id"]) & (evidence.samples["block"] == cell["block"])
        calls = evidence.samples.loc[own, ["scheduled_s", "rtf", "rss_mb", "waited_ms"]].sort_values("scheduled_s")
        found[cell["cell_id"]] = Soak(_name(cell), calls, int(load["failed"]), int(load["calls"]))
    if not found:
        raise NothingMeasuredError("No load was measured: add `arrivals: poisson` to the job.")
    return list(found.values())


def drift_figure(evidence: Evidence) -> Figure:
    """The real-time factor of every call over the load, with the fitted line."""
    return _over_time(evidence, "rtf", "work for one second of speech, s", "RTF")


def memory_figure(evidence: Evidence) -> Figure:
    """Resident memory after every call over the load, with the fitted line."""
    return _over_time(evidence, "rss_mb", "resident memory, MB", "memory")


def endurance_answer(evidence: Evidence) -> Answer:
    """Drift and growth an hour, with intervals, in words."""
    lines = []
    for soak in soaks(evidence):
        words = [f"{len(soak.calls)} of {soak.all} calls succeeded"]
        if not soak.calls.empty:
            words.append(f"the longest wait for a turn was {number(float(soak.calls['waited_ms'].max()))} ms")
        words += [_told(soak.drift("rtf"), "RTF", ""), _told(soak.drift("rss_mb"), "memory", " MB")]
        lines.append(f"**{soak.name}**: {'; '.join(words)}.")
    span = max((float(soak.calls["scheduled_s"].max()) for soak in soaks(evidence) if len(soak.calls)), default=0.0)
    lines.append(
        f"The load lasted {number(span)} s. A slope an hour from so short a load says what to look for, not what an "
        "hour will bring: the plan `soak` lasts twenty minutes."
        if span < S_IN_HOUR
        else f"The load lasted {number(span / S_IN_HOUR)} h."
    )
    return Answer.of(evidence, lines)


def _over_time(evidence: Evidence, column: str, axis: str, what: str) -> Figure:
    lines, told = [], []
    for at, soak in enumerate(soaks(evidence)):
        points = [(float(t), float(v)) for t, v in zip(soak.calls["scheduled_s"], soak.calls[column], strict=True)]
        if not points:
            continue
        lines.append(Line(soak.name, points, "dots", colour=at))
        slope = soak.drift(column)
        if slope is not None:
            begin, end = points[0][0], points[-1][0]
            middle = float(soak.calls[column].median())
            half = slope.per_hour / S_IN_HOUR * (end - begin) / 2
            lines.append(Line(soak.name, [(begin, middle - half), (end, middle + half)], "rule", colour=at))
            told.append(f"{slope.share:+.1%}".replace("%", " %").replace("-", "\u2212") + f" ({soak.name})")
    if not lines:
        raise NothingMeasuredError("No call under load succeeded.")
    title = (
        f"Over the load, {what} changes by {', '.join(told)}" if told else f"One call: no drift of {what} to be seen"
    )
    note = "Dots: calls. Lines: median slopes."
    return curves(lines, title=title, x="when the call was due, s", y=axis, note=note, from_zero=False)


def _told(found: Drift | None, what: str, unit: str) -> str:
    if found is None:
        return f"too few calls for a drift of {what}"
    slope = f"{what} drifts by {number(found.per_hour)}{unit} an hour"
    if found.low is None or found.high is None:
        return f"{slope}, from too few calls for an interval"
    sure = found.low > 0 or found.high < 0
    reach = f"{slope} ({number(found.low)} to {number(found.high)})"
    return reach if sure else f"{reach}, which cannot be told from none"


def _name(row: Mapping[str, Any]) -> str:
    words = {True: "on", False: "off"}
    chosen = sorted(row["engine_settings"].items())
    settings = [
        f"{name.replace('_', ' ')} {words[value] if isinstance(value, bool) else value}" for name, value in chosen
    ]
    return ", ".join(settings) or USUAL
