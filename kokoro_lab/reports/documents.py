"""The documents' own tables, line by line: what they state beside what was measured here."""

from __future__ import annotations

from collections.abc import Sequence

from kokoro_lab.reports.claims import Claims
from kokoro_lab.reports.claims_table import SIGNS, measured_words
from kokoro_lab.reports.fragments import Html, fragment, table
from kokoro_lab.reports.resolve import Resolution

__all__ = ["document_tables"]

NOTHING = "–"


def document_tables(claims: Claims, resolutions: Sequence[Resolution]) -> Html:
    """Each table of each document, in the order of the claims file."""
    by_id = {resolution.claim.id: resolution for resolution in resolutions}
    parts = []
    for one in claims.tables:
        rows = []
        for line in one.rows:
            found = [by_id[name] for name in line.claims]
            best = next((item for item in found if item.measured is not None), found[0] if found else None)
            rows.append(
                {
                    "line": line.line,
                    **{column: line.stated.get(column, NOTHING) for column in one.columns},
                    "ours": _ours(best, line.why),
                    "verdict": _verdicts(found),
                }
            )
        headings = {
            "line": one.first,
            **{column: "Stated" if column == "stated" else f"Stated: {column}" for column in one.columns},
            "ours": "Measured here",
            "verdict": "Verdict",
        }
        caption = f"{claims.sources[one.source].title}: {one.title}"
        parts.append(table(headings, rows, css="kl-document", caption=caption).text)
    return Html("\n".join(parts))


def _ours(found: Resolution | None, why: str) -> Html | str:
    if found is None:
        return why
    words, reach = measured_words(found)
    return fragment("measured", words=words or NOTHING, reach=reach, cell=found.cell or found.reason)


def _verdicts(found: Sequence[Resolution]) -> Html | str:
    if not found:
        return NOTHING
    items = [(by.claim.id, f"{by.claim.stated}: {by.verdict}", SIGNS[by.verdict], by.verdict) for by in found]
    return fragment("verdicts", items=items)
