"""Sessions: what a second and a third session, and calls side by side, do for throughput, waiting and memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence, matching
from kokoro_lab.reports.plots import dots
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer, Arranged, arrange, setting, times

__all__ = ["oracle", "routing_figure", "sessions_answer", "throughput_figure", "waiting_figure"]

LOAD, ROUTING = "closed", ""
"""Arrivals of the cells under load, and of those that compare routing rules."""


def throughput_figure(evidence: Evidence) -> Figure:
    """Calls a minute by the number of users who each ask again when they have their answer."""
    rows = _throughput(evidence)
    if rows.empty:
        raise NothingMeasuredError("No load was measured: add `arrivals: closed` to the job.")
    lines = []
    for setup, part in rows.groupby("setup", sort=False):
        medians = part.groupby("clients")["per_minute"].median().sort_index()
        lines.append(Line(str(setup), [(float(str(users)), float(value)) for users, value in medians.items()]))
    best = max(lines, key=lambda line: max(value for _, value in line.points))
    title = f"{best.name} answers most: {number(max(value for _, value in best.points))} calls a minute"
    return curves(lines, title=title, x="users at once", y="calls answered, a minute", note="Medians of blocks.")


def waiting_figure(evidence: Evidence) -> Figure:
    """How long a user waits for a whole answer, by setup and number of users."""
    found = _waiting(evidence)
    medians = [figure.measured.median for figure in found.figures]
    title = f"A user waits {number(min(medians))} to {number(max(medians))} ms"
    panels = {name: name for name in found.headings}
    return dots(found.figures, found.points, title, "from asking to the whole answer, ms", "ms", panels=panels)


def routing_figure(evidence: Evidence) -> Figure:
    """Routing rules, text by text, one call at a time; the dashed line is the oracle."""
    found = _routing(evidence)
    best = oracle(evidence)
    least, most = min(best.values()), max(best.values())
    title = f"The oracle takes {number(least)} ms" + (f" to {number(most)} ms" if most > least else "")
    axis = "one call, ms (logarithmic)"
    return dots(found.figures, found.points, title, axis, "ms", bars=best, bar_name="oracle", log=True)


def oracle(evidence: Evidence) -> dict[str, float]:
    """Text -> ms of the best session for it: what somebody gets who knows the best session of every text.

    Measured on each kind of session alone, with nobody to choose. A rule that came out faster than that by chance
    is no worse than the oracle, which is then as fast. Texts that no single session spoke have the best of the rules.
    """
    rules = _routing(evidence)
    try:
        alone: Arranged | None = arrange(_only(_set(evidence, "sessions", False), ROUTING), "total_ms", label=_threads)
    except NothingMeasuredError:
        alone = None
    figures = {name: [*rules.under(name), *(alone.under(name) if alone else [])] for name in rules.headings}
    return {name: min(figure.measured.median for figure in found) for name, found in figures.items()}


def sessions_answer(evidence: Evidence) -> Answer:
    """Whether more sessions pay, and which rule is nearest to the oracle, in words."""
    lines = []
    rows = _throughput(evidence)
    if not rows.empty:
        medians = rows.groupby(["clients", "setup"], sort=False)[["per_minute", "rss_mb"]].median().reset_index()
        for users, part in medians.groupby("clients"):
            base, best = part.iloc[0], part.sort_values("per_minute").iloc[-1]
            gain = best["per_minute"] / base["per_minute"]
            words = f"**{users} at once**: {best['setup']} answers most, {number(best['per_minute'])} calls a minute"
            if best["setup"] != base["setup"]:
                words += f", {number(gain)} times as many as {base['setup']}"
                words += f", and takes {number(best['rss_mb'])} MB where that takes {number(base['rss_mb'])} MB"
            lines.append(f"{words}.")
        waiting = _waiting(evidence)
        for heading in waiting.headings:
            base_figure, *others = waiting.under(heading)
            told = [
                f"{one.label} {times(waiting.ratio(heading, one.label, base_figure.label), 'as long')}"
                for one in others
            ]
            first = f"{base_figure.label} waits {spread(base_figure.measured, 'ms')}"
            lines.append(f"Waiting, {heading}: {'; '.join([first, *told])}.")
    try:
        found = _routing(evidence)
    except NothingMeasuredError:
        return Answer.of(evidence, lines)
    regret: dict[str, list[float]] = {}
    for heading, least in oracle(evidence).items():
        for figure in found.under(heading):
            regret.setdefault(figure.label, []).append(figure.measured.median / least)
    for rule, ratios in sorted(regret.items(), key=lambda item: sum(item[1])):
        mean = 100 * (sum(ratios) / len(ratios) - 1)
        lines.append(
            f"Routing by {rule}: {mean:.0f} % over the oracle on average, {100 * (max(ratios) - 1):.0f} % at worst."
        )
    return Answer.of(evidence, lines)


def _setup(row: Mapping[str, Any]) -> str:
    many = int(setting(row, "concurrency", 1))
    return (
        f"{setting(row, 'sessions', 'single')}, {many} at once" if many > 1 else str(setting(row, "sessions", "single"))
    )


def _users(row: Mapping[str, Any]) -> str:
    return "1 user" if row["clients"] == 1 else f"{row['clients']} users"


def _rule(row: Mapping[str, Any]) -> str:
    return str(setting(row, "routing", "length"))


def _waiting(evidence: Evidence) -> Arranged:
    return arrange(_only(evidence, LOAD), "total_ms", label=_setup, heading=_users)


def _threads(row: Mapping[str, Any]) -> str:
    return f"{row['intra_op_threads'] or 'all'} threads"


def _routing(evidence: Evidence) -> Arranged:
    return arrange(_only(_set(evidence, "routing", True), ROUTING), "total_ms", label=_rule)


def _set(evidence: Evidence, name: str, there: bool) -> Evidence:
    """The calls of cells that set an engine setting, or of those that leave it."""
    rows = evidence.samples["engine_settings"].map(lambda settings: (name in settings) == there)
    return dataclasses.replace(evidence, samples=evidence.samples[rows.astype(bool)])


def _only(evidence: Evidence, arrivals: str) -> Evidence:
    return dataclasses.replace(evidence, samples=matching(evidence.samples, {"arrivals": arrivals}))


def _throughput(evidence: Evidence) -> pd.DataFrame:
    """One row a block under load: setup, clients, per_minute, rss_mb."""
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
