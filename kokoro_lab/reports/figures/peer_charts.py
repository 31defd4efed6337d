"""Peers: the results of `make bench-peers`, drawn and in words. Ratios are the peer's figure over Kokoro Lab's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import altair as alt
import pandas as pd

from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.reports.drawing.plots import WIDE_FROM, label_space, plot_width, y_axis
from kokoro_lab.reports.drawing.theme import SERIES, ChartFigure, Picture, colour
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.workbook import NotebookAnswer, joined

__all__ = ["PeerTable", "figures_table", "noise_table", "peers_answer", "peers_figure"]

NOTHING = "No peer has been measured on this machine yet; `make bench-peers` installs and measures them."
DECIDED = ("faster", "slower", "equivalent")
STEP = 16  # px, one dot


@dataclass(frozen=True)
class PeerTable:
    """The results of one run of `make bench-peers`."""

    document: Mapping[str, Any]
    rows: pd.DataFrame
    """One row per engine, figure and text, with the fields of `benchmarks.peer_table.PeerRow`."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From the JSON document that the command stores."""
        return cls(document, pd.DataFrame(document["rows"]))

    @classmethod
    def nothing(cls) -> Self:
        """The empty table of a machine on which no peer was measured."""
        model = {"weights": "none", "architecture": "none"}
        counts = {"run_id": "none", "blocks": 0, "threads": 0, "contaminated": 0, "contaminated_used": False}
        columns = ["engine", "figure", "text", "unit", "value", "ratio", "low", "high", "verdict", "pairs", "gate"]
        return cls({"model": model, **counts, "missing": {}, "noise": {}}, pd.DataFrame([], columns=columns))

    @property
    def compared(self) -> pd.DataFrame:
        """The rows with a ratio, each named by figure and text."""
        rows = self.rows.dropna(subset=["ratio"])
        return rows.assign(what=rows["figure"] + ", " + rows["text"], decided=rows["verdict"].isin(DECIDED))

    def about(self) -> str:
        """What was measured, and which peers are missing."""
        if self.rows.empty:
            return NOTHING
        model, document = self.document["model"], self.document
        used = "compared anyway" if document["contaminated_used"] else "left out"
        lines = [
            f"Run {document['run_id']}: {document['blocks']} blocks, weights {model['weights']}, architecture "
            f"{model['architecture']}, {document['threads']} threads.",
            f"{document['contaminated']} blocks were disturbed by other processes and {used}.",
        ]
        lines += [f"{name} is not in the table: {reason.rstrip('.')}." for name, reason in document["missing"].items()]
        return "\n".join(lines)


def figures_table(peers: PeerTable) -> Html:
    """Every figure of every engine, one line per figure and text."""
    if peers.rows.empty:
        return Html("<p>No results.</p>")
    engines = list(dict.fromkeys(peers.rows["engine"]))
    lines: dict[str, dict[str, Any]] = {}
    rows: list[Any] = peers.rows.to_dict("records")
    for row in rows:
        what = f"{row['figure']}, {row['text']}" + (f" ({row['unit']})" if row["unit"] else "")
        line = lines.setdefault(what, {"what": what, **dict.fromkeys(engines, "")})
        if row["value"] is not None and not pd.isna(row["value"]):
            line[row["engine"]] = number(float(row["value"]))
    return table({"what": "Figure", **{name: name for name in engines}}, list(lines.values()))


