"""History drawn: every figure over the runs as ratios to the reference cell of each, and the steps in them."""

from __future__ import annotations

from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.statistics import MARGIN
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.history import FIGURES, Change, History
from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer, joined, whole

__all__ = ["MOST_LINES", "history_answer", "ratio_figure", "reference_figure", "runs_table", "steps_table"]

MOST_LINES = 8
"""Cells with the most runs get a line; more could not be told apart."""

VERDICTS = ("equivalent", "inconclusive", "invalid")
"""Verdicts of what is no step."""


def reference_figure(history: History, metric: str = "rtf") -> Figure:
    """The reference cells themselves over the runs, each against its first run on the same machine and model."""
    lines = []
    references = history.references[history.references["metric"] == metric]
    for name, rows in references.groupby("name", sort=False):
        first = float(rows["value"].iloc[0])
        points = [(float(n), float(value) / first) for n, value in zip(rows["number"], rows["value"], strict=True)]
        lines.append(Line(str(name), points))
    shown = sorted(lines, key=lambda line: -len(line.points))[:MOST_LINES]
    last = shown[0].points[-1][1]
    runs = len(history.runs)
    title = f"Over {whole(runs)} {'run' if runs == 1 else 'runs'}, the reference stands at {number(last)} of its first"
    note = "Mood of the machine and all; compare cells by the chart below."
    return curves(shown, title=title, x="run", y="reference cell over its first run", note=note, from_zero=False)


def ratio_figure(history: History, metric: str = "rtf") -> Figure:
    """Cells over the reference cell of their own run: what a change of the machine's mood leaves as it is.

    Raises:
        NothingMeasuredError: no run has another warm cell beside its reference.
    """
    ratios = history.ratios[history.ratios["metric"] == metric]
    if ratios.empty:
        raise NothingMeasuredError("No run has a warm cell beside its reference.")
    counts = ratios["name"].value_counts(sort=True)
    lines = []
    for name in list(counts.index)[:MOST_LINES]:
        rows = ratios[ratios["name"] == name]
        points = [(float(n), one.median) for n, one in zip(rows["number"], rows["ratio"], strict=True)]
        lines.append(Line(str(name), points))
    steps = sum(step.figure == metric for step in history.steps())
    several = f"{len(counts)} {'cell' if len(counts) == 1 else 'cells'}"
    title = f"{FIGURES[metric].capitalize()}: {steps} {'step' if steps == 1 else 'steps'} in {several}"
    note = f"The {len(lines)} cells with the most runs." if len(counts) > len(lines) else ""
    axis = f"{FIGURES[metric]}, over the reference of the run"
    return curves(lines, title=title, x="run", y=axis, note=note, from_zero=False)


def steps_table(history: History) -> Html:
    """The steps, newest first; says so when there is none."""
    rows = [
        {
            "name": step.name,
            "figure": FIGURES[step.figure],
            "between": f"{step.before} and {step.after}",
            "change": f"{number(step.ratio)} times {_interval(step)}",
            "verdict": step.verdict,
        }
        for step in reversed(history.steps())
    ]
    if not rows:
        return Html(f"<p>No step: {_why_none(history)}</p>")
    columns = {"name": "Cell / reference", "figure": "Figure", "between": "Between", "change": "Ratio changed to"}
    return table({**columns, "verdict": "Verdict"}, rows)


def runs_table(history: History) -> Html:
    """The runs by number: when, which commit, machine and onnxruntime."""
    rows: list[Any] = history.runs.to_dict("records")
    columns = {"number": "Run", "run_id": "Name", "when": "Started", "commit": "Commit", "machine": "Machine"}
    columns["onnxruntime"] = "onnxruntime"
    return table(columns, rows, css="kl-runs")


def history_answer(history: History, evidence: Evidence) -> Answer:
    """What changed between runs, in words; `evidence` has the rows of this run."""
    runs = history.runs
    seen = [f"{whole(len(runs))} {'run' if len(runs) == 1 else 'runs'}"]
    for column, one, many in (("commit", "commit", "commits"), ("machine", "machine", "machines")):
        count = runs[column].nunique()
        seen.append(f"{whole(count)} {one if count == 1 else many}")
    lines = [f"The store has {', '.join(seen)}."]
    for step in history.steps():
        words = f"{FIGURES[step.figure]} {step.verdict}, {number(step.ratio)} times what it was {_interval(step)}"
        lines.append(f"**{step.name}** took a step between {step.before} and {step.after}: {words}.")
    if not history.steps():
        lines.append(_why_none(history))
    return Answer.of(evidence, lines)


def _why_none(history: History) -> str:
    if len(history.runs) < 2:
        return "One run is no history yet: run a sweep again after a change, and it will show here."
    if not history.changes:
        return "All runs of a cell are of one commit and one software: there is nothing that could have taken a step."
    told = {verdict: sum(change.verdict == verdict for change in history.changes) for verdict in VERDICTS}
    words = joined([f"{count} {verdict}" for verdict, count in told.items() if count])
    return (
        f"Of {whole(len(history.changes))} comparisons between neighbouring commits or versions, {words}; a step is "
        f"a change beyond {100 * MARGIN:.0f} % that the differences between repeated runs do not explain."
    )


def _interval(step: Change) -> str:
    return "" if step.low is None or step.high is None else f"({number(step.low)} to {number(step.high)})"
