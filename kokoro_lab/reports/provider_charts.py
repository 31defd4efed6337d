"""Providers: which execution provider really ran, with which kernels, and who does the least work, in words."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kokoro_lab.reports.evidence import Evidence, matching
from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.intervals import by_block, ratio
from kokoro_lab.reports.summary import best, cell_figures, number, spread
from kokoro_lab.reports.workbook import Answer, joined, whole

__all__ = ["providers_answer", "ran_table"]


def ran_table(evidence: Evidence) -> Html:
    """What was asked for and what ran: the nodes that each provider took, the instruction set of compiled kernels."""
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
                "asked": row["provider"],
                "ran": row["effective_provider"] or row["status"],
                "kernels": kernels or "none",
                "told": nodes or row["error"],
                "blocks": 0,
            },
        )
        line["blocks"] += 1
    columns = {"asked": "Asked for", "ran": "Ran on", "model": "Model", "kernels": "Own kernels"}
    return table({**columns, "told": "Nodes, or why not", "blocks": "Blocks"}, list(lines.values()))


def providers_answer(evidence: Evidence) -> Answer:
    """Text by text: which setting does the least work, and what the others do more, with what was not there."""
    figures = cell_figures(evidence, "rtf")
    values = matching(evidence.values("rtf"), {"state": "warm", "counts": True})
    lines = []
    for preset in dict.fromkeys(figure.text_preset for figure in figures):
        fastest = best(figures, preset)
        others = [figure for figure in figures if figure.text_preset == preset and figure is not fastest]
        if fastest is None:
            notes = joined(sorted({figure.note for figure in others}))
            lines.append(f"**{preset}**: no cell may be ranked ({notes}).")
            continue
        words = [f"{fastest.label} does the least work, RTF {spread(fastest.measured)}"]
        first = _of(values, preset, fastest.label)
        for other in others:
            second = _of(values, preset, other.label)
            if not other.ranked or not second:
                words.append(f"{other.label} is not ranked ({other.note})")
                continue
            more = ratio(second, first)
            apart = more.low is not None and more.low > 1
            words.append(f"{other.label} does {number(more.median)} times as much{'' if apart else ', not told apart'}")
        lines.append(f"**{preset}** ({fastest.characters} characters): {'; '.join(words)}.")
    missing = sorted(set(evidence.cells.loc[evidence.cells["status"] == "unavailable", "provider"]))
    if missing:
        lines.append(f"Not in this installation of onnxruntime: {joined(missing)}.")
    return Answer.of(evidence, lines)


def _of(values: pd.DataFrame, preset: str, label: str) -> Any:
    return by_block(matching(values, {"text_preset": preset, "label": label}))
