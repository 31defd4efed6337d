"""The charts of a report. Each says in its title what it shows, made from the same rows that it draws."""

from __future__ import annotations

from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.evidence import Evidence, matching
from kokoro_lab.reports.plots import dots, stack
from kokoro_lab.reports.summary import CellFigure, best, block_points, cell_figures, number
from kokoro_lab.reports.theme import Figure

__all__ = ["LOAD_STAGES", "STAGES", "cold_start_figure", "rtf_figure", "stages_figure", "ttfa_figure"]

STAGES = {
    "normalise_ms": "normalise",
    "phonemise_ms": "phonemise",
    "tokenise_ms": "tokenise",
    "infer_ms": "model",
    "post_process_ms": "post-process",
    "other_ms": "other",
}
LOAD_STAGES = {
    "spawn": "start process",
    "import": "import",
    "model": "find model",
    "session": "open session",
    "voices": "voices",
    "g2p": "phonemiser",
    "caches": "caches",
    "warmup": "warm-up calls",
    "other": "other",
    "first_call": "first call",
}


def ttfa_figure(evidence: Evidence, bars: dict[str, float] | None = None) -> Figure:
    """Time to first audio of every warm cell; `bars` marks a stated target in ms for a text preset."""
    figures = _present(cell_figures(evidence, "ttfa_ms"), "time to first audio")
    first, last = _ends(figures)
    title = f"First audio after {number(first.measured.median)} ms"
    if last.characters > first.characters:
        title += f" for {first.characters} characters, {number(last.measured.median)} ms for {last.characters}"
    points = block_points(evidence, "ttfa_ms")
    return dots(figures, points, title, "time to first audio, ms (logarithmic)", "ms", bars=bars or {}, log=True)


def rtf_figure(evidence: Evidence) -> Figure:
    """Real-time factor of every warm cell."""
    figures = _present(cell_figures(evidence, "rtf"), "real-time factor")
    medians = [figure.measured.median for figure in [one for one in figures if one.ranked] or figures]
    title = f"One second of speech takes {number(min(medians))} to {number(max(medians))} s of work"
    return dots(figures, block_points(evidence, "rtf"), title, "work for one second of speech, s", "s")


def stages_figure(evidence: Evidence) -> Figure:
    """Where the time of one call goes, for the best cell of each text."""
    totals = _present(cell_figures(evidence, "total_ms"), "whole calls")
    lines = []
    for preset in dict.fromkeys(figure.text_preset for figure in totals):
        of_text = [figure for figure in totals if figure.text_preset == preset]
        chosen = best(totals, preset) or min(of_text, key=lambda figure: figure.measured.median)
        rows = matching(evidence.samples, {"text_preset": preset, "label": chosen.label, "state": "warm"})
        counted = rows[rows["counts"]] if rows["counts"].any() else rows
        means = counted.groupby(["cell_id", "block"])[list(STAGES)].mean().mean()
        lines.append((f"{preset}, {chosen.label}", {name: float(means[key]) for key, name in STAGES.items()}))
    share = sum(parts["model"] for _, parts in lines) / sum(sum(parts.values()) for _, parts in lines)
    title = f"The model takes {'over 99' if share > 0.99 else f'{100 * share:.0f}'} % of a call"
    return stack(lines, list(STAGES.values()), title, "mean time of one call, ms", "stage")


def cold_start_figure(evidence: Evidence, bar_ms: float | None = None) -> Figure:
    """Where the time of a cold start goes: from starting the process to the last sample of the first text."""
    cells = matching(evidence.cells, {"state": "cold"})
    cells = cells[cells["load_ms"].map(bool) & ~cells["superseded"]]
    if cells.empty:
        raise NothingMeasuredError("No cold start was measured in this run: add the state `cold` to the plan.")
    lines = []
    for (preset, label), rows in cells.groupby(["text_preset", "label"], sort=False):
        counted = rows[rows["counts"]] if rows["counts"].any() else rows
        mean = {key: sum(stages.get(key, 0.0) for stages in counted["load_ms"]) / len(counted) for key in LOAD_STAGES}
        lines.append((f"{preset}, {label}", {name: float(mean[key]) for key, name in LOAD_STAGES.items()}))
    fastest = min(sum(parts.values()) for _, parts in lines)
    largest = max(LOAD_STAGES.values(), key=lambda name: sum(parts[name] for _, parts in lines))
    title = f"A cold start takes {number(fastest)} ms; the largest part: {largest}"
    return stack(lines, list(LOAD_STAGES.values()), title, "mean time of a cold start, ms", "stage", bar=bar_ms)


def _present(figures: list[CellFigure], what: str) -> list[CellFigure]:
    if not figures:
        raise NothingMeasuredError(f"No warm cell of this run has a figure for {what}.")
    return figures


def _ends(figures: list[CellFigure]) -> tuple[CellFigure, CellFigure]:
    """The best cell of the shortest text and of the longest one."""
    ends: list[Any] = []
    for preset in (figures[0].text_preset, figures[-1].text_preset):
        of_text = [figure for figure in figures if figure.text_preset == preset]
        ends.append(best(figures, preset) or min(of_text, key=lambda figure: figure.measured.median))
    return ends[0], ends[1]
