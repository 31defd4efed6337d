"""Peers: the table of a run of `make bench-peers`, drawn and put in words. Ratios are the peer's figure over ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import altair as alt
import pandas as pd

from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.reports.plots import WIDE_FROM, label_space, plot_width, y_axis
from kokoro_lab.reports.summary import number
from kokoro_lab.reports.theme import SERIES, Figure, Picture, colour
from kokoro_lab.reports.workbook import Answer, joined

__all__ = ["PeerTable", "figures_table", "noise_table", "peers_answer", "peers_figure"]

NOTHING = "No peer was measured on this machine yet: `make bench-peers` installs and measures them."
TOLD = ("faster", "slower", "equivalent")
STEP = 16  # px, one dot


@dataclass(frozen=True)
class PeerTable:
    """What one run of `make bench-peers` found."""

    document: Mapping[str, Any]
    rows: pd.DataFrame
    """One row a figure of one engine, with the fields of `measure.peertable.PeerRow`."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From the JSON that the command keeps."""
        return cls(document, pd.DataFrame(document["rows"]))

    @classmethod
    def nothing(cls) -> Self:
        """The table of a machine on which no peer was measured yet."""
        model = {"weights": "none", "architecture": "none"}
        counts = {"run_id": "none", "blocks": 0, "threads": 0, "contaminated": 0, "contaminated_used": False}
        columns = ["engine", "figure", "text", "unit", "value", "ratio", "low", "high", "verdict", "pairs", "gate"]
        return cls({"model": model, **counts, "missing": {}, "noise": {}}, pd.DataFrame([], columns=columns))

    @property
    def compared(self) -> pd.DataFrame:
        """The rows with a ratio to ours, each named by figure and text."""
        rows = self.rows.dropna(subset=["ratio"])
        return rows.assign(what=rows["figure"] + ", " + rows["text"], told=rows["verdict"].isin(TOLD))

    def about(self) -> str:
        """What was measured, and what is missing."""
        if self.rows.empty:
            return NOTHING
        model, found = self.document["model"], self.document
        used = "compared all the same" if found["contaminated_used"] else "left out"
        lines = [
            f"Run {found['run_id']}: {found['blocks']} blocks, weights {model['weights']}, architecture "
            f"{model['architecture']}, {found['threads']} threads.",
            f"{found['contaminated']} blocks were contaminated and {used}.",
        ]
        lines += [f"{name} is not in the table: {reason}" for name, reason in found["missing"].items()]
        return "\n".join(lines)


def figures_table(peers: PeerTable) -> Html:
    """Every figure of every engine, one line a figure and text."""
    if peers.rows.empty:
        return Html("<p>No figures.</p>")
    engines = list(dict.fromkeys(peers.rows["engine"]))
    lines: dict[str, dict[str, Any]] = {}
    rows: list[Any] = peers.rows.to_dict("records")
    for row in rows:
        what = f"{row['figure']}, {row['text']}" + (f" ({row['unit']})" if row["unit"] else "")
        line = lines.setdefault(what, {"what": what, **dict.fromkeys(engines, "")})
        if row["value"] is not None and not pd.isna(row["value"]):
            line[row["engine"]] = number(float(row["value"]))
    return table({"what": "Figure", **{name: name for name in engines}}, list(lines.values()))


def peers_figure(peers: PeerTable) -> Figure | Html:
    """Each peer over ours; says so when nothing could be compared."""
    rows = peers.compared
    if rows.empty:
        return Html("<p>Nothing to draw.</p>")
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
        axis = alt.X("ratio:Q", scale=alt.Scale(type="log", nice=False, padding=20), title="times ours (logarithmic)")
        dots = base.mark_point(size=50, filled=False, strokeWidth=2, opacity=1).encode(
            axis,
            fill=alt.condition("datum.told", alt.Color("engine:N", scale=key, legend=None), alt.value("transparent")),
        )
        spans = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2).encode(alt.X("low:Q"), x2="high:Q")
        one = alt.Chart(pd.DataFrame({"ratio": [1.0]})).mark_rule(strokeDash=[4, 4], color=colour("bar"))
        plot = plot_width(width, space)
        height = STEP * len(engines) * rows["what"].nunique()
        return alt.layer(one.encode(alt.X("ratio:Q")), spans, dots).properties(width=plot, height=height)

    ratios = rows[rows["told"]]["ratio"]
    title = f"{int((ratios > 1).sum())} of {len(rows)} figures of the peers are told to be above ours"
    records: list[Any] = rows.to_dict("records")
    words = [f"{row['engine']}, {row['what']}: {number(row['ratio'])} times ours." for row in records]
    return Figure(
        title=title,
        alt=f"{title}. {' '.join(words)}",
        chart=chart,
        columns=("Engine", "Figure", "Times ours", "95 % interval", "Verdict", "Audio", "Pairs"),
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
        note="Dashed: ours. Hollow dots: the evidence does not decide, or the speech is different from ours.",
    )


def noise_table(peers: PeerTable) -> Html:
    """What chance alone looks like, text by text; says so when there are too few blocks."""
    noise: Mapping[str, Mapping[str, Any]] = peers.document["noise"] or {}
    rows = [
        {
            "text": text,
            "pairs": str(found["pairs"]),
            "floor": _share(found["floor"]),
            "seen": _share(found["detectable"]),
        }
        for text, found in noise.items()
    ]
    if not rows:
        return Html("<p>Too few blocks to tell.</p>")
    columns = {"text": "Text", "pairs": "Pairs", "floor": "Chance alone", "seen": "Smallest effect to be found"}
    return table(columns, rows)


def peers_answer(peers: PeerTable) -> Answer:
    """Each engine against ours, figure by figure, in words."""
    lines = []
    for engine, rows in peers.compared.groupby("engine", sort=False):
        decided: list[Any] = rows[rows["told"]].to_dict("records")
        told = [f"{row['what']} {number(row['ratio'])} times ours ({row['verdict']})" for row in decided]
        open_ = int((~rows["told"]).sum())
        words = joined(told) if told else "nothing is decided"
        lines.append(f"**{engine}**: {words}" + (f"; {open_} figures are not decided." if open_ and told else "."))
    lines += [f"**{name}** was not measured: {reason}" for name, reason in peers.document["missing"].items()]
    if not lines:
        lines.append(NOTHING)
    if peers.document["model"]["architecture"] == "tiny":
        lines.append("These rows are of the tiny architecture: they show that the chain works, nothing about Kokoro.")
    return Answer(tuple(lines))


def _share(value: Any) -> str:
    return "" if value is None else f"{100 * float(value):.1f} %"
