"""Compute units: which processors, threads and formats run the model how fast, and which of them are not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.plots import dots
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer, Arranged, arrange, joined, times

__all__ = ["absent", "absent_table", "units_answer", "units_figure"]

SHORT = {
    "MLComputeUnits": "",
    "ModelFormat": "",
    "SpecializationStrategy": "",
    "precision": "",
    "device_type": "",
    "intra_op_threads": "threads",
    "inter_op_threads": "across branches",
}
"""Options whose value says enough, and the words for some others."""


def units_figure(evidence: Evidence) -> Figure:
    """Work for one second of speech, by unit and setting."""
    found = _found(evidence)
    best = min(found.figures, key=lambda figure: figure.measured.median)
    title = f"Least work: {best.label}, {number(best.measured.median)} s for one second of speech"
    return dots(found.figures, found.points, title, "work for one second of speech, s", "s")


def absent(evidence: Evidence) -> dict[str, list[str]]:
    """Why -> the units that are not here."""
    reasons: dict[str, list[str]] = {}
    rows: list[Any] = evidence.cells[evidence.cells["status"] == "unavailable"].to_dict("records")
    for row in rows:
        reasons.setdefault(str(row["error"]), []).append(_label(row))
    return {why: list(dict.fromkeys(units)) for why, units in reasons.items()}


def absent_table(evidence: Evidence) -> Html:
    """What was asked for and is not here, with the reason; says so when everything is."""
    rows = [{"units": "; ".join(units), "why": why} for why, units in absent(evidence).items()]
    if not rows:
        return Html("<p>Everything that was asked for is here.</p>")
    return table({"units": "Asked for", "why": "Why there is no figure"}, rows)


def units_answer(evidence: Evidence) -> Answer:
    """Which unit does the least work, what each setting changes, and what this machine cannot say, in words."""
    found = _found(evidence)
    lines = []
    for heading in found.headings:
        first, *others = found.under(heading)
        words = [f"{first.label} takes {spread(first.measured, 's')} for one second of speech"]
        words += [f"{one.label} {times(found.ratio(heading, one.label, first.label), 'as much')}" for one in others]
        lines.append(f"**{heading}**: {'; '.join(words)}.")
    missing = absent(evidence)
    if missing:
        providers = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
        lines.append(
            f"Nothing can be said here of {joined(providers)}: the same job answers it on a machine that has them "
            "(plans `apple` and `cuda`)."
        )
    return Answer.of(evidence, lines)


def _found(evidence: Evidence) -> Arranged:
    if (evidence.cells["status"] == "unavailable").all():
        raise NothingMeasuredError("None of the units that were asked for is here.")
    return arrange(evidence, "rtf", label=_label)


def _label(row: Mapping[str, Any]) -> str:
    threads = int(row["intra_op_threads"])
    words = [str(row["provider"])]
    if row["provider"] == "cpu":
        words = [{0: "default threads", 1: "1 thread"}.get(threads, f"{threads} threads")]
    for name in ("provider_options", "engine_settings"):
        words += [
            f"{SHORT.get(key, key.replace('_', ' '))} {_value(value)}".strip() for key, value in row[name].items()
        ]
    return ", ".join(words)


def _value(value: object) -> str:
    return {"True": "on", "False": "off"}.get(str(value), str(value))
