"""Streaming: how soon the first sound comes, and whether the sound after it comes in time for somebody who listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.listener import CHUNK_SIZES_MS, PREBUFFERS, Arrival, Listening, listen, sweep
from kokoro_lab.reports.curves import Line, curves
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.plots import dots
from kokoro_lab.reports.summary import number, spread
from kokoro_lab.reports.theme import Figure, Picture, colour
from kokoro_lab.reports.workbook import Answer, Arranged, arrange, joined, setting, times

__all__ = ["arrival_figure", "recorded", "stall_figure", "stream_ttfa_figure", "streaming_answer"]

WHOLE = "in one piece"
GRID_HEIGHT = 34  # px, one row of the grid


def stream_ttfa_figure(evidence: Evidence) -> Figure:
    """Time to first audio of every way of streaming."""
    found = _first_audio(evidence)
    streamed = [figure for figure in found.figures if figure.label != WHOLE]
    best = min(streamed or found.figures, key=lambda figure: figure.measured.median)
    title = f"{best.text_preset}, {best.label}: first audio after {number(best.measured.median)} ms"
    return dots(found.figures, found.points, title, "first audio, ms (logarithmic)", "ms", log=True)


def recorded(evidence: Evidence) -> dict[str, tuple[Arrival, ...]]:
    """The deliveries of the last stream of each cell's first block, by what the cell is called.

    Raises:
        NothingMeasuredError: no stream was recorded.
    """
    found: dict[str, tuple[Arrival, ...]] = {}
    rows: list[Any] = evidence.cells[~evidence.cells["superseded"]].to_dict("records")
    for row in rows:
        deliveries = row["details"].get("deliveries") or ()
        if deliveries:
            found.setdefault(_named(row), tuple(Arrival(*delivery) for delivery in deliveries))
    if not found:
        raise NothingMeasuredError("No stream was recorded: add the delivery stream to the job.")
    return found


def arrival_figure(evidence: Evidence, name: str = "") -> Figure:
    """Seconds of sound that had arrived, and seconds that a listener had heard, over the time since the call.

    Where the two meet, the listener waits.
    """
    streams = recorded(evidence)
    name = name or max(streams, key=lambda one: len(streams[one]))
    arrivals = streams[name]
    heard = listen(arrivals)
    sound, came = 0.0, [(0.0, 0.0)]
    for delivery in arrivals:
        sound += delivery.duration_s
        came.append((delivery.at_s, sound))
    came.append((max(heard.ended_s, came[-1][0]), sound))
    clock = _clock(arrivals)
    stalls = "never waits again" if not heard.underruns else f"waits {number(heard.stalled_s)} s in all"
    return curves(
        [Line("arrived", came, "steps"), Line("heard", clock, "rule", colour=1)],
        title=f"{name}: the listener starts after {number(heard.started_s)} s and {stalls}",
        x="time since the call, s",
        y="sound, s",
        note="Where the line of what was heard is flat, the listener waits.",
    )


def stall_figure(evidence: Evidence) -> Figure:
    """Underruns of every player of the grid, for each recorded stream: the same recording, heard again."""
    streams = recorded(evidence)
    heard = {name: sweep(arrivals) for name, arrivals in streams.items()}
    total = sum(len(grid) for grid in heard.values())
    smooth = sum(one.underruns == 0 for grid in heard.values() for one in grid)
    title = f"{smooth} of {total} combinations of stream and player never stall"
    depths = [str(depth) for depth in PREBUFFERS]
    sizes = [f"{size:g} ms" for size in CHUNK_SIZES_MS]

    def chart(width: int) -> Picture:
        panels = []
        for name, grid in heard.items():
            base = alt.Chart(pd.DataFrame([_square(one) for one in grid])).encode(
                alt.X("chunk:N", sort=sizes, title="chunk that the player waits for", axis=alt.Axis(labelAngle=0)),
                alt.Y("depth:N", sort=depths, title="chunks held"),
            )
            squares = base.mark_rect(stroke=colour("quiet"), strokeWidth=1).encode(
                alt.Fill("fill:N", scale=None), alt.FillOpacity("weight:Q", scale=None)
            )
            panels.append(
                alt.layer(squares, base.mark_text().encode(alt.Text("text:N"))).properties(
                    width=min(width - 70, 520), height=GRID_HEIGHT * len(depths), title=name
                )
            )
        return alt.vconcat(*panels, spacing=16)

    return Figure(
        title=title,
        alt=f"{title}. " + " ".join(f"{name}: {_worst(grid)}." for name, grid in heard.items()),
        chart=chart,
        columns=("Stream", "Chunk, ms", "Chunks held", "Starts, s", "Stalls", "Silence, s", "Longest, s"),
        rows=[
            (
                name,
                f"{one.chunk_ms:g}",
                str(one.prebuffer),
                number(one.started_s),
                str(one.underruns),
                number(one.stalled_s),
                number(one.longest_stall_s),
            )
            for name, grid in heard.items()
            for one in grid
        ],
        note="In a square: how often the sound stops, and for how long in all. A recorded stream, not a new one.",
    )


def streaming_answer(evidence: Evidence) -> Answer:
    """How much sooner a stream begins, what the primer does, and which player never stalls, in words."""
    found = _first_audio(evidence)
    lines = []
    for heading in found.headings:
        base = found.find(heading, WHOLE)
        ways = [figure for figure in found.under(heading) if figure.label != WHOLE]
        if not ways:
            continue
        best = min(ways, key=lambda figure: figure.measured.median)
        words = f"**{heading}**: soonest with {best.label}, first audio after {spread(best.measured, 'ms')}"
        if base is not None:
            words += f"; that is {times(found.ratio(heading, best.label, WHOLE), 'as long')} as in one piece"
        for way in ways:
            off = f"{way.label}, no primer"
            if found.find(heading, off) is not None:
                share = times(found.ratio(heading, way.label, off), "as long")
                words += f"; with the primer, {way.label} takes {share} as without"
        lines.append(f"{words}.")
    changed = [figure.label for figure in found.figures if figure.note == "audio differs"]
    if changed:
        names = joined(sorted(set(changed)))
        lines.append(
            f"Not the same speech as in one piece, and so never ranked: {names}. A text cut elsewhere is spoken "
            "with another melody; whether that matters is for ears to say."
        )
    for name, arrivals in recorded(evidence).items():
        least = next((one for one in sorted(sweep(arrivals), key=_wait) if not one.underruns), None)
        lines.append(
            f"{name}: "
            + (
                f"a player of {least.chunk_ms:g} ms that holds {least.prebuffer} never stalls, and starts after "
                f"{number(least.started_s)} s."
                if least
                else "every player of the grid stalls."
            )
        )
    return Answer.of(evidence, lines)


def _first_audio(evidence: Evidence) -> Arranged:
    return arrange(evidence, "ttfa_ms", label=_label)


def _label(row: Mapping[str, Any]) -> str:
    if row["delivery"] != "stream":
        return WHOLE
    chunk = float(setting(row, "chunk_ms", 80.0))
    words = [f"{chunk:g} ms" if chunk else "segments"]
    held = int(setting(row, "prebuffer", 1))
    if held > 1:
        words.append(f"{held} held")
    if not setting(row, "primer", True):
        words.append("no primer")
    return ", ".join(words)


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['text_preset']}, {_label(row)}"


def _clock(arrivals: Sequence[Arrival]) -> list[tuple[float, float]]:
    """(time since the call, sound heard), in seconds, of a player that starts with the first delivery."""
    points = [(0.0, 0.0), (arrivals[0].at_s, 0.0)]
    for delivery in arrivals:
        now, heard = points[-1]
        if delivery.at_s > now:
            points.append((delivery.at_s, heard))
            now = delivery.at_s
        points.append((now + delivery.duration_s, heard + delivery.duration_s))
    return points


def _square(one: Listening) -> dict[str, Any]:
    return {
        "chunk": f"{one.chunk_ms:g} ms",
        "depth": str(one.prebuffer),
        "text": f"{one.underruns}: {number(one.stalled_s)} s" if one.underruns else "none",
        "fill": colour("s2" if one.underruns else "s3"),
        "weight": 0.35 if one.underruns else 0.15,
    }


def _wait(one: Listening) -> float:
    return one.started_s


def _worst(grid: Sequence[Listening]) -> str:
    worst = max(grid, key=lambda one: one.underruns)
    return f"at most {worst.underruns} stalls, at {worst.chunk_ms:g} ms and {worst.prebuffer} held"
