"""Warm-up: what each strategy adds to a start, and what it takes from the first text after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.charts import LOAD_STAGES
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.plots import dots, label_space, linear_axis, plot_width, stack, x_axis, y_axis
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure, Picture, colour
from kokoro_lab.reports.workbook import Answer, Arranged, arrange, setting, times

__all__ = ["FIRST", "STATES", "first_text", "first_text_figure", "start_figure", "warmup_answer", "waterfall_figure"]

FIRST = "first_text_ms"
"""Column of the samples: milliseconds of the first call after the start; of a warm cell, those of any call."""

STATES = {
    "cold": "model file not in memory",
    "cold-process": "new process",
    "cold-session": "new session in a process that runs",
    "cold-shape": "running engine, text of another length",
    "warm": "the same text again",
}
BEFORE_SESSION = ("spawn", "import")
"""Stages of the process: a second session in it does not pay for them."""

SMALL = 0.005  # share of the longest start, below which a stage has no bar of its own
STAGE_HEIGHT = 22  # px
GROUPS = {"spawn": "process and imports", "import": "process and imports", "warmup": "warm-up calls"}
LOADING = "load"
FIRST_TEXT = "first text"


def waterfall_figure(evidence: Evidence) -> Figure:
    """Each start of a new process, stage after stage: a bar begins where the one before it ends."""
    starts = [(label, stages) for label, state, stages in _starts(evidence) if state in ("cold", "cold-process")]
    if not starts:
        raise NothingMeasuredError("No start of a process was measured: add the state cold-process to the job.")
    longest = max(sum(stages.values()) for _, stages in starts)
    shown = [key for key in LOAD_STAGES if any(stages[key] > SMALL * longest for _, stages in starts)]
    names = [LOAD_STAGES[key] for key in shown]
    space = label_space(names)
    first = max(starts[0][1], key=lambda key: starts[0][1][key])
    title = f"{starts[0][0]}: speech after {number(sum(starts[0][1].values()))} ms; longest stage: {LOAD_STAGES[first]}"

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

    return Figure(
        title=title,
        alt=f"{title}. "
        + " ".join(f"{label}: " + ", ".join(f"{LOAD_STAGES[key]} {number(stages[key])} ms" for key in shown) + "."
                   for label, stages in starts),
        chart=chart,
        columns=("Start", *[f"{name}, ms" for name in names], "sum, ms"),
        rows=[
            (label, *[number(stages[key]) for key in shown], number(sum(stages.values()))) for label, stages in starts
        ],
        note="Means of blocks. Stages under half a per cent of the longest start have no bar.",
    )  # fmt: skip


def start_figure(evidence: Evidence) -> Figure:
    """From the start to the end of the first text, for every state and strategy."""
    lines = []
    for label, _, stages in _starts(evidence):
        parts = dict.fromkeys(("process and imports", LOADING, "warm-up calls", FIRST_TEXT), 0.0)
        for key, value in stages.items():
            parts[FIRST_TEXT if key == "first_call" else GROUPS.get(key, LOADING)] += value
        lines.append((label, parts))
    if not lines:
        raise NothingMeasuredError("No start was measured: add the state cold-process to the job.")
    fastest = min(lines, key=lambda line: sum(line[1].values()))
    title = f"Soonest done with the first text: {fastest[0]}, {number(sum(fastest[1].values()))} ms"
    return stack(lines, list(lines[0][1]), title, "mean time from the start, ms", "part")


def first_text(evidence: Evidence) -> Arranged:
    """Time of the first text after the start, by state and strategy, beside that of a warm call."""
    calls = {
        (row["cell_id"], row["block"]): row["load_ms"].get("first_call")
        for row in evidence.cells.to_dict("records")
        if row["state"] in ("cold", "cold-process", "cold-session")
    }
    keys = zip(evidence.samples["cell_id"], evidence.samples["block"], evidence.samples["total_ms"], strict=True)
    column = [calls.get((cell, block), total) for cell, block, total in keys]
    samples = evidence.samples.assign(**{FIRST: column})
    return arrange(dataclasses.replace(evidence, samples=samples), FIRST, label=_strategy, heading=_state)


def first_text_figure(evidence: Evidence) -> Figure:
    """How long the first text takes when the engine is ready."""
    found = first_text(evidence)
    medians = [figure.measured.median for figure in found.figures]
    title = f"The first text takes {number(min(medians))} to {number(max(medians))} ms once the engine is ready"
    panels = {name: f"{name}: {STATES[name]}" for name in found.headings}
    return dots(found.figures, found.points, title, "time of the first text, ms", "ms", panels=panels)


def warmup_answer(evidence: Evidence) -> Answer:
    """What each strategy costs and saves, in words."""
    found = first_text(evidence)
    spent: dict[tuple[str, str], float] = {}
    for row, stages in _rows(evidence):
        spent[_state(row), _strategy(row)] = sum(stages.values())
    lines = []
    for state in found.headings:
        plain = found.find(state, "none")
        if plain is None or state == "warm":
            continue
        words = [f"without warm-up the first text takes {spread(plain.measured, 'ms')}"]
        for figure in found.under(state):
            if figure.label == "none":
                continue
            told = f"after `{figure.label}` it takes {times(found.ratio(state, figure.label, 'none'), 'as long')}"
            if (state, figure.label) in spent and (state, "none") in spent:
                later = spent[state, figure.label] - spent[state, "none"]
                told += f", and is done {number(abs(later))} ms {'later' if later > 0 else 'sooner'} in all"
            words.append(told)
        lines.append(f"**{STATES[state]}**: {'; '.join(words)}.")
    warm = found.find("warm", "none")
    if warm is not None:
        lines.append(f"A warm call of the same text takes {spread(warm.measured, 'ms')}: no warm-up can do better.")
    return Answer.of(evidence, lines)


def _strategy(row: Mapping[str, Any]) -> str:
    return str(setting(row, "warmup", "none"))


def _state(row: Mapping[str, Any]) -> str:
    return str(row["state"])


def _rows(evidence: Evidence) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Of each start that was measured: one of its rows, and the mean of each stage over its blocks, in ms."""
    cells = evidence.cells[~evidence.cells["superseded"] & evidence.cells["load_ms"].map(bool)]
    found = []
    for _, rows in cells[cells["state"].isin(["cold", "cold-process", "cold-session"])].groupby("cell_id", sort=False):
        used = rows[rows["counts"]] if rows["counts"].any() else rows
        first = {str(key): value for key, value in used.iloc[0].items()}
        left_out = BEFORE_SESSION if first["state"] == "cold-session" else ()
        stages = {
            key: 0.0 if key in left_out else float(sum(block.get(key, 0.0) for block in used["load_ms"]) / len(used))
            for key in LOAD_STAGES
        }
        found.append((first, stages))
    return found


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
