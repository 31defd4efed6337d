"""What a measuring notebook shows: the rows of its own cells, arranged for a chart, and words made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import Interval, by_block, ratio
from kokoro_lab.reports.summary import NARROW_SPACE, CellFigure, cell_figure, number
from kokoro_lab.store.places import Results
from kokoro_lab.sweeps.job import Job

__all__ = ["Answer", "Arranged", "Name", "arrange", "joined", "own_rows", "setting", "times", "whole"]

Name = Callable[[Mapping[str, Any]], str]
"""What a row is called in a chart, or under which heading it stands."""

TOO_FEW = "too few blocks to tell"


@dataclass(frozen=True)
class Answer:
    """Sentences that a notebook shows as a list."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence, lines: Sequence[str]) -> Answer:
        """The sentences, and what a reader must know of the rows that they were made from."""
        told = list(lines)
        cells = evidence.cells[~evidence.cells["superseded"]]
        disturbed = int(cells["contaminated"].sum())
        if disturbed:
            told.append(
                f"Other processes disturbed {disturbed} of {len(cells)} blocks: measure again on a quiet machine."
            )
        failed = cells[cells["status"] == "error"]
        if not failed.empty:
            names = joined(sorted(set(failed["label"])))
            told.append(f"Failed, and so without a figure: {names}. {failed['error'].iloc[0]}")
        if evidence.tiny:
            told.append(
                "These rows are of the tiny architecture: they show that the chain works, nothing about Kokoro."
            )
        return cls(tuple(told))

    def _repr_markdown_(self) -> str:
        return "\n".join(f"- {line}" for line in self.lines)


@dataclass(frozen=True)
class Arranged:
    """One figure of a notebook's cells: a line a cell, under headings, in the order of the job."""

    figures: list[CellFigure]
    """`text_preset` is the heading."""
    points: pd.DataFrame
    """One row a block: text_preset (the heading), label, value."""
    values: pd.DataFrame
    """One row a value, of the blocks that make the figures."""

    @property
    def headings(self) -> list[str]:
        """Headings, each once."""
        return list(dict.fromkeys(figure.text_preset for figure in self.figures))

    def under(self, heading: str) -> list[CellFigure]:
        """The cells of one heading."""
        return [figure for figure in self.figures if figure.text_preset == heading]

    def find(self, heading: str, label: str) -> CellFigure | None:
        """One cell, None when it has no figure."""
        return next((figure for figure in self.under(heading) if figure.label == label), None)

    def ratio(self, heading: str, label: str, base: str) -> Interval | None:
        """One cell over another of the same heading; None when either has no figure."""
        sides = [by_block(self._rows(heading, name)) for name in (label, base)]
        return ratio(sides[0], sides[1]) if all(sides) else None

    def _rows(self, heading: str, label: str) -> pd.DataFrame:
        return self.values[(self.values["text_preset"] == heading) & (self.values["label"] == label)]


def own_rows(job: Job) -> Evidence:
    """The rows of the job's cells, in the order of the job; other notebooks' cells of the same run are left out.

    Raises:
        NothingMeasuredError: no call of the job was completed.
    """
    evidence = Evidence.load(Results(job.results).tables, job.run_id)
    place = {item.cell.id: at for at, item in enumerate(job.planned())}
    samples, cells = _placed(evidence.samples, place), _placed(evidence.cells, place)
    if samples.empty:
        reasons = sorted(set(cells["error"]) - {""})[:3]
        raise NothingMeasuredError(f"Notebook {job.notebook} completed no call: {' '.join(reasons) or 'run it again.'}")
    return dataclasses.replace(evidence, samples=samples, cells=cells)


def arrange(evidence: Evidence, metric: str, *, label: Name, heading: Name | None = None) -> Arranged:
    """Every cell that has a value of `metric`; the heading left out: the name of the text.

    Raises:
        NothingMeasuredError: there is none.
    """
    values = evidence.values(metric)
    values = values[~values["superseded"] & (values["status"] != "unavailable")]
    if values.empty:
        raise NothingMeasuredError(f"No cell of this notebook has a figure for {metric}.")
    rows: list[Any] = values.to_dict("records")
    values = values.assign(label=[label(row) for row in rows])
    if heading is not None:
        values = values.assign(text_preset=[heading(row) for row in rows])
    groups = [group for _, group in values.groupby(["text_preset", "label"], sort=False)]
    blocks = values.groupby(["text_preset", "label", "cell_id", "block"], sort=False)["value"].median().reset_index()
    used = pd.concat(
        [quiet if not (quiet := group[~group["contaminated"].astype(bool)]).empty else group for group in groups]
    )
    return Arranged([cell_figure(group) for group in groups], blocks, used)


def setting(row: Mapping[str, Any], name: str, default: Any) -> Any:
    """An engine setting of a row, or the default that was left."""
    return (row.get("engine_settings") or {}).get(name, default)


def times(found: Interval | None, what: str) -> str:
    """A ratio in words: `1.24 times as long (1.20 to 1.29)`; says so when it may be chance."""
    if found is None:
        return "not measured"
    if found.low is None or found.high is None:
        return f"{number(found.median)} times {what} ({TOO_FEW})"
    if found.low > 1 or found.high < 1:
        return f"{number(found.median)} times {what} ({number(found.low)} to {number(found.high)})"
    return f"{number(found.median)} times {what}, which may be chance"


def whole(count: float) -> str:
    """A count, thousands set apart: `1 000`."""
    return f"{count:,.0f}".replace(",", NARROW_SPACE)


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def _placed(frame: pd.DataFrame, place: Mapping[str, int]) -> pd.DataFrame:
    own = frame[frame["cell_id"].isin(list(place))]
    return own.assign(place=own["cell_id"].map(place)).sort_values("place", kind="stable").drop(columns="place")
