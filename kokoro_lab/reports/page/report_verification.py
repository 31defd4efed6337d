"""The verification of a report's folder: every figure is computed again from its own tables, and looked up in its page.

The tables must be what was stored (see `store.integrity.seals`), the verdicts must follow from the blocks, the figures
from the rows, and the page must show them. Nothing but the folder is read, so that it can be verified anywhere.
"""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab._version import __version__
from kokoro_lab.errors import InconclusiveError, InputError, KokoroLabError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import read_text
from kokoro_lab.reports.claims.claims import Claims, load_claims
from kokoro_lab.reports.page.publish import MANIFEST, MOST_BYTES, scrubbed
from kokoro_lab.reports.page.report import Report
from kokoro_lab.reports.page.report_data import CLAIMS, FIGURES, figures_of, read_evidence, read_figures
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.sweeps.current_verdicts import judged_again

__all__ = ["Verification", "verify"]

TOLERANCE = 1e-9  # relative: the same numbers, summed in another order by another build of NumPy
SECTIONS = ("answer", "recommendations", "measured", "noise", "providers", "bound", "comparisons", "claims_tested")
MORE_SECTIONS = ("claims_open", "specification_tables", "sources", "provenance")
PAGE = "index.html"
MOST_PAGE_BYTES = 64 << 20
SHOWN = 60  # characters around a difference in a page


@dataclass(frozen=True)
class Verification:
    """What a verification found."""

    checked: int
    """Figures, verdicts and sections of the page that were compared."""
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What could not be verified, in sentences."""


def verify(folder: Path) -> Verification:
    """Compute the figures of a report again from its own tables, and compare.

    Raises:
        InputError: the folder is no report.
        InconclusiveError: an earlier version made the report, and its tables lack what the figures were made from.
    """
    if not (folder / PAGE).is_file():
        raise InputError(f"{folder} has no {PAGE}; give the folder of a rendered or published report")
    sums, differences = _file_sums(folder)
    if not (folder / FIGURES).is_file():
        raise InconclusiveError(
            f"{folder} was made before reports had {FIGURES}: {sums - len(differences)} of {sums} files have the "
            "SHA-256 of its manifest, but its claims, headline and cell figures cannot be computed from its tables; "
            "measure again, and publish with this version"
        )
    document = read_figures(folder)
    try:
        evidence, tables, changed = read_evidence(folder, document)
    except KokoroLabError as error:
        return Verification(sums, (*differences, f"the tables: {error.message}"))
    claims = load_claims(folder / CLAIMS)
    figures = figures_of(evidence, claims)
    differences += list(_differing(document["figures"], figures))
    verdicts = list(_verdicts(tables))
    differences += [words for words in verdicts if words]
    sections = list(_sections(folder, evidence, claims))
    differences += [words for words in sections if words]
    notes = []
    if changed:
        blocks = "1 block" if changed == 1 else f"{changed} blocks"
        notes.append(f"names were removed from the texts of {blocks}, so that their digests cannot be verified")
    if document.get("kokoro_lab") != __version__:
        notes.append(f"kokoro-lab {document.get('kokoro_lab')} made the report, and this is {__version__}")
    return Verification(sums + len(figures) + len(verdicts) + len(sections), tuple(differences), tuple(notes))


def _file_sums(folder: Path) -> tuple[int, list[str]]:
    """Files with a sum in the manifest of a published report, and those that differ; a rendered one has none."""
    if not (folder / MANIFEST).is_file():
        return 0, []
    manifest = read_json(folder / MANIFEST, what="manifest", most=MOST_BYTES)
    sums = manifest.get("files") if isinstance(manifest, dict) else None
    differences = []
    for name, expected in (sums or {}).items():
        path = folder / name
        known = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "nothing"
        if ".." in Path(name).parts or known != expected:
            differences.append(f"{name}: its SHA-256 differs from the manifest")
    return len(sums or {}), differences


def _differing(stated: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*stated, *figures)):
        here, there = stated.get(name, "nothing"), figures.get(name, "nothing")
        if not _alike(here, there) and not _alike(here, _without_names(there)):
            yield f"{name}: {FIGURES} says {here}, the tables give {there}"


def _without_names(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_names(item) for item in value]
    return scrubbed(value) if isinstance(value, str) else value


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_alike, first, second))
    if isinstance(first, float) or isinstance(second, float):
        numbers = isinstance(first, float | int) and isinstance(second, float | int)
        return numbers and math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(first == second)


def _verdicts(tables: Mapping[str, Any]) -> Iterator[str]:
    """For each verdict on blocks: how it differs from what its blocks support; empty where it does not."""
    rows = tables["verdicts"]
    if not rows.num_rows:
        return
    keys = ("base_cell", "candidate_cell", "metric")
    judged = {tuple(row[key] for key in keys): row for row in judged_again(rows, tables["cells"], tables["samples"])}
    for row in rows.to_pylist():
        own = judged.get(tuple(row[key] for key in keys))
        if own is None:
            continue  # the machine's peak, and the model's work
        compared = ("verdict", "ratio", "ratio_low", "ratio_high", "p_value", "pairs", "reason")
        wrong = [name for name in compared if not _alike(row[name], own.get(name))]
        where = f"verdict on {row['candidate_cell']} against {row['base_cell']}, {row['metric']}"
        yield f"{where}: {wrong[0]} is {row[wrong[0]]}, the blocks give {own.get(wrong[0])}" if wrong else ""


def _sections(folder: Path, evidence: Evidence, claims: Claims) -> Iterator[str]:
    """For each section of the page that shows figures: how it differs from what the tables give; empty where it does
    not."""
    page = _text(read_text(folder / PAGE, what="report", most=MOST_PAGE_BYTES))
    report = Report(evidence, claims)
    for name in (*SECTIONS, *MORE_SECTIONS):
        made = str(getattr(report, name)())
        texts = [_text(made), _text(scrubbed(made))]
        yield "" if any(text in page for text in texts) else f"section {name} of the page: {_first(texts[-1], page)}"


def _text(markup: str) -> str:
    """What a reader sees of a page: no tags, one space between words."""
    markup = re.sub(r"<(style|script)\b.*?</\1>", " ", markup, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def _first(text: str, page: str) -> str:
    """Where a text leaves what the page says."""
    low, high = 0, len(text)
    while low < high:  # the longest beginning that the page has
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] in page else (low, middle - 1)
    at = page.find(text[:low]) + low
    start = max(0, low - SHOWN // 2)
    return f"it says {page[at - (low - start) : at + SHOWN]!r}, the tables give {text[start : low + SHOWN]!r}"
