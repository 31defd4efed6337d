"""Sessions: the effect of several sessions and of parallel calls on throughput, waiting time and memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.plots import Quantity, dots
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.rows.cell_summary import number, span, spread
from kokoro_lab.reports.rows.evidence import Evidence, matching
from kokoro_lab.reports.rows.workbook import ArrangedFigures, NotebookAnswer, arrange, setting, speed

__all__ = ["oracle", "routing_figure", "sessions_answer", "throughput_figure", "waiting_figure"]

LOAD, ROUTING = "closed", ""
"""Arrivals of the cells under load, and of those that compare routing rules."""


def throughput_figure(evidence: Evidence) -> ChartFigure:
    """Calls per minute by the number of users, each of whom sends the next request after the last answer."""
    rows = _throughput(evidence)
    if rows.empty:
        raise NothingMeasuredError("no load was measured; add `arrivals: closed` to the job")
    lines = []
    for setup, part in rows.groupby("setup", sort=False):
        medians = part.groupby("clients")["per_minute"].median().sort_index()
        lines.append(Curve(str(setup), [(float(str(users)), float(value)) for users, value in medians.items()]))
    best = max(lines, key=lambda line: max(value for _, value in line.points))
    title = f"Highest throughput: {best.name}, {number(max(value for _, value in best.points))} calls per minute"
    return curves(lines, title=title, x="concurrent users", y="calls per minute", note="Medians of blocks.")


def waiting_figure(evidence: Evidence) -> ChartFigure:
    """Time from request to complete answer, by setup and number of users."""
    arranged = _waiting(evidence)
    title = f"A user waits {span([figure.measured for figure in arranged.figures], 'ms')} for an answer"
    panels = {name: name for name in arranged.headings}
    return dots(
        arranged.figures, arranged.points, title, Quantity("request to complete answer, ms", "ms"), panels=panels
    )


def routing_figure(evidence: Evidence) -> ChartFigure:
    """Time of a call by routing rule and text, one call at a time; the dashed line is the oracle."""
    arranged = _routing(evidence)
    best = oracle(evidence)
    least, most = min(best.values()), max(best.values())
    title = f"The oracle takes {number(least)} ms" + (f" to {number(most)} ms" if most > least else "")
    axis = "time of a call, ms (logarithmic)"
    return dots(
        arranged.figures, arranged.points, title, Quantity(axis, "ms", log=True), markers=best, marker_name="oracle"
    )


def oracle(evidence: Evidence) -> dict[str, float]:
    """Text -> ms of its best session: the time of a perfect routing rule.

    Measured on each kind of session alone, without routing. Where a routing rule was faster than that by chance, the
    oracle is as fast as the rule. For texts that were not measured on single sessions, it is the best of the rules.
    """
    rules = _routing(evidence)
    try:
        alone: ArrangedFigures | None = arrange(
            _only(_set(evidence, "sessions", False), ROUTING), "total_ms", label=_threads
        )
    except NothingMeasuredError:
        alone = None
    figures = {name: [*rules.under(name), *(alone.under(name) if alone else [])] for name in rules.headings}
    return {name: min(figure.measured.center for figure in arranged) for name, arranged in figures.items()}


def sessions_answer(evidence: Evidence) -> NotebookAnswer:
    """Whether more sessions pay off, and which rule is closest to the oracle, in words."""
    lines = []
    rows = _throughput(evidence)
    if not rows.empty:
        medians = rows.groupby(["clients", "setup"], sort=False)[["per_minute", "rss_mb"]].median().reset_index()
        for users, part in medians.groupby("clients"):
            base, best = part.iloc[0], part.sort_values("per_minute").iloc[-1]
            gain = best["per_minute"] / base["per_minute"]
            rate = f"{number(best['per_minute'])} calls per minute"
            several = "1 user" if users == 1 else f"{users} concurrent users"
            words = f"**{several}**: highest throughput with {best['setup']}, {rate}"
            if best["setup"] != base["setup"]:
                words += f", {number(gain)}x that of {base['setup']}"
                words += f", with {number(best['rss_mb'])} MB of memory instead of {number(base['rss_mb'])} MB"
            lines.append(f"{words}.")
        waiting = _waiting(evidence)
        for heading in waiting.headings:
            base_figure, *others = waiting.under(heading)
            ratios = {other.label: waiting.ratio(heading, other.label, base_figure.label) for other in others}
            parts = [f"{label} is {speed(ratio, base_figure.label)}" for label, ratio in ratios.items()]
            first = f"{base_figure.label} takes {spread(base_figure.measured, 'ms')}"
            lines.append(f"Time to the complete answer, {heading}: {'; '.join([first, *parts])}.")
    try:
        arranged = _routing(evidence)
    except NothingMeasuredError:
        return NotebookAnswer.of(evidence, lines)
    excess_of: dict[str, list[float]] = {}
    for heading, least in oracle(evidence).items():
        for figure in arranged.under(heading):
            excess_of.setdefault(figure.label, []).append(figure.measured.center / least)
    for rule, excess in sorted(excess_of.items(), key=lambda item: sum(item[1])):
        mean = 100 * (sum(excess) / len(excess) - 1)
        lines.append(
            f"Routing by {rule}: {mean:.0f} % slower than the oracle on average, "
            f"{100 * (max(excess) - 1):.0f} % at worst."
        )
    return NotebookAnswer.of(evidence, lines)


def _setup(row: Mapping[str, Any]) -> str:
    many = int(setting(row, "concurrency", 1))
    return (
        f"{setting(row, 'sessions', 'single')}, {many} parallel calls"
        if many > 1
        else str(setting(row, "sessions", "single"))
    )


def _users(row: Mapping[str, Any]) -> str:
    return "1 user" if row["clients"] == 1 else f"{row['clients']} users"


def _rule(row: Mapping[str, Any]) -> str:
    return str(setting(row, "routing", "length"))


def _waiting(evidence: Evidence) -> ArrangedFigures:
    return arrange(_only(evidence, LOAD), "total_ms", label=_setup, heading=_users)


def _threads(row: Mapping[str, Any]) -> str:
    return f"{row['intra_op_threads'] or 'all'} threads"


def _routing(evidence: Evidence) -> ArrangedFigures:
    return arrange(_only(_set(evidence, "routing", True), ROUTING), "total_ms", label=_rule)


def _set(evidence: Evidence, name: str, present: bool) -> Evidence:
    """The calls of cells that set an engine setting, or of cells that do not."""
    rows = evidence.samples["engine_settings"].map(lambda settings: (name in settings) == present)
    return dataclasses.replace(evidence, samples=evidence.samples[rows.astype(bool)])


def _only(evidence: Evidence, arrivals: str) -> Evidence:
    return dataclasses.replace(evidence, samples=matching(evidence.samples, {"arrivals": arrivals}))


def _throughput(evidence: Evidence) -> pd.DataFrame:
    """One row per block under load: setup, clients, per_minute, rss_mb."""
    cells = evidence.cells[~evidence.cells["superseded"] & (evidence.cells["arrivals"] == LOAD)]
    rows: list[Any] = cells.to_dict("records")
    return pd.DataFrame(
        [
            {
                "setup": _setup(row),
                "clients": int(row["clients"]),
                "per_minute": 60.0 * row["details"]["load"]["throughput_hz"],
                "rss_mb": row["rss_peak_mb"],
            }
            for row in rows
            if row["details"].get("load")
        ]
    )
