"""Sections of a report that are tables: cells, bounds, comparisons, recommendations, links to notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.drawing.fragments import Html, Sortable, fragment, note, table
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.findings.recommend import advice, next_steps, no_effect_lines
from kokoro_lab.reports.rows.cell_summary import CellFigure, cell_figures, number, reach, sentence, spread
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = [
    "NO_BOUND",
    "advice_table",
    "bound_table",
    "cell_table",
    "comparison_table",
    "notebook_links",
    "notebook_page",
]

NO_BOUND = (
    "no bound: the peak of this machine was not measured in this run, no undisturbed warm cell has the full "
    "architecture, or its model file no longer exists"
)
FIGURE_NAMES = {"total_ms": "total time", "ttfa_ms": "time to first audio", "rtf": "real-time factor"}
FIGURES = ("total_ms", "ttfa_ms")
"""Figures that are shown; the real-time factor is the total time divided by the same duration."""
BELOW_BOUND = "faster than its bound: other processes disturbed the measurement of the peak; measure again"


CELL_FIGURES = {
    "total_ms": "Total, ms",
    "ttfa_ms": "First sound, ms",
    "rtf": "Real-time factor",
    "rss_mb": "Memory, MB",
}
"""Figure -> its heading in the table of cells; each with its interval."""


def cell_table(evidence: Evidence) -> Html:
    """One row per cell: what it is, how it ended, and its figures with their intervals."""
    figures = {metric: _figures(evidence, metric) for metric in CELL_FIGURES}
    rows = []
    ordered = evidence.cells.sort_values(["characters", "text_preset", "label", "state"], kind="stable")
    for cell_id, blocks in ordered.groupby("cell_id", sort=False):
        first = blocks.iloc[0]
        row: dict[str, Any] = {
            "id": f"cell-{cell_id}",
            "cell": str(first["label"]) + (" (A/A pair)" if first["replica"] else ""),
            "text": Sortable(str(first["text_preset"]), int(first["characters"])),
            "state": str(first["state"]),
            "status": ", ".join(dict.fromkeys(map(str, blocks["status"]))),
            "gate": "reference" if first["reference"] else ", ".join(dict.fromkeys(map(str, blocks["gate"]))),
            "blocks": str(len(blocks)),
            "counted": str(int(blocks["counts"].sum())),
        }
        for metric in CELL_FIGURES:
            figure = figures[metric].get(str(cell_id))
            measured = None if figure is None else figure.measured
            row[metric] = "–" if measured is None else Sortable(number(measured.center), measured.center)
            row[f"{metric} interval"] = "–" if measured is None else reach(measured)
        rows.append(row)
    columns = {
        "cell": "Cell",
        "text": "Text",
        "state": "State",
        "status": "Status",
        "gate": "Audio",
        "blocks": "Blocks",
        "counted": "Counted",
    }
    for metric, heading in CELL_FIGURES.items():
        columns |= {metric: heading, f"{metric} interval": "95 % interval"}
    return table(columns, rows, css="kl-cells", caption="Every cell of this run", data=True)


def _figures(evidence: Evidence, metric: str) -> dict[str, CellFigure]:
    """The figure of each cell, in every state."""
    states = dict.fromkeys(map(str, evidence.cells["state"]))
    return {figure.cell_id: figure for state in states for figure in cell_figures(evidence, metric, state=state)}


def bound_table(cell_bounds: Sequence[Bound]) -> Html:
    """One row per cell; all times in milliseconds."""
    rows = []
    for bound in cell_bounds:
        products = ", ".join(f"{number(count / 1e9)} G {kind}" for kind, count in bound.products.items())
        rows.append(
            {
                "cell": f"{bound.text_preset}, {bound.label}",
                "measured": spread(bound.measured, "ms"),
                "products": products,
                "bound": f"{number(bound.bound_ms)} ms",
                "stages": f"{number(sum(bound.stages_ms.values()))} ms",
                "zero": f"{number(bound.zero_overhead_ms)} ms",
                "unattributed": f"{number(bound.unattributed_ms)} ms ({_share(bound)})",
                "gap": BELOW_BOUND if bound.below_bound else f"{number(bound.gap.center)}x",
            }
        )
    columns = {
        "cell": "Cell",
        "measured": "Total time",
        "products": "Multiplications",
        "bound": "Bound",
        "stages": "Other stages",
        "zero": "Zero-overhead total",
        "unattributed": "Unattributed time",
        "gap": "Total over bound",
    }
    return table(columns, rows, css="kl-bounds", caption="The time of each cell, and its bound", data=True)


def comparison_table(evidence: Evidence) -> Html:
    """The stored verdicts on cells and A/A pairs."""
    verdicts = [verdict for verdict in stored_verdicts(evidence, ("cell", "twin")) if verdict.metric in FIGURES]
    if not verdicts:
        return note("the sweep reached no verdict: no two cells of this run can be compared")
    rows = [
        {
            "cell": f"{verdict.text_preset}: {verdict.candidate}" + (" (A/A pair)" if verdict.kind == "twin" else ""),
            "base": verdict.base,
            "figure": FIGURE_NAMES[verdict.metric],
            "ratio": "–" if verdict.ratio is None else spread(verdict.ratio),
            "pairs": "–" if verdict.ratio is None else str(verdict.ratio.count),
            "verdict": verdict.verdict,
            "why": sentence(verdict.reason) or "–",
        }
        for verdict in verdicts
    ]
    columns = {
        "cell": "Cell",
        "base": "Reference",
        "figure": "Figure",
        "ratio": "Ratio of times",
        "pairs": "Pairs of blocks",
        "verdict": "Verdict",
        "why": "Reason",
    }
    return table(columns, rows, caption="Every cell against its reference", data=True)


def advice_table(evidence: Evidence, cell_bounds: Sequence[Bound]) -> Html:
    """Goals, next steps and settings with no effect; a note where the rows support no recommendation."""
    parts = []
    lines = advice(evidence)
    if lines:
        rows: list[dict[str, Any]] = [
            {
                "goal": line.goal,
                "setting": line.setting or "no change recommended",
                "measured": line.measured or "–",
                "buys": line.buys,
            }
            for line in lines
        ]
        columns = {"goal": "Goal", "setting": "Setting", "measured": "Measured", "buys": "Effect"}
        parts.append(table(columns, rows, caption="Recommended settings by goal").text)
    else:
        parts.append(note("these rows support no recommendation").text)
    for heading, items in (
        ("What to measure next", next_steps(evidence, cell_bounds)),
        ("Settings with no effect", no_effect_lines(evidence)),
    ):
        if items:
            parts.append(fragment("list", heading=heading, lines=items).text)
    return Html("\n".join(parts))


def notebook_page(name: str) -> str:
    """File name of an executed notebook's page, beside the report."""
    return f"{name}.html"


def notebook_links(evidence: Evidence) -> Html:
    """The last execution of each notebook, with a link where its file exists."""
    if not evidence.notebooks:
        return note("no sweep executed a notebook in this run")
    last: dict[str, Any] = {}
    for row in sorted(evidence.notebooks, key=lambda row: int(row["attempt"])):
        last[str(row["notebook"])] = row
    rows = [
        {
            "name": Html(f'<a href="{notebook_page(name)}">{name}</a>')
            if (evidence.run_dir / f"{name}.ipynb").is_file()
            else name,
            "status": str(row["status"]),
            "seconds": f"{float(row['wall_s']):.0f} s",
            "error": sentence(str(row["error"])) or "–",
        }
        for name, row in last.items()
    ]
    return table(
        {"name": "Notebook", "status": "Status", "seconds": "Duration", "error": "Error"},
        rows,
        caption="Executed notebooks of this run",
    )


def _share(bound: Bound) -> str:
    return f"{100 * bound.unattributed_ms / bound.measured.center:.0f}\u00a0%"
