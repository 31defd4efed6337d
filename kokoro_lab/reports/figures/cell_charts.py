"""The charts of a report; each title states the result, computed from the rows that the chart draws."""

from __future__ import annotations

from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.plots import Quantity, dots, stack
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.rows.cell_summary import CellFigure, best, block_points, cell_figures, number, span, stated
from kokoro_lab.reports.rows.evidence import Evidence, matching

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
    "model": "locate model",
    "session": "create session",
    "voices": "load voices",
    "g2p": "load phonemiser",
    "caches": "caches",
    "warmup": "warm-up calls",
    "other": "other",
    "first_call": "first call",
}


def ttfa_figure(evidence: Evidence, targets: dict[str, float] | None = None) -> ChartFigure:
    """Time to first audio of every warm cell; `targets` are claimed targets in ms by text preset."""
    figures = _present(cell_figures(evidence, "ttfa_ms"), "time to first audio")
    first, last = _ends(figures)
    title = f"First audio after {stated(first.measured, 'ms')}"
    if last.characters > first.characters:
        title += f" for {first.characters} characters, {stated(last.measured, 'ms')} for {last.characters}"
    points = block_points(evidence, "ttfa_ms")
    return dots(
        figures, points, title, Quantity("time to first audio, ms (logarithmic)", "ms", log=True), markers=targets
    )


def rtf_figure(evidence: Evidence) -> ChartFigure:
    """Real-time factor of every warm cell."""
    figures = _present(cell_figures(evidence, "rtf"), "real-time factor")
    shown = [figure for figure in figures if figure.ranked] or figures
    title = f"One second of speech takes {span([figure.measured for figure in shown], 's')} to synthesise"
    return dots(figures, block_points(evidence, "rtf"), title, Quantity("real-time factor", ""))


def stages_figure(evidence: Evidence) -> ChartFigure:
    """Where the time of one call goes, for the best cell of each text."""
    totals = _present(cell_figures(evidence, "total_ms"), "total time")
    lines = []
    for preset in dict.fromkeys(figure.text_preset for figure in totals):
        of_text = [figure for figure in totals if figure.text_preset == preset]
        chosen = best(totals, preset) or min(of_text, key=lambda figure: figure.measured.center)
        rows = matching(evidence.samples, {"text_preset": preset, "label": chosen.label, "state": "warm"})
        counted = rows[rows["counts"]] if rows["counts"].any() else rows
        means = counted.groupby(["cell_id", "block"])[list(STAGES)].mean().mean()
        lines.append((f"{preset}, {chosen.label}", {name: float(means[key]) for key, name in STAGES.items()}))
    share = sum(parts["model"] for _, parts in lines) / sum(sum(parts.values()) for _, parts in lines)
    title = f"The model takes {'over 99' if share > 0.99 else f'{100 * share:.0f}'} % of a call's time"
    return stack(lines, list(STAGES.values()), title, "mean time of one call, ms", "stage")


def cold_start_figure(evidence: Evidence, target_ms: float | None = None) -> ChartFigure:
    """Where the time of a cold start goes: from starting the process to the last sample of the first text."""
    cells = matching(evidence.cells, {"state": "cold"})
    cells = cells[cells["load_ms"].map(bool) & ~cells["superseded"]]
    if cells.empty:
        raise NothingMeasuredError("this run measured no cold start; add the state `cold` to the plan")
    lines = []
    for (preset, label), rows in cells.groupby(["text_preset", "label"], sort=False):
        counted = rows[rows["counts"]] if rows["counts"].any() else rows
        mean = {key: sum(stages.get(key, 0.0) for stages in counted["load_ms"]) / len(counted) for key in LOAD_STAGES}
        lines.append((f"{preset}, {label}", {name: float(mean[key]) for key, name in LOAD_STAGES.items()}))
    fastest = min(sum(parts.values()) for _, parts in lines)
    largest = max(LOAD_STAGES.values(), key=lambda name: sum(parts[name] for _, parts in lines))
    title = f"A cold start takes {number(fastest)} ms; the longest stage: {largest}"
    return stack(lines, list(LOAD_STAGES.values()), title, "mean time of a cold start, ms", "stage", target=target_ms)


def _present(figures: list[CellFigure], what: str) -> list[CellFigure]:
    if not figures:
        raise NothingMeasuredError(f"no warm cell of this run has a value of {what}; measure a warm cell")
    return figures


def _ends(figures: list[CellFigure]) -> tuple[CellFigure, CellFigure]:
    """The best cell of the shortest text and of the longest text."""
    ends: list[Any] = []
    for preset in (figures[0].text_preset, figures[-1].text_preset):
        of_text = [figure for figure in figures if figure.text_preset == preset]
        ends.append(best(figures, preset) or min(of_text, key=lambda figure: figure.measured.center))
    return ends[0], ends[1]
