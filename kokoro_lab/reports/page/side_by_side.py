"""Two runs side by side: every cell that both measured, its figures in each, and how many times as fast it became."""

from __future__ import annotations

from collections.abc import Sequence

from kokoro_lab.reports.drawing.document import document
from kokoro_lab.reports.drawing.fragments import Html, Sortable, table
from kokoro_lab.reports.drawing.interval_chart import ChartRow, interval_chart
from kokoro_lab.reports.findings.statements import CitedRatio
from kokoro_lab.reports.page.publish import CellChange
from kokoro_lab.reports.rows.cell_summary import number

__all__ = ["change_rows", "side_by_side"]

FIGURES = {"total_ms": "total time", "ttfa_ms": "first sound"}
CAUTION = (
    "The two were measured at different times, and not in alternation: what changed on the machine in between is in "
    "these factors too."
)


def side_by_side(changes: Sequence[CellChange], earlier: str, later: str) -> str:
    """The page.

    Args:
        changes: the cells that both have, at least one.
        earlier: name of the earlier run or report.
        later: name of the later run.
    """
    chart = interval_chart(
        change_rows(changes),
        caption=f"Speed of {later} relative to {earlier}, the largest gain first",
        first="Cell",
        axis="times as fast",
        mark="1x, unchanged",
        value="Change",
    )
    lead = Html("\n".join((chart.text, _values(changes, earlier, later).text)))
    return document(f"{later} beside {earlier}", name=later, about=CAUTION, lead=lead)


def change_rows(changes: Sequence[CellChange]) -> list[ChartRow]:
    """One row per cell and figure, the largest gain first."""
    cited = [(change, CitedRatio.of_times("", "", change.figure, change.times)) for change in changes]
    ordered = sorted(cited, key=lambda pair: -pair[1].speedup.center)
    return [_row(change, ratio) for change, ratio in ordered]


def _row(change: CellChange, ratio: CitedRatio) -> ChartRow:
    low, high = ratio.speedup.bounds
    name = f"{_cell(change)}: {FIGURES.get(change.figure, change.figure)}"
    if low is not None and low > 1:
        return ChartRow(name, ratio.speedup, ratio.factor, ratio.interval, "faster", "▲", "good")
    if high is not None and high < 1:
        return ChartRow(name, ratio.speedup, ratio.factor, ratio.interval, "slower", "▼", "bad")
    return ChartRow(name, ratio.speedup, ratio.factor, ratio.interval, "undecided", "?", "unsure")


def _values(changes: Sequence[CellChange], earlier: str, later: str) -> Html:
    rows = [
        {
            "cell": _cell(change),
            "figure": FIGURES.get(change.figure, change.figure),
            "earlier": Sortable(f"{number(change.earlier)} ms", change.earlier),
            "later": Sortable(f"{number(change.later)} ms", change.later),
            "blocks": str(change.times.count),
        }
        for change in changes
    ]
    columns = {"cell": "Cell", "figure": "Figure", "earlier": earlier, "later": later, "blocks": "Blocks"}
    return table(columns, rows, caption="Medians of both", data=True)


def _cell(change: CellChange) -> str:
    return f"{change.text_preset}, {change.label}" + ("" if change.state == "warm" else f", {change.state}")
