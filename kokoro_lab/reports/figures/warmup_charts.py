"""Warm-up: the time that each strategy adds to the start, and the time it saves on the first text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.drawing.plots import Quantity, dots, label_space, linear_axis, plot_width, stack, x_axis, y_axis
from kokoro_lab.reports.drawing.theme import ChartFigure, Picture, colour
from kokoro_lab.reports.figures.cell_charts import LOAD_STAGES
from kokoro_lab.reports.rows.cell_summary import number, span, spread
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import ArrangedFigures, NotebookAnswer, arrange, setting, speed

__all__ = ["FIRST", "STATES", "first_text", "first_text_figure", "start_figure", "warmup_answer", "waterfall_figure"]

FIRST = "first_text_ms"
"""Column of the samples: milliseconds of the first call after the start; for a warm cell, of every call."""

STATES = {
    "cold": "new process, model file not in the page cache",
    "cold-process": "new process",
    "cold-session": "new session in a running process",
    "cold-shape": "running engine, text of another length",
    "warm": "the same text again",
}
BEFORE_SESSION = ("spawn", "import")
"""Stages of starting a process, which a second session in it does not repeat."""

SMALL = 0.005  # share of the longest start below which a stage has no bar
STAGE_HEIGHT = 22  # px
GROUPS = {"spawn": "process and imports", "import": "process and imports", "warmup": "warm-up calls"}
LOADING = "load"
FIRST_TEXT = "first text"


def waterfall_figure(evidence: Evidence) -> ChartFigure:
    """The stages of each start of a new process; each bar begins where the previous bar ends."""
    starts = [(label, stages) for label, state, stages in _starts(evidence) if state in ("cold", "cold-process")]
    if not starts:
        raise NothingMeasuredError("no process start was measured; add the state `cold-process` to the job")
    longest = max(sum(stages.values()) for _, stages in starts)
    shown = [key for key in LOAD_STAGES if any(stages[key] > SMALL * longest for _, stages in starts)]
    names = [LOAD_STAGES[key] for key in shown]
    space = label_space(names)
    first = max(starts[0][1], key=lambda key: starts[0][1][key])
    total = number(sum(starts[0][1].values()))
    title = f"{starts[0][0]}: first text done after {total} ms; longest stage: {LOAD_STAGES[first]}"

    def chart(width: int) -> Picture:
        plot = plot_width(width, space)
        domain, ticks = linear_axis(0, longest, room=plot / (plot - 80))
        scale = alt.Scale(domain=domain, nice=False)
        panels = []
        for at, (label, stages) in enumerate(starts):
            final = at == len(starts) - 1
            axis = x_axis("time since the start of the process, ms" if final else None, ticks)
            line = alt.Y("stage:N", sort=names, title=None, axis=y_axis(space))
            data = alt.Chart(_falls(stages, shown))
            bars = data.mark_bar(height=14, color=colour("s1")).encode(
                alt.X("begin:Q", scale=scale, axis=axis), alt.X2("end:Q"), line
            )
            texts = data.mark_text(align="left", dx=5).encode(alt.X("end:Q", scale=scale), line, alt.Text("text:N"))
            panels.append(alt.layer(bars, texts).properties(width=plot, height=STAGE_HEIGHT * len(names), title=label))
        return alt.vconcat(*panels, spacing=12)

    return ChartFigure(
        title=title,
        alt=f"{title}. "
        + " ".join(f"{label}: " + ", ".join(f"{LOAD_STAGES[key]} {number(stages[key])} ms" for key in shown) + "."
                   for label, stages in starts),
        chart=chart,
        columns=("Start", *[f"{name}, ms" for name in names], "Total, ms"),
        rows=[
            (label, *[number(stages[key]) for key in shown], number(sum(stages.values()))) for label, stages in starts
        ],
        note="Means of blocks. Stages shorter than 0.5 % of the longest start have no bar.",
    )  # fmt: skip


def start_figure(evidence: Evidence) -> ChartFigure:
    """Time from the start to the end of the first text, for every state and strategy."""
    lines = []
    for label, _, stages in _starts(evidence):
        parts = dict.fromkeys(("process and imports", LOADING, "warm-up calls", FIRST_TEXT), 0.0)
        for key, value in stages.items():
            parts[FIRST_TEXT if key == "first_call" else GROUPS.get(key, LOADING)] += value
        lines.append((label, parts))
    if not lines:
        raise NothingMeasuredError("no start was measured; add the state `cold-process` to the job")
    fastest = min(lines, key=lambda line: sum(line[1].values()))
    title = f"Fastest to finish the first text: {fastest[0]}, {number(sum(fastest[1].values()))} ms"
    return stack(lines, list(lines[0][1]), title, "mean time from the start, ms", "part")


def first_text(evidence: Evidence) -> ArrangedFigures:
    """Time of the first text after the start, by state and strategy, and that of a warm call."""
    calls = {
        (row["cell_id"], row["block"]): row["load_ms"].get("first_call")
        for row in evidence.cells.to_dict("records")
        if row["state"] in ("cold", "cold-process", "cold-session")
    }
    keys = zip(evidence.samples["cell_id"], evidence.samples["block"], evidence.samples["total_ms"], strict=True)
    column = [calls.get((cell, block), total) for cell, block, total in keys]
    samples = evidence.samples.assign(**{FIRST: column})
    return arrange(dataclasses.replace(evidence, samples=samples), FIRST, label=_strategy, heading=_state)


def first_text_figure(evidence: Evidence) -> ChartFigure:
    """Time of the first text once the engine is ready."""
    arranged = first_text(evidence)
    title = (
        f"The first text takes {span([figure.measured for figure in arranged.figures], 'ms')} once the engine is ready"
    )
    panels = {name: f"{name}: {STATES[name]}" for name in arranged.headings}
    return dots(arranged.figures, arranged.points, title, Quantity("time of the first text, ms", "ms"), panels=panels)


def warmup_answer(evidence: Evidence) -> NotebookAnswer:
    """The cost and benefit of each strategy, in words."""
    arranged = first_text(evidence)
    spent: dict[tuple[str, str], float] = {}
    for row, stages in _rows(evidence):
        spent[_state(row), _strategy(row)] = sum(stages.values())
    lines = []
    for state in arranged.headings:
        plain = arranged.find(state, "none")
        if plain is None or state == "warm":
            continue
        words = [f"without warm-up the first text takes {spread(plain.measured, 'ms')}"]
        for figure in arranged.under(state):
            if figure.label == "none":
                continue
            ratio = arranged.ratio(state, figure.label, "none")
            effect = f"after `{figure.label}` it is {speed(ratio, 'without warm-up')}"
            if (state, figure.label) in spent and (state, "none") in spent:
                later = spent[state, figure.label] - spent[state, "none"]
                effect += f", and is finished {number(abs(later))} ms {'later' if later > 0 else 'earlier'} in total"
            words.append(effect)
        lines.append(f"**{STATES[state]}**: {'; '.join(words)}.")
    warm = arranged.find("warm", "none")
    if warm is not None:
        lines.append(f"A warm call of the same text takes {spread(warm.measured, 'ms')}: no warm-up can do better.")
    return NotebookAnswer.of(evidence, lines)


def _strategy(row: Mapping[str, Any]) -> str:
    return str(setting(row, "warmup", "none"))


def _state(row: Mapping[str, Any]) -> str:
    return str(row["state"])


def _rows(evidence: Evidence) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """For each measured start: one of its rows, and the mean of each stage over its blocks, in ms."""
    cells = evidence.cells[~evidence.cells["superseded"] & evidence.cells["load_ms"].map(bool)]
    starts = []
    for _, rows in cells[cells["state"].isin(["cold", "cold-process", "cold-session"])].groupby("cell_id", sort=False):
        used = rows[rows["counts"]] if rows["counts"].any() else rows
        first = {str(key): value for key, value in used.iloc[0].items()}
        left_out = BEFORE_SESSION if first["state"] == "cold-session" else ()
        stages = {
            key: 0.0 if key in left_out else float(sum(block.get(key, 0.0) for block in used["load_ms"]) / len(used))
            for key in LOAD_STAGES
        }
        starts.append((first, stages))
    return starts


def _starts(evidence: Evidence) -> list[tuple[str, str, dict[str, float]]]:
    """(label, state, stages) of each start."""
    return [(f"{_state(row)}, {_strategy(row)}", _state(row), stages) for row, stages in _rows(evidence)]


def _falls(stages: Mapping[str, float], shown: list[str]) -> pd.DataFrame:
    rows, begin = [], 0.0
    for key, value in stages.items():
        if key in shown:
            text = f"{number(value)} ms" if value > 0 else ""
            rows.append({"stage": LOAD_STAGES[key], "begin": begin, "end": begin + value, "text": text})
        begin += value
    return pd.DataFrame(rows)
