"""Compute units: how fast processors, threads and formats run the model, and which of them are unavailable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.reports.drawing.plots import Quantity, dots
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.rows.cell_summary import CellFigure, sentence, spread, stated
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import ArrangedFigures, NotebookAnswer, arrange, joined, speed

__all__ = ["absent", "absent_table", "units_answer", "units_figure"]

SHORT = {
    "MLComputeUnits": "",
    "ModelFormat": "",
    "SpecializationStrategy": "",
    "precision": "",
    "device_type": "",
    "intra_op_threads": "threads",
    "inter_op_threads": "inter-op threads",
}
"""Option -> its name in labels; empty for options whose value is clear without a name."""


def units_figure(evidence: Evidence) -> ChartFigure:
    """Real-time factor by unit and setting."""
    arranged = _arranged(evidence)
    ranked = [figure for figure in arranged.figures if figure.ranked == "equivalent"]
    best = min(ranked or arranged.figures, key=lambda figure: figure.measured.center)
    remark = "" if ranked else f", not ranked: {best.note or 'audio is only close'}"
    title = f"Fastest: {best.label}, RTF {stated(best.measured)}{remark}"
    return dots(arranged.figures, arranged.points, title, Quantity("real-time factor", ""))


def absent(evidence: Evidence) -> dict[str, list[str]]:
    """Error -> the units that are unavailable because of it."""
    reasons: dict[str, list[str]] = {}
    rows: list[Any] = evidence.cells[evidence.cells["status"] == "unavailable"].to_dict("records")
    for row in rows:
        reasons.setdefault(str(row["error"]), []).append(_label(row))
    return {why: list(dict.fromkeys(units)) for why, units in reasons.items()}


def absent_table(evidence: Evidence) -> Html:
    """Units that were requested but are unavailable, with the errors; a sentence when there are none."""
    rows = [{"units": "; ".join(units), "why": sentence(why)} for why, units in absent(evidence).items()]
    if not rows:
        return Html("<p>Every requested unit is available.</p>")
    return table({"units": "Requested", "why": "Why it was not measured"}, rows)


def units_answer(evidence: Evidence) -> NotebookAnswer:
    """The fastest unit, the effect of each setting, and which units this machine lacks, in words."""
    arranged = _arranged(evidence)
    lines = []
    for heading in arranged.headings:
        first, *others = arranged.under(heading)
        words = [f"{first.label} has RTF {spread(first.measured)}"]
        words += [f"{other.label} is {_speed(arranged, heading, other, first)}" for other in others]
        lines.append(f"**{heading}**: {'; '.join(words)}.")
    missing = absent(evidence)
    if missing:
        providers = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
        lines.append(
            f"Unavailable here: {joined(providers)}. The same job measures them on a machine that has them "
            "(plans `apple` and `cuda`)."
        )
    return NotebookAnswer.of(evidence, lines)


def _arranged(evidence: Evidence) -> ArrangedFigures:
    if (evidence.cells["status"] == "unavailable").all():
        raise NothingMeasuredError(
            "none of the requested units is available; add one that `kokoro-lab providers` lists to the job"
        )
    return arrange(evidence, "rtf", label=_label)


def _speed(arranged: ArrangedFigures, heading: str, other: CellFigure, base: CellFigure) -> str:
    return speed(arranged.ratio(heading, other.label, base.label), base.label)


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
