"""One line per cell: the median of a figure, its interval, and whether it may be ranked; numbers in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.rows.evidence import Evidence, cached_speech, matching
from kokoro_lab.reports.rows.frame_statistics import rows_interval

__all__ = [
    "NARROW_SPACE",
    "CellFigure",
    "best",
    "block_points",
    "cell_figure",
    "cell_figures",
    "faster",
    "named_apart",
    "number",
    "reach",
    "sentence",
    "span",
    "spread",
    "stated",
]

NARROW_SPACE = "\u202f"


@dataclass(frozen=True)
class CellFigure:
    """One metric of one cell: every block behind it has the same cell_id."""

    cell_id: str
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
    """Blocks disturbed by other processes; they are not in the interval unless all blocks were disturbed."""


def cell_figures(evidence: Evidence, metric: str, *, state: str = "warm") -> list[CellFigure]:
    """Every cell of `state` with a value of `metric`, by text length, then label.

    The interval is that of undisturbed blocks. Without any, it is that of disturbed blocks, and the cell is not ranked.
    A cell that is answered from a cache is not ranked either, because nothing is synthesised.
    """
    values = matching(evidence.values(metric), {"state": state})
    values = named_apart(values[~values["superseded"] & (values["status"] != "unavailable")])
    groups = [group for _, group in values.groupby("cell_id", sort=False)]
    figures = [
        replace(cell_figure(group), ranked="", note="answered from a cache")
        if cached_speech(group).all()
        else cell_figure(group)
        for group in groups
    ]
    return sorted(figures, key=lambda figure: (figure.characters, figure.text_preset, figure.label))


def named_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with one cell behind each text and label: without replicas, which are measured only to show the noise.

    Where cells differ in a factor that the label leaves out, each label gets the start of its cell's id.
    """
    lines = [rows["text_preset"], rows["characters"], rows["label"]]
    rows = rows[rows["replica"] == rows.groupby(lines, sort=False)["replica"].transform("min")]
    several = rows.groupby([line[rows.index] for line in lines], sort=False)["cell_id"].transform("nunique") > 1
    if not several.any():
        return rows
    names = rows["label"].astype(str) + ", cell " + rows["cell_id"].astype(str).str[:6]
    return rows.assign(label=rows["label"].where(~several, names))


def best(figures: list[CellFigure], text_preset: str) -> CellFigure | None:
    """The cell with the lowest median among the equivalent cells of one text."""
    ranked = [figure for figure in figures if figure.text_preset == text_preset and figure.ranked == "equivalent"]
    return min(ranked, key=lambda figure: (figure.measured.center, figure.label), default=None)


def block_points(evidence: Evidence, metric: str, *, state: str = "warm") -> pd.DataFrame:
    """One row per block of those cells: text_preset, characters, label, value, contaminated."""
    blocks = matching(evidence.blocks(metric), {"state": state})
    blocks = named_apart(blocks[~blocks["superseded"] & (blocks["status"] != "unavailable")])
    return blocks[["text_preset", "characters", "label", "value", "contaminated"]]


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, no decimals above a thousand, thousands separated: `0.338`, `26.1`, `1 450`."""
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    rounded = round(value, places)
    return f"{rounded:,.{places}f}".replace(",", NARROW_SPACE).replace("-", "\u2212")


def spread(measured: Interval, unit: str = "") -> str:
    """A figure with its interval: `1 450 ms (1 402 to 1 507)`; with too few blocks for one, their range."""
    return f"{number(measured.center)}{' ' if unit else ''}{unit} ({reach(measured)})"


def stated(measured: Interval, unit: str = "", scale: float = 1.0) -> str:
    """A figure as a sentence states it: `442 ms`, and what it lacks: `442 ms (one block, no interval)`.

    `scale`: as in `reach`.
    """
    value = f"{number(measured.center / scale)} {unit}".rstrip()
    return value if measured.confidence is not None else f"{value} ({reach(measured, scale=scale)})"


def span(measured: Sequence[Interval], unit: str = "") -> str:
    """The smallest and the largest of several figures: `0.210 to 0.480 s`, and what they lack."""
    ends = [function(measured, key=lambda interval: interval.center) for function in (min, max)]
    words = f"{number(ends[0].center)} to {number(ends[1].center)} {unit}".rstrip()
    fewest = min((end.count for end in ends if end.confidence is None), default=0)
    return f"{words} ({'one block' if fewest == 1 else f'{fewest} blocks'} at an end, no interval)" if fewest else words


def reach(measured: Interval, unit: str = "", scale: float = 1.0) -> str:
    """The ends of a figure's interval: `1 402 to 1 507 ms`; `range of 4: 1 402 to 1 507 ms` where it is only a range.

    `scale`: how many units of the figure make one of `unit`.
    """
    low, high = measured.low, measured.high
    if high is None:
        return "one block, no interval" if measured.count == 1 else f"{measured.count} blocks, no interval"
    words = f"at most {number(high / scale)}" if low is None else f"{number(low / scale)} to {number(high / scale)}"
    words = f"{words} {unit}".rstrip()
    return words if measured.confidence is not None else f"range of {measured.count}: {words}"


def faster(ratio: Interval | None, base: str) -> str:
    """A ratio of times in words: `3.06x faster than cpu, 1 thread (2.90 to 3.20)`, or slower where it is above 1."""
    if ratio is None:
        return f"not compared with {base}"
    below = ratio.center < 1
    shown = ratio.mapped(lambda value: 1 / value, falling=True) if below else ratio
    return f"{number(shown.center)}x {'faster' if below else 'slower'} than {base} ({reach(shown)})"


def sentence(message: str) -> str:
    """A message as a sentence: a capital in front, a full stop behind; empty when the message is."""
    words = message.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words[-1] in ".!?:" else ".")


def cell_figure(rows: pd.DataFrame) -> CellFigure:
    """The line of one cell from its rows, each with a `value`; `label` and `text_preset` come from the first row.

    Raises ValueError for rows of several cells: their blocks are never pooled.
    """
    cells = sorted(set(rows["cell_id"]))
    if len(cells) > 1:
        raise ValueError(f"a figure is of one cell, not of {', '.join(map(str, cells))}")
    first = rows.iloc[0]
    blocks = rows.drop_duplicates(["cell_id", "block"])
    quiet = rows[~rows["contaminated"].astype(bool)]
    used = rows if quiet.empty else quiet
    gates = sorted(set(used["gate"]), key=["equivalent", "close", "none", "different"].index)
    note = ""
    if quiet.empty:
        note = "disturbed"
    elif str(first["status"]) != "ok":
        note = "ran partially"
    elif gates[-1] not in ("equivalent", "close"):
        note = "audio differs" if gates[-1] == "different" else "audio not compared"
    return CellFigure(
        cell_id=str(first["cell_id"]),
        text_preset=str(first["text_preset"]),
        characters=int(first["characters"]),
        label=str(first["label"]),
        provider=str(first["provider"]),
        state=str(first["state"]),
        measured=rows_interval(used),
        ranked="" if note else gates[-1],
        note=note,
        disturbed=int(blocks["contaminated"].sum()),
    )
