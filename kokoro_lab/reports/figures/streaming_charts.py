"""Streaming: how soon the first audio arrives, and whether the audio after it arrives in time for a listener."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.block.listener import CHUNK_SIZES_MS, PREBUFFERS, Arrival, Listening, listen, sweep
from kokoro_lab.reports.drawing.curves import Curve, curves
from kokoro_lab.reports.drawing.plots import Quantity, dots
from kokoro_lab.reports.drawing.theme import ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import number, spread, stated
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.workbook import ArrangedFigures, NotebookAnswer, arrange, joined, setting, speed

__all__ = ["arrival_figure", "recorded", "stall_figure", "stream_ttfa_figure", "streaming_answer"]

WHOLE = "not streamed"
GRID_HEIGHT = 34  # px, one row of the grid


def stream_ttfa_figure(evidence: Evidence) -> ChartFigure:
    """Time to first audio of every way of streaming."""
    arranged = _first_audio(evidence)
    streamed = [figure for figure in arranged.figures if figure.label != WHOLE]
    best = min(streamed or arranged.figures, key=lambda figure: figure.measured.center)
    title = f"{best.text_preset}, {best.label}: first audio after {stated(best.measured, 'ms')}"
    return dots(
        arranged.figures, arranged.points, title, Quantity("time to first audio, ms (logarithmic)", "ms", log=True)
    )


def recorded(evidence: Evidence) -> dict[str, tuple[Arrival, ...]]:
    """The deliveries of the last stream of each cell's first block, by the name of the cell.

    Raises:
        NothingMeasuredError: no stream was recorded.
    """
    streams: dict[str, tuple[Arrival, ...]] = {}
    rows: list[Any] = evidence.cells[~evidence.cells["superseded"]].to_dict("records")
    for row in rows:
        deliveries = row["details"].get("deliveries") or ()
        if deliveries:
            streams.setdefault(_named(row), tuple(Arrival(*delivery) for delivery in deliveries))
    if not streams:
        raise NothingMeasuredError("no stream was recorded; add `delivery: stream` to the job")
    return streams


def arrival_figure(evidence: Evidence, name: str = "") -> ChartFigure:
    """Seconds of audio that arrived, and seconds that a listener heard, over the time since the call.

    Where the two meet, the listener waits.
    """
    streams = recorded(evidence)
    name = name or max(streams, key=lambda label: len(streams[label]))
    arrivals = streams[name]
    heard = listen(arrivals)
    sound, came = 0.0, [(0.0, 0.0)]
    for delivery in arrivals:
        sound += delivery.duration_s
        came.append((delivery.at_s, sound))
    came.append((max(heard.ended_s, came[-1][0]), sound))
    clock = _clock(arrivals)
    stalls = "never has to wait again" if not heard.underruns else f"waits {number(heard.stalled_s)} s in total"
    return curves(
        [Curve("arrived", came, "steps"), Curve("heard", clock, "rule", colour=1)],
        title=f"{name}: the listener starts after {number(heard.started_s)} s and {stalls}",
        x="time since the call, s",
        y="audio, s",
        note="Where the line `heard` is flat, the listener waits.",
    )


def stall_figure(evidence: Evidence) -> ChartFigure:
    """Underruns of every player setting, for each recorded stream, simulated from the recording."""
    streams = recorded(evidence)
    heard = {name: sweep(arrivals) for name, arrivals in streams.items()}
    total = sum(len(grid) for grid in heard.values())
    smooth = sum(played.underruns == 0 for grid in heard.values() for played in grid)
    title = f"{smooth} of {total} combinations of stream and player setting never stall"
    depths = [str(depth) for depth in PREBUFFERS]
    sizes = [f"{size:g} ms" for size in CHUNK_SIZES_MS]

    def chart(width: int) -> Picture:
        panels = []
        for name, grid in heard.items():
            base = alt.Chart(pd.DataFrame([_square(played) for played in grid])).encode(
                alt.X("chunk:N", sort=sizes, title="chunk size of the player", axis=alt.Axis(labelAngle=0)),
                alt.Y("depth:N", sort=depths, title="chunks buffered"),
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

    return ChartFigure(
        title=title,
        alt=f"{title}. " + " ".join(f"{name}: {_worst(grid)}." for name, grid in heard.items()),
        chart=chart,
        columns=("Stream", "Chunk, ms", "Chunks buffered", "Start, s", "Stalls", "Stalled, s", "Longest stall, s"),
        rows=[
            (
                name,
                f"{played.chunk_ms:g}",
                str(played.prebuffer),
                number(played.started_s),
                str(played.underruns),
                number(played.stalled_s),
                number(played.longest_stall_s),
            )
            for name, grid in heard.items()
            for played in grid
        ],
        note="In each square: number of stalls and their total duration, simulated from one recorded stream.",
    )


def streaming_answer(evidence: Evidence) -> NotebookAnswer:
    """How much earlier a stream starts, the effect of the primer, and the fastest player without stalls, in words."""
    arranged = _first_audio(evidence)
    lines = []
    for heading in arranged.headings:
        base = arranged.find(heading, WHOLE)
        ways = [figure for figure in arranged.under(heading) if figure.label != WHOLE]
        if not ways:
            continue
        best = min(ways, key=lambda figure: figure.measured.center)
        words = f"**{heading}**: fastest with {best.label}, first audio after {spread(best.measured, 'ms')}"
        if base is not None:
            words += f"; that is {speed(arranged.ratio(heading, best.label, WHOLE), 'without streaming')}"
        for way in ways:
            off = f"{way.label}, no primer"
            if arranged.find(heading, off) is not None:
                ratio = arranged.ratio(heading, way.label, off)
                words += f"; with the primer, {way.label} is {speed(ratio, 'without')}"
        lines.append(f"{words}.")
    changed = [figure.label for figure in arranged.figures if figure.note == "audio differs"]
    if changed:
        names = joined(sorted(set(changed)))
        lines.append(
            f"Not the same audio as without streaming, and so not ranked: {names}. Splitting a text at other places "
            "changes its intonation; listen to judge whether that matters."
        )
    for name, arrivals in recorded(evidence).items():
        least = next((played for played in sorted(sweep(arrivals), key=_wait) if not played.underruns), None)
        lines.append(
            f"{name}: "
            + (
                f"a player with {least.chunk_ms:g} ms chunks that buffers {least.prebuffer} never stalls and starts "
                f"after {number(least.started_s)} s."
                if least
                else "every player setting stalls."
            )
        )
    return NotebookAnswer.of(evidence, lines)


def _first_audio(evidence: Evidence) -> ArrangedFigures:
    return arrange(evidence, "ttfa_ms", label=_label)


def _label(row: Mapping[str, Any]) -> str:
    if row["delivery"] != "stream":
        return WHOLE
    chunk = float(setting(row, "chunk_ms", 80.0))
    words = [f"{chunk:g} ms" if chunk else "segments"]
    depth = int(setting(row, "prebuffer", 1))
    if depth > 1:
        words.append(f"{depth} buffered")
    if not setting(row, "primer", True):
        words.append("no primer")
    return ", ".join(words)


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['text_preset']}, {_label(row)}"


def _clock(arrivals: Sequence[Arrival]) -> list[tuple[float, float]]:
    """(time since the call, audio heard), in seconds, of a player that starts with the first delivery."""
    points = [(0.0, 0.0), (arrivals[0].at_s, 0.0)]
    for delivery in arrivals:
        now, heard = points[-1]
        if delivery.at_s > now:
            points.append((delivery.at_s, heard))
            now = delivery.at_s
        points.append((now + delivery.duration_s, heard + delivery.duration_s))
    return points


def _square(played: Listening) -> dict[str, Any]:
    return {
        "chunk": f"{played.chunk_ms:g} ms",
        "depth": str(played.prebuffer),
        "text": f"{played.underruns}: {number(played.stalled_s)} s" if played.underruns else "none",
        "fill": colour("s2" if played.underruns else "s3"),
        "weight": 0.35 if played.underruns else 0.15,
    }


def _wait(played: Listening) -> float:
    return played.started_s


def _worst(grid: Sequence[Listening]) -> str:
    worst = max(grid, key=lambda played: played.underruns)
    return f"at most {worst.underruns} stalls, with {worst.chunk_ms:g} ms chunks and {worst.prebuffer} buffered"
