"""Execution providers: which provider really ran, with which kernels, and which setting is the fastest."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.reports.rows.cell_summary import best, cell_figures, sentence, spread
from kokoro_lab.reports.rows.evidence import Evidence, matching
from kokoro_lab.reports.rows.frame_statistics import rows_ratio
from kokoro_lab.reports.rows.workbook import NotebookAnswer, joined, speed, whole

__all__ = ["providers_answer", "ran_table"]


def ran_table(evidence: Evidence) -> Html:
    """The requested provider and what ran: nodes by provider, and the instruction set of compiled kernels."""
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    rows: list[Any] = evidence.cells.to_dict("records")
    for row in rows:
        nodes = ", ".join(f"{name} {whole(count)}" for name, count in (row["nodes"] or {}).items())
        kernels = row.get("kernels")
        kernels = kernels if isinstance(kernels, str) else ""
        key = (row["model"], row["provider"], row["effective_provider"], row["status"], nodes, row["error"], kernels)
        line = lines.setdefault(
            key,
            {
                "model": row["model"],
                "requested": row["provider"],
                "ran": row["effective_provider"] or row["status"],
                "kernels": kernels or "none",
                "nodes": nodes or sentence(str(row["error"])),
                "blocks": 0,
            },
        )
        line["blocks"] += 1
    columns = {"requested": "Requested", "ran": "Ran on", "model": "Model", "kernels": "Compiled kernels"}
    return table({**columns, "nodes": "Nodes, or error", "blocks": "Blocks"}, list(lines.values()))


def providers_answer(evidence: Evidence) -> NotebookAnswer:
    """The fastest setting of each text, how much slower the others are, and which providers were unavailable."""
    figures = cell_figures(evidence, "rtf")
    values = matching(evidence.values("rtf"), {"state": "warm", "counts": True})
    lines = []
    for preset in dict.fromkeys(figure.text_preset for figure in figures):
        fastest = best(figures, preset)
        others = [figure for figure in figures if figure.text_preset == preset and figure is not fastest]
        if fastest is None:
            notes = joined(sorted({figure.note for figure in others}))
            lines.append(f"**{preset}**: no cell can be ranked ({notes}).")
            continue
        words = [f"{fastest.label} is the fastest, RTF {spread(fastest.measured)}"]
        first = _of(values, preset, fastest.label)
        for other in others:
            second = _of(values, preset, other.label)
            more = rows_ratio(second, first)
            if not other.ranked or more is None:
                words.append(f"{other.label} is not ranked ({other.note})")
                continue
            words.append(f"{other.label} is {speed(more, fastest.label)}")
        lines.append(f"**{preset}** ({fastest.characters} characters): {'; '.join(words)}.")
    missing = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
    if missing:
        lines.append(f"Not available in this installation of onnxruntime: {joined(missing)}.")
    return NotebookAnswer.of(evidence, lines)


def _of(values: pd.DataFrame, preset: str, label: str) -> pd.DataFrame:
    return matching(values, {"text_preset": preset, "label": label})
