"""What a measuring notebook shows: the rows of its own cells, arranged for charts, and sentences about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.sign_test import pairs_needed
from kokoro_lab.measure.statistics.verdicts import counterparts
from kokoro_lab.reports.rows.cell_summary import NARROW_SPACE, CellFigure, cell_figure, faster, named_apart, sentence
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.frame_statistics import rows_ratio
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.estimate import in_minutes
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_bar import measure_in_notebook

__all__ = [
    "ArrangedFigures",
    "NotebookAnswer",
    "RowName",
    "arrange",
    "joined",
    "measured_rows",
    "own_rows",
    "setting",
    "speed",
    "whole",
]

RowName = Callable[[Mapping[str, Any]], str]
"""Gives the label of a row in a chart, or its heading."""

TOO_FEW = "too few blocks for a verdict"


@dataclass(frozen=True)
class NotebookAnswer:
    """Sentences that a notebook shows as a list."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence, lines: Sequence[str]) -> NotebookAnswer:
        """The sentences, with warnings about the rows behind them."""
        sentences = list(lines)
        cells = evidence.cells[~evidence.cells["superseded"]]
        disturbed = int(cells["contaminated"].sum())
        if disturbed:
            sentences.append(
                f"Other processes disturbed {disturbed} of {len(cells)} blocks; measure again on a quiet machine."
            )
        if needed := _blocks_needed(cells):
            sentences.append(needed)
        failed = cells[cells["status"] == "error"]
        if not failed.empty:
            names = joined(sorted(set(failed["label"])))
            sentences.append(f"Failed (not measured): {names}. {sentence(str(failed['error'].iloc[0]))}")
        if evidence.tiny:
            sentences.append(
                "These rows are of the tiny architecture: they test the toolchain and say nothing about Kokoro."
            )
        return cls(tuple(sentences))

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.lines)


@dataclass(frozen=True)
class ArrangedFigures:
    """One figure of a notebook's cells: one line per cell, under headings, in the order of the job."""

    figures: list[CellFigure]
    """`text_preset` is the heading."""
    points: pd.DataFrame
    """One row per block: text_preset (the heading), label, value."""
    values: pd.DataFrame
    """One row per value of the blocks behind the figures."""

    @property
    def headings(self) -> list[str]:
        """The headings, without duplicates."""
        return list(dict.fromkeys(figure.text_preset for figure in self.figures))

    def under(self, heading: str) -> list[CellFigure]:
        """The cells of one heading."""
        return [figure for figure in self.figures if figure.text_preset == heading]

    def find(self, heading: str, label: str) -> CellFigure | None:
        """One cell, None when it has no figure."""
        return next((figure for figure in self.under(heading) if figure.label == label), None)

    def ratio(self, heading: str, label: str, base: str) -> Interval | None:
        """One cell over another of the same heading; None when either has no figure."""
        return rows_ratio(self._rows(heading, label), self._rows(heading, base))

    def _rows(self, heading: str, label: str) -> pd.DataFrame:
        return self.values[(self.values["text_preset"] == heading) & (self.values["label"] == label)]


def measured_rows(job: Job) -> Evidence:
    """Measure what is missing of the job, with a bar in the notebook, and give the rows of its cells.

    Raises:
        NotebookInterruption: the cell was interrupted, and continues when it is run again.
        NothingMeasuredError: no call of the job was completed.
        PlanError, BusyError, StoreError: as `sweeps.run.measure`.
    """
    measure_in_notebook(job)
    return own_rows(job)


def own_rows(job: Job) -> Evidence:
    """The rows of the job's cells, in the order of the job, without the cells of other notebooks.

    Raises:
        NothingMeasuredError: no call of the job was completed.
    """
    evidence = Evidence.load(Results(job.results).tables, job.run_id)
    place = {item.cell.id: at for at, item in enumerate(job.planned())}
    samples, cells = _placed(evidence.samples, place), _placed(evidence.cells, place)
    if samples.empty:
        reasons = sorted(set(cells["error"]) - {""})[:3]
        raise NothingMeasuredError(
            f"notebook {job.notebook} completed no call; remove the cause and run it again: "
            f"{', '.join(reasons) or 'no block gave a reason'}"
        )
    return dataclasses.replace(evidence, samples=samples, cells=cells)


def arrange(evidence: Evidence, metric: str, *, label: RowName, heading: RowName | None = None) -> ArrangedFigures:
    """Every cell that has a value of `metric`; without `heading`, under the name of its text.

    Raises:
        NothingMeasuredError: no cell has a value.
    """
    values = evidence.values(metric)
    values = values[~values["superseded"] & (values["status"] != "unavailable")]
    if values.empty:
        raise NothingMeasuredError(f"no cell of this notebook has a value of {metric}; measure more cells")
    rows: list[Any] = values.to_dict("records")
    values = values.assign(label=[label(row) for row in rows])
    if heading is not None:
        values = values.assign(text_preset=[heading(row) for row in rows])
    values = named_apart(values)
    groups = [group for _, group in values.groupby(["text_preset", "label", "cell_id"], sort=False)]
    blocks = values.groupby(["text_preset", "label", "cell_id", "block"], sort=False)["value"].median().reset_index()
    used = pd.concat(
        [quiet if not (quiet := group[~group["contaminated"].astype(bool)]).empty else group for group in groups]
    )
    return ArrangedFigures([cell_figure(group) for group in groups], blocks, used)


def setting(row: Mapping[str, Any], name: str, default: Any) -> Any:
    """An engine setting of a row, or its default."""
    return (row.get("engine_settings") or {}).get(name, default)


def speed(ratio: Interval | None, base: str) -> str:
    """A ratio of times in words, as `faster` gives it; adds a warning when it may be chance."""
    words = faster(ratio, base)
    if ratio is None:
        return words
    if not ratio.known:
        return f"{words}, {TOO_FEW}"
    certain = (ratio.low or 0) > 1 or (ratio.high or 0) < 1
    return words if certain else f"{words}, which may be chance"


def whole(count: float) -> str:
    """A count, thousands separated: `1 000`."""
    return f"{count:,.0f}".replace(",", NARROW_SPACE)


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def _blocks_needed(cells: pd.DataFrame) -> str:
    """How many blocks per cell, and minutes, the comparisons of these cells take at least; empty when they have them.

    Blocks are the units of the sign test, whose level is shared by the comparisons; A/A pairs are judged by themselves.
    """
    ran = cells[cells["status"].isin(["ok", "partial"])]
    per_cell = ran.groupby("cell_id")["block"].nunique()
    compared = counterparts(Cell.from_dict(row) for row in ran.drop_duplicates("cell_id")["configuration"])
    comparisons = sum(cell.replica == 0 for cell in compared)
    if comparisons < 1 or per_cell.min() >= (needed := pairs_needed(comparisons)):
        return ""
    seconds = ran.groupby("cell_id")["wall_s"].median()
    more_s = float((seconds * (needed - per_cell).clip(lower=0)).sum())
    verdicts = "A verdict" if comparisons == 1 else f"Verdicts on {comparisons} comparisons"
    return (
        f"{verdicts} would take at least {needed} blocks per cell: set `blocks` to {needed} and `budget_s` high enough "
        f"(about {in_minutes(more_s)} more)."
    )


def _placed(frame: pd.DataFrame, place: Mapping[str, int]) -> pd.DataFrame:
    own = frame[frame["cell_id"].isin(list(place))]
    return own.assign(place=own["cell_id"].map(place)).sort_values("place", kind="stable").drop(columns="place")
