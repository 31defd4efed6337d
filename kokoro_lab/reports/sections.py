"""Sections of a report that are tables of words: bounds, comparisons, recommendations, links to notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kokoro_lab.reports.bound import Bound
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.fragments import Html, fragment, table
from kokoro_lab.reports.kept import kept_verdicts
from kokoro_lab.reports.recommend import advice, next_steps, placebo_lines
from kokoro_lab.reports.summary import number, spread

__all__ = ["NO_BOUND", "advice_table", "bound_table", "comparison_table", "notebook_links", "notebook_page"]

NO_BOUND = (
    "No bound: the peak of this machine was not measured in this run, no undisturbed warm cell is of the full "
    "architecture, or its model file is not there any more."
)
FIGURE_NAMES = {"total_ms": "whole call", "ttfa_ms": "first audio", "rtf": "work for 1 s of speech"}
FIGURES = ("total_ms", "ttfa_ms")
"""Figures that are shown; the real-time factor is the whole call over the same duration."""
BEATEN = "beats its bound: the peak was measured while something else ran, measure again"


def bound_table(found: Sequence[Bound]) -> Html:
    """One line a cell; all times in milliseconds."""
    rows = []
    for one in found:
        products = ", ".join(f"{number(count / 1e9)} G {kind}" for kind, count in one.products.items())
        rows.append(
            {
                "cell": f"{one.text_preset}, {one.label}",
                "measured": spread(one.measured, "ms"),
                "products": products,
                "bound": f"{number(one.bound_ms)} ms",
                "stages": f"{number(sum(one.stages_ms.values()))} ms",
                "zero": f"{number(one.zero_overhead_ms)} ms",
                "unexplained": f"{number(one.unexplained_ms)} ms ({_share(one)})",
                "gap": BEATEN if one.beaten else f"{number(one.gap.median)} times",
            }
        )
    columns = {
        "cell": "Cell",
        "measured": "Whole call",
        "products": "Multiplications",
        "bound": "Bound",
        "stages": "Other stages",
        "zero": "Zero overhead",
        "unexplained": "Unexplained",
        "gap": "Over the bound",
    }
    return table(columns, rows, css="kl-bounds")


def comparison_table(evidence: Evidence) -> Html:
    """The kept verdicts of cells and twins."""
    kept = [one for one in kept_verdicts(evidence, ("cell", "twin")) if one.metric in FIGURES]
    if not kept:
        return fragment("note", text="The sweep concluded nothing: no two cells of this run can be compared.")
    rows = [
        {
            "cell": f"{one.text_preset}: {one.candidate}" + (" (the same again)" if one.kind == "twin" else ""),
            "base": one.base,
            "figure": FIGURE_NAMES[one.metric],
            "ratio": "–" if one.ratio is None else spread(one.ratio),
            "pairs": "–" if one.ratio is None else str(one.ratio.blocks),
            "verdict": one.verdict,
            "why": one.reason or "–",
        }
        for one in kept
    ]
    columns = {
        "cell": "Cell",
        "base": "Against",
        "figure": "Figure",
        "ratio": "Ratio of times",
        "pairs": "Pairs of blocks",
        "verdict": "Verdict",
        "why": "Why",
    }
    return table(columns, rows)


def advice_table(evidence: Evidence, found: Sequence[Bound]) -> Html:
    """Goals, next steps and placebos; says so where the rows support none."""
    parts = []
    lines = advice(evidence)
    if lines:
        rows: list[dict[str, Any]] = [
            {
                "goal": line.goal,
                "setting": line.setting or "none: keep what you have",
                "measured": line.measured or "–",
                "buys": line.buys,
            }
            for line in lines
        ]
        parts.append(
            table({"goal": "Goal", "setting": "Setting", "measured": "Measured", "buys": "What it buys"}, rows).text
        )
    else:
        parts.append(fragment("note", text="These rows support no recommendation.").text)
    for heading, said in (
        ("What to try next", next_steps(evidence, found)),
        ("Placebos: two levels, one effect", placebo_lines(evidence)),
    ):
        if said:
            parts.append(fragment("list", heading=heading, lines=said).text)
    return Html("\n".join(parts))


def notebook_page(name: str) -> str:
    """File of an executed notebook's page, beside the report."""
    return f"{name}.html"


def notebook_links(evidence: Evidence) -> Html:
    """The last execution of each notebook, with a link where it ended well."""
    if not evidence.notebooks:
        return fragment("note", text="No notebook was executed by a sweep in this run.")
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
            "error": str(row["error"]) or "–",
        }
        for name, row in last.items()
    ]
    return table({"name": "Notebook", "status": "Ended", "seconds": "Took", "error": "Error"}, rows)


def _share(one: Bound) -> str:
    return f"{100 * one.unexplained_ms / one.measured.median:.0f}\u00a0%"
