"""Charts of the history: figures over the runs as ratios to the reference cell of the run, and their change points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.reports.drawing.theme import ChartFigure
from kokoro_lab.reports.findings.change_history import FIGURES, HistoryChange
from kokoro_lab.reports.findings.history import History
from kokoro_lab.reports.rows.cell_summary import number, spread
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import NotebookAnswer, whole

__all__ = ["MOST_LINES", "changes_table", "history_answer", "ratio_figure", "reference_figure", "runs_table"]

MOST_LINES = 8
"""Most lines in a chart, those of the cells with the most runs; more would be indistinguishable."""


def reference_figure(history: History, metric: str = "rtf") -> ChartFigure:
    """The reference cells over the runs, each relative to its first run on the same machine and model."""
    lines = []
    references = history.references[history.references["metric"] == metric]
    for name, rows in references.groupby("name", sort=False):
        first = float(rows["value"].iloc[0])
        points = [(float(n), float(value) / first) for n, value in zip(rows["number"], rows["value"], strict=True)]
        lines.append(Curve(str(name), points))
    shown = sorted(lines, key=lambda line: -len(line.points))[:MOST_LINES]
    last = shown[0].points[-1][1]
    runs = len(history.runs)
    title = f"After {whole(runs)} {'run' if runs == 1 else 'runs'}, the reference is at {number(last)}x its first value"
    note = "Includes the varying speed of the machine; to compare cells, use the chart below."
    return curves(shown, title=title, x="run", y="reference cell relative to its first run", note=note, from_zero=False)


def ratio_figure(history: History, metric: str = "rtf") -> ChartFigure:
    """Cells relative to the reference cell of their own run, which cancels the varying speed of the machine.

    Raises:
        NothingMeasuredError: no run has a warm cell other than its reference.
    """
    ratios = history.ratios[history.ratios["metric"] == metric]
    if ratios.empty:
        raise NothingMeasuredError("no run has a warm cell other than its reference; run a sweep with several cells")
    counts = ratios["name"].value_counts(sort=True)
    lines = []
    for name in list(counts.index)[:MOST_LINES]:
        rows = ratios[ratios["name"] == name]
        points = [(float(n), ratio.center) for n, ratio in zip(rows["number"], rows["ratio"], strict=True)]
        lines.append(Curve(str(name), points))
    found = [change for change in history.found.changes if change.figure == metric]
    several = f"{len(counts)} {'cell' if len(counts) == 1 else 'cells'}"
    several = f"{len(found)} change {'point' if len(found) == 1 else 'points'} in {several}"
    title = f"{FIGURES[metric][:1].upper()}{FIGURES[metric][1:]}: {several}"
    note = f"The {len(lines)} cells with the most runs." if len(counts) > len(lines) else ""
    lines += _marks(history, found, [value for line in lines for _, value in line.points])
    axis = f"{FIGURES[metric]} relative to the reference of the run"
    return curves(lines, title=title, x="run", y=axis, note=note, from_zero=False)


def _marks(history: History, found: Sequence[HistoryChange], values: Sequence[float]) -> list[Curve]:
    """An upright line at each change point, between the last run before it and the first run after it."""
    number_of = dict(zip(history.runs["run_id"], history.runs["number"], strict=True))
    # A part of a run is named after the run and its notebook.
    places = sorted({float(number_of[change.run_after.partition("/")[0]]) - 0.5 for change in found})
    low, high = min(values), max(values)
    return [Curve("change point", [(place, low), (place, high)], shape="rule") for place in places]


def changes_table(history: History) -> Html:
    """The change points, newest first; a sentence when there are none."""
    rows = [
        {
            "name": change.name,
            "figure": FIGURES[change.figure],
            "between": f"{change.before} and {change.after}",
            "change": f"{spread(change.ratio)}",
            "runs": f"{change.runs[0]} and {change.runs[1]}",
            "verdict": change.verdict,
        }
        for change in reversed(history.found.changes)
    ]
    if not rows:
        return Html(f"<p>{_summary(history)}</p>")
    columns = {"name": "Cell / reference", "figure": "Figure", "between": "Between", "change": "Later over earlier"}
    return table({**columns, "runs": "Runs before and after", "verdict": "Verdict"}, rows)


def runs_table(history: History) -> Html:
    """The runs by number: start, commit, machine and onnxruntime version."""
    rows: list[Any] = history.runs.to_dict("records")
    columns = {"number": "Run", "run_id": "Name", "when": "Started", "commit": "Commit", "machine": "Machine"}
    columns["onnxruntime"] = "onnxruntime"
    return table(columns, rows, css="kl-runs")


def history_answer(history: History, evidence: Evidence) -> NotebookAnswer:
    """Changes between runs, in words; `evidence` has the rows of this run."""
    runs = history.runs
    seen = [f"{whole(len(runs))} {'run' if len(runs) == 1 else 'runs'}"]
    for column, singular, plural in (("commit", "commit", "commits"), ("machine", "machine", "machines")):
        count = runs[column].nunique()
        seen.append(f"{whole(count)} {singular if count == 1 else plural}")
    lines = [f"The store has {', '.join(seen)}."]
    for change in history.found.changes:
        words = f"{change.verdict}, {FIGURES[change.figure]} {spread(change.ratio)} times its earlier value"
        lines.append(f"**{change.name}** changed between {change.before} and {change.after}: {words}.")
    if not history.found.changes:
        lines.append(_summary(history))
    return NotebookAnswer.of(evidence, lines)


def _summary(history: History) -> str:
    if len(history.runs) < 2:
        return "A single run has no history; run a sweep again after a change to see it here."
    return history.found.summary
