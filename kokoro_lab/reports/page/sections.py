"""Sections of a report that are tables: bounds, comparisons, recommendations, links to notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.drawing.fragments import Html, fragment, note, table
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.findings.recommend import advice, next_steps, no_effect_lines
from kokoro_lab.reports.rows.cell_summary import number, sentence, spread
from kokoro_lab.reports.rows.evidence import Evidence

__all__ = ["NO_BOUND", "advice_table", "bound_table", "comparison_table", "notebook_links", "notebook_page"]

NO_BOUND = (
    "no bound: the peak of this machine was not measured in this run, no undisturbed warm cell has the full "
    "architecture, or its model file no longer exists"
)
FIGURE_NAMES = {"total_ms": "total time", "ttfa_ms": "time to first audio", "rtf": "real-time factor"}
FIGURES = ("total_ms", "ttfa_ms")
"""Figures that are shown; the real-time factor is the total time divided by the same duration."""
BELOW_BOUND = "faster than its bound: other processes disturbed the measurement of the peak; measure again"


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
    return table(columns, rows, css="kl-bounds")


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
    return table(columns, rows)


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
        parts.append(table({"goal": "Goal", "setting": "Setting", "measured": "Measured", "buys": "Effect"}, rows).text)
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
    return table({"name": "Notebook", "status": "Status", "seconds": "Duration", "error": "Error"}, rows)


def _share(bound: Bound) -> str:
    return f"{100 * bound.unattributed_ms / bound.measured.center:.0f}\u00a0%"
