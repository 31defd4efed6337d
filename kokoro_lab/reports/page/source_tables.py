"""The tables of the specification, line by line: what they claim beside what was measured here."""

from __future__ import annotations

from collections.abc import Sequence

from kokoro_lab.reports.claims.claims import Claims
from kokoro_lab.reports.claims.resolution import Resolution
from kokoro_lab.reports.drawing.fragments import Html, fragment, table
from kokoro_lab.reports.page.claims_table import SIGNS, measured_words

__all__ = ["specification_tables"]

NOTHING = "–"


def specification_tables(claims: Claims, resolutions: Sequence[Resolution]) -> Html:
    """Each table of each source, in the order of the claims file."""
    by_id = {resolution.claim.id: resolution for resolution in resolutions}
    parts = []
    for source_table in claims.tables:
        rows = []
        for line in source_table.rows:
            resolved = [by_id[name] for name in line.claims]
            best = next((item for item in resolved if item.measured is not None), resolved[0] if resolved else None)
            rows.append(
                {
                    "line": line.line,
                    **{column: line.stated.get(column, NOTHING) for column in source_table.columns},
                    "ours": _measured(best, line.why),
                    "verdict": _verdicts(resolved),
                }
            )
        headings = {
            "line": source_table.first,
            **{column: "Claimed" if column == "stated" else f"Claimed: {column}" for column in source_table.columns},
            "ours": "Measured here",
            "verdict": "Verdict",
        }
        caption = f"{claims.sources[source_table.source].title}: {source_table.title}"
        parts.append(table(headings, rows, css="kl-document", caption=caption).text)
    return Html("\n".join(parts))


def _measured(resolution: Resolution | None, why: str) -> Html | str:
    if resolution is None:
        return why
    words, reach = measured_words(resolution)
    return fragment("measured", words=words or NOTHING, reach=reach, cell=resolution.cell or resolution.reason)


def _verdicts(resolved: Sequence[Resolution]) -> Html | str:
    if not resolved:
        return NOTHING
    items = [
        (
            resolution.claim.id,
            f"{resolution.claim.claimed}: {resolution.verdict}",
            SIGNS[resolution.verdict],
            resolution.verdict,
        )
        for resolution in resolved
    ]
    return fragment("verdicts", items=items)
