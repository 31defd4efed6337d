"""One line a cell: the median of a figure, its interval, and whether it may be ranked. Charts and words start here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd

from kokoro_lab.reports.evidence import Evidence, kept_speech, matching
from kokoro_lab.reports.intervals import Interval, by_block, interval

__all__ = ["NARROW_SPACE", "CellFigure", "best", "block_points", "cell_figure", "cell_figures", "number", "spread"]

NARROW_SPACE = "\u202f"


@dataclass(frozen=True)
class CellFigure:
    """What one cell, replicas together, gave for one metric."""

    text_preset: str
    characters: int
    label: str
    provider: str
    state: str
    measured: Interval
    ranked: str
    """equivalent, close, or empty when it may not be ranked."""
    note: str
    """Why it may not be ranked; empty otherwise."""
    disturbed: int
    """Blocks that other processes disturbed; they are not in the interval unless all were."""


def cell_figures(evidence: Evidence, metric: str, *, state: str = "warm") -> list[CellFigure]:
    """Every cell of `state` with a value of `metric`, by length of text, then label.

    Undisturbed blocks alone make the interval. Where there is none, the disturbed ones do, and the cell is not ranked.
    Nor is one that a cache answers: what it gives is not synthesis.
    """
    values = matching(evidence.values(metric), {"state": state})
    values = values[~values["superseded"] & (values["status"] != "unavailable")]
    groups = [group for _, group in values.groupby(["text_preset", "characters", "label"], sort=False)]
    figures = [
        replace(cell_figure(group), ranked="", note="a cache answers")
        if kept_speech(group).all()
        else cell_figure(group)
        for group in groups
    ]
    return sorted(figures, key=lambda figure: (figure.characters, figure.text_preset, figure.label))


def best(figures: list[CellFigure], text_preset: str) -> CellFigure | None:
    """The lowest median of the equivalent cells of one text."""
    ranked = [figure for figure in figures if figure.text_preset == text_preset and figure.ranked == "equivalent"]
    return min(ranked, key=lambda figure: (figure.measured.median, figure.label), default=None)


def block_points(evidence: Evidence, metric: str, *, state: str = "warm") -> pd.DataFrame:
    """One row a block of those cells: text_preset, characters, label, value, contaminated."""
    blocks = matching(evidence.blocks(metric), {"state": state})
    blocks = blocks[~blocks["superseded"] & (blocks["status"] != "unavailable")]
    return blocks[["text_preset", "characters", "label", "value", "contaminated"]]


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, whole above a thousand, thousands set apart: `0.338`, `26.1`, `1 450`."""
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    rounded = round(value, places)
    return f"{rounded:,.{places}f}".replace(",", NARROW_SPACE).replace("-", "\u2212")


def spread(measured: Interval, unit: str = "") -> str:
    """A median with its interval: `1 450 ms (1 402 to 1 507)`; without one, how few blocks there were."""
    text = f"{number(measured.median)}{' ' if unit else ''}{unit}"
    if measured.low is None or measured.high is None:
        return f"{text} (one block, no interval)"
    return f"{text} ({number(measured.low)} to {number(measured.high)})"


def cell_figure(rows: pd.DataFrame) -> CellFigure:
    """The line of one cell from its rows, each with a `value`; `label` and `text_preset` are taken as they stand."""
    first = rows.iloc[0]
    blocks = rows.drop_duplicates(["cell_id", "block"])
    quiet = rows[~rows["contaminated"].astype(bool)]
    used = rows if quiet.empty else quiet
    gates = sorted(set(used["gate"]), key=["equivalent", "close", "none", "different"].index)
    note = ""
    if quiet.empty:
        note = "disturbed"
    elif str(first["status"]) != "ok":
        note = "ran in part"
    elif gates[-1] not in ("equivalent", "close"):
        note = "audio differs" if gates[-1] == "different" else "no gate"
    return CellFigure(
        text_preset=str(first["text_preset"]),
        characters=int(first["characters"]),
        label=str(first["label"]),
        provider=str(first["provider"]),
        state=str(first["state"]),
        measured=interval(by_block(used)),
        ranked="" if note else gates[-1],
        note=note,
        disturbed=int(blocks["contaminated"].sum()),
    )