def peers_figure(peers: PeerTable) -> ChartFigure | Html:
    """Each peer relative to Kokoro Lab; a sentence when nothing could be compared."""
    rows = peers.compared
    if rows.empty:
        return Html("<p>Nothing could be compared.</p>")
    engines = list(dict.fromkeys(rows["engine"]))
    key = alt.Scale(domain=engines, range=[colour(SERIES[at % len(SERIES)]) for at in range(len(engines))])

    space = label_space(list(rows["what"]))

    def chart(width: int) -> Picture:
        slim = width < WIDE_FROM
        base = alt.Chart(rows).encode(
            alt.Y("what:N", title=None, sort=None, axis=y_axis(space)),
            yOffset=alt.YOffset("engine:N", sort=engines),
            color=alt.Color(
                "engine:N",
                scale=key,
                legend=alt.Legend(orient="bottom", columns=2 if slim else len(engines), columnPadding=18),
            ),
        )
        axis = alt.X(
            "ratio:Q", scale=alt.Scale(type="log", nice=False, padding=20), title="peer over Kokoro Lab (logarithmic)"
        )
        dots = base.mark_point(size=50, filled=False, strokeWidth=2, opacity=1).encode(
            axis,
            fill=alt.condition(
                "datum.decided", alt.Color("engine:N", scale=key, legend=None), alt.value("transparent")
            ),
        )
        spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(alt.X("low:Q"), x2="high:Q")
        unity = alt.Chart(pd.DataFrame({"ratio": [1.0]})).mark_rule(strokeDash=[4, 4], color=colour("bar"))
        plot = plot_width(width, space)
        height = STEP * len(engines) * rows["what"].nunique()
        return alt.layer(unity.encode(alt.X("ratio:Q")), spans, dots).properties(width=plot, height=height)

    ratios = rows[rows["decided"]]["ratio"]
    title = f"{int((ratios > 1).sum())} of {len(rows)} figures of the peers are proven higher than those of Kokoro Lab"
    records: list[Any] = rows.to_dict("records")
    words = [f"{row['engine']}, {row['what']}: {number(row['ratio'])}x Kokoro Lab." for row in records]
    return ChartFigure(
        title=title,
        alt=f"{title}. {' '.join(words)}",
        chart=chart,
        columns=("Engine", "Figure", "Peer over Kokoro Lab", "95 % interval", "Verdict", "Audio", "Pairs"),
        rows=[
            (
                row["engine"],
                row["what"],
                number(row["ratio"]),
                "" if pd.isna(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
                row["verdict"],
                row["gate"],
                str(row["pairs"]),
            )
            for row in records
        ],
        note="Dashed: Kokoro Lab. Hollow dots: inconclusive, or the speech differs from that of Kokoro Lab.",
    )


def noise_table(peers: PeerTable) -> Html:
    """The noise floor of each text; a sentence when there are too few blocks."""
    noise: Mapping[str, Mapping[str, Any]] = peers.document["noise"] or {}
    rows = [
        {
            "text": text,
            "pairs": str(floor["pairs"]),
            "floor": _share(floor["floor"]),
            "seen": _share(floor["detectable"]),
        }
        for text, floor in noise.items()
    ]
    if not rows:
        return Html("<p>Too few blocks to estimate the noise floor.</p>")
    columns = {"text": "Text", "pairs": "Pairs", "floor": "Noise floor", "seen": "Smallest detectable effect"}
    return table(columns, rows)


def peers_answer(peers: PeerTable) -> NotebookAnswer:
    """Each peer compared with Kokoro Lab, figure by figure, in words."""
    lines = []
    for engine, rows in peers.compared.groupby("engine", sort=False):
        records: list[Any] = rows[rows["decided"]].to_dict("records")
        decided = [f"{row['what']} {number(row['ratio'])}x Kokoro Lab ({row['verdict']})" for row in records]
        open_ = int((~rows["decided"]).sum())
        words = joined(decided) if decided else "no clear verdict"
        rest = f"{open_} {'figure is' if open_ == 1 else 'figures are'} inconclusive"
        lines.append(f"**{engine}**: {words}" + (f"; {rest}." if open_ and decided else "."))
    lines += [
        f"**{name}** was not measured: {reason.rstrip('.')}." for name, reason in peers.document["missing"].items()
    ]
    if not lines:
        lines.append(NOTHING)
    if peers.document["model"]["architecture"] == "tiny":
        lines.append("These rows are of the tiny architecture: they test the toolchain and say nothing about Kokoro.")
    return NotebookAnswer(tuple(lines))


def _share(value: Any) -> str:
    return "" if value is None else f"{100 * float(value):.1f} %"
