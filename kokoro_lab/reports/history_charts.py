"""History: every cell of every run as a ratio to the reference cell of its run, and where such a ratio took a step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.statistics import MARGIN
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence, cell_label
from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.intervals import Interval, by_block, ratio
from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import Figure
from kokoro_lab.reports.workbook import Answer, whole
from kokoro_lab.store.places import Results
from kokoro_lab.store.store import Store
from kokoro_lab.sweeps.job import Job

__all__ = ["MOST_LINES", "History", "Step", "history_answer", "ratio_figure", "reference_figure", "runs_table"]

MOST_LINES = 8
"""Cells with the most runs get a line; more could not be told apart."""


@dataclass(frozen=True)
class Step:
    """Two neighbouring runs between which a ratio changed by more than its intervals and the margin allow."""

    name: str
    before: str
    after: str
    change: float
    """Later ratio over the earlier one."""


@dataclass(frozen=True)
class History:
    """Every run of the store, oldest first; figures are kept apart by machine and by model."""

    runs: pd.DataFrame
    """One row a run: number (from 1), run_id, when, commit, machine, onnxruntime."""
    ratios: pd.DataFrame
    """One row a cell of a run: number, run_id, name ("cell / reference"), metric, and the `Interval` of its ratio."""
    references: pd.DataFrame
    """One row a reference cell of a run: number, run_id, name, metric, value."""

    @classmethod
    def load(cls, job: Job, metric: str = "rtf") -> History:
        """Read the whole store that the job writes to.

        Raises:
            NothingMeasuredError: no run has a warm reference cell.
        """
        store = Store(Results(job.results).tables)
        samples, cells = store.samples(), store.cells()
        runs = _runs(cells)
        used = samples[(samples["status"] == "ok") & (samples["state"] == "warm") & (samples["arrivals"] == "")]
        used = used.assign(value=used[metric], name=_names(used))
        number_of = dict(zip(runs["run_id"], runs["number"], strict=True))
        ratios, references = [], []
        # Notebooks of one run are measured one after the other, and each has a reference of its own.
        apart = ["run_id", "notebook", "text_preset", "model", "lang"]
        for (run_id, *_), rows in used.groupby(apart, sort=False):
            base_rows = rows[rows["reference"].astype(bool) & (rows["replica"] == 0)]
            if base_rows.empty:
                continue
            base = by_block(base_rows)
            place = {"run_id": run_id, "number": number_of[run_id], "metric": metric}
            over = str(base_rows["name"].iloc[0])
            references.append({**place, "name": over, "value": float(base_rows["value"].median())})
            for name, others in rows[~rows["reference"].astype(bool)].groupby("name", sort=False):
                ratios.append({**place, "name": f"{name} / {over}", "ratio": ratio(by_block(others), base)})
        if not references:
            raise NothingMeasuredError("No run of this store has a warm reference cell: run a sweep first.")
        columns = ["run_id", "number", "metric", "name"]
        return cls(
            runs,
            pd.DataFrame(ratios, columns=[*columns, "ratio"]).sort_values("number", kind="stable"),
            pd.DataFrame(references, columns=[*columns, "value"]).sort_values("number", kind="stable"),
        )

    def steps(self) -> list[Step]:
        """Where the ratio of one cell changed between two neighbouring runs that have it."""
        found = []
        for name, rows in self.ratios.groupby("name", sort=False):
            ordered: list[Any] = rows.to_dict("records")
            for earlier, later in itertools.pairwise(ordered):
                first, second = earlier["ratio"], later["ratio"]
                change = second.median / first.median
                if _apart(first, second) and abs(change - 1) > MARGIN:
                    found.append(Step(str(name), str(earlier["run_id"]), str(later["run_id"]), change))
        return found


def reference_figure(history: History) -> Figure:
    """The reference cells themselves over the runs, each against its first run on the same machine and model."""
    lines = []
    for name, rows in history.references.groupby("name", sort=False):
        first = float(rows["value"].iloc[0])
        points = [(float(n), float(value) / first) for n, value in zip(rows["number"], rows["value"], strict=True)]
        lines.append(Line(str(name), points))
    shown = sorted(lines, key=lambda line: -len(line.points))[:MOST_LINES]
    last = shown[0].points[-1][1]
    runs = len(history.runs)
    title = f"Over {whole(runs)} {'run' if runs == 1 else 'runs'}, the reference stands at {number(last)} of its first"
    note = "Mood of the machine and all; compare cells by the chart below."
    return curves(shown, title=title, x="run", y="reference cell over its first run", note=note, from_zero=False)


def ratio_figure(history: History) -> Figure:
    """Cells over the reference cell of their own run: what a change of the machine's mood leaves as it is.

    Raises:
        NothingMeasuredError: no run has another warm cell beside its reference.
    """
    if history.ratios.empty:
        raise NothingMeasuredError("No run has a warm cell beside its reference.")
    counts = history.ratios["name"].value_counts(sort=True)
    lines = []
    for name in list(counts.index)[:MOST_LINES]:
        rows = history.ratios[history.ratios["name"] == name]
        points = [(float(n), one.median) for n, one in zip(rows["number"], rows["ratio"], strict=True)]
        lines.append(Line(str(name), points))
    steps = len(history.steps())
    title = f"{steps} {'step' if steps == 1 else 'steps'} in {len(counts)} {'cell' if len(counts) == 1 else 'cells'}"
    note = f"The {len(lines)} cells with the most runs." if len(counts) > len(lines) else ""
    return curves(lines, title=title, x="run", y="work over the reference of the same run", note=note, from_zero=False)


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
        way = "more" if step.change > 1 else "less"
        words = f"{number(step.change)} times the work for the reference's one, {way} than before"
        lines.append(f"**{step.name}** took a step between {step.before} and {step.after}: {words}.")
    if len(runs) < 2:
        lines.append("One run is no history yet: run a sweep again after a change, and it will show here.")
    elif len(lines) == 1:
        lines.append(f"No ratio changed by more than its intervals and {100 * MARGIN:.0f} % between neighbouring runs.")
    return Answer.of(evidence, lines)


def _runs(cells: pd.DataFrame) -> pd.DataFrame:
    firsts = cells.sort_values("started_at", kind="stable").drop_duplicates("run_id")
    rows: list[Any] = firsts.to_dict("records")
    return pd.DataFrame(
        [
            {
                "number": at,
                "run_id": row["run_id"],
                "when": f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
                "commit": _commit(row["git_commit"], row["git_dirty"]),
                "machine": str(row["machine_id"])[:6],
                "onnxruntime": row["versions"].get("onnxruntime", "unknown"),
            }
            for at, row in enumerate(rows, start=1)
        ]
    )


def _commit(commit: Any, dirty: Any) -> str:
    return f"{commit[:7]}{'+' if dirty is True else ''}" if isinstance(commit, str) and commit else "unknown"


def _names(rows: pd.DataFrame) -> list[str]:
    """What is the same cell over runs: text, label and model, and the machine where there are several."""
    records: list[Mapping[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
    several = rows["machine_id"].nunique() > 1
    return [
        f"{row['text_preset']}, {cell_label(row)}, {row['model']}"
        + (f", machine {str(row['machine_id'])[:6]}" if several else "")
        for row in records
    ]


def _apart(first: Interval, second: Interval) -> bool:
    """Whether the intervals are both there and do not touch."""
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.high < second.low or second.high < first.low
