"""The verification of a report's folder: every figure is computed again from its own tables, and looked up in its page.

The tables must be what was stored (see `store.integrity.seals`), the verdicts must be those that the blocks give, the
figures and the CSV files must follow from the rows, and the page must show them, and no other headline. Nothing but the
folder is read, so that it can be verified anywhere. NOT_COMPARED is what nobody has looked at.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from kokoro_lab._version import __version__
from kokoro_lab.errors import InconclusiveError, InputError, KokoroLabError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import decoding, read_bytes, read_text
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.findings.answer import answer
from kokoro_lab.reports.page.page_text import contradictions, first_difference, page_text
from kokoro_lab.reports.page.publish import MANIFEST, MOST_BYTES, scrubbed
from kokoro_lab.reports.page.published_tables import csv_difference, published_tables
from kokoro_lab.reports.page.report import Report
from kokoro_lab.reports.page.report_data import CLAIMS, FIGURES, figures_of, read_evidence, read_figures
from kokoro_lab.store.integrity.archives import Archive
from kokoro_lab.store.integrity.attempts import attempts_in
from kokoro_lab.sweeps.conclude import SETTINGS
from kokoro_lab.sweeps.current_verdicts import is_of_blocks, judged_again

__all__ = ["NOT_COMPARED", "Verification", "verify"]

TOLERANCE = 1e-9  # relative: the same numbers, summed in another order by another build of NumPy
SECTIONS = (
    *("answer", "ladder", "key_figures", "claims_chart", "bound_chart", "recommendations", "measured", "noise"),
    *("providers", "bound", "comparisons", "cells", "claims_tested", "claims_open", "specification_tables"),
    *("sources", "provenance"),
)
PAGE = "index.html"
MOST_PAGE_BYTES = 64 << 20
GET_AGAIN = "get the report again"
NOT_COMPARED = (
    "not compared: charts, recordings, the machine's peak rates, the pages of notebooks, and prose outside the sections"
    " that are computed; text that was added there is not found"
)
"""What a verification does not look at, in a sentence for its reader."""


@dataclass(frozen=True)
class Verification:
    """What a verification found."""

    checked: int
    """Files, figures, verdicts, tables, statements and sections of the page that were compared."""
    differences: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What could not be verified of this report, in sentences."""
    not_compared: str = NOT_COMPARED
    """What is not verified of any report."""


def verify(folder: Path) -> Verification:
    """Compute the figures of a report again from its own tables, and compare.

    Raises:
        InputError: the folder is no report, or one of its documents cannot be used.
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
        evidence, archive = read_evidence(folder, document)
    except KokoroLabError as error:
        return Verification(sums, (*differences, f"the tables: {error.message}"))
    claims = load_claims(folder / CLAIMS)
    with decoding(f"{folder}, as a report,", advice=GET_AGAIN):
        figures, report = figures_of(evidence, claims), Report(evidence, claims)
        found = [
            *_verdicts(archive),
            *_tables(folder, report),
            *_sections(folder, report),
            *_statements(folder, report),
        ]
    differences += [*_differing(document["figures"], figures), *filter(None, found)]
    return Verification(sums + len(figures) + len(found), tuple(differences), tuple(_notes(document, archive)))


def _notes(document: Mapping[str, Any], archive: Archive) -> Iterator[str]:
    """What cannot be verified of this report."""
    if archive.originals:
        rows = "1 row" if len(archive.originals) == 1 else f"{len(archive.originals)} rows"
        yield f"names were removed from the texts of {rows}, so that the other values in them cannot be verified"
    if archive.uncovered:
        blocks = "1 block" if len(archive.uncovered) == 1 else f"{len(archive.uncovered)} blocks"
        yield f"names were removed from the texts of {blocks}, so that their digests cannot be verified"
    if document.get("kokoro_lab") != __version__:
        yield f"kokoro-lab {document.get('kokoro_lab')} made the report, and this is {__version__}"


def _file_sums(folder: Path) -> tuple[int, list[str]]:
    """Files with a sum in the manifest of a published report, and how they differ; a rendered report has none."""
    path = folder / MANIFEST
    if not path.is_file():
        return 0, []
    manifest = read_json(path, what="manifest", most=MOST_BYTES)
    sums = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(sums, dict):
        raise InputError(f"manifest {path} lists no files; {GET_AGAIN}")
    differences = []
    for name, expected in sums.items():
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
            raise InputError(f"manifest {path} names {name[:80]!r}, which is no file of the report; {GET_AGAIN}")
        file = folder / name
        known = _sum(file) if file.is_file() and not file.is_symlink() else "nothing"
        if known != expected:
            differences.append(f"{name}: its SHA-256 differs from the manifest")
    here = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    added = sorted(name for name in here - {MANIFEST, *sums} if not PurePosixPath(name).name.startswith("."))
    return len(sums), [*differences, *(f"{name}: it is not in the manifest" for name in added)]


def _sum(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, what="file of a report", most=MOST_PAGE_BYTES)).hexdigest()


def _differing(stated: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*stated, *figures)):
        here, there = stated.get(name, "nothing"), figures.get(name, "nothing")
        if not _alike(here, there) and not _alike(here, _without_names(there)):
            yield f"{name}: {FIGURES} says {here}, the tables give {there}"


def _without_names(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_names(item) for item in value]
    if isinstance(value, dict):
        return {_without_names(name): _without_names(item) for name, item in value.items()}
    return scrubbed(value) if isinstance(value, str) else value


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_alike, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[name], second[name]) for name in first)
    if isinstance(first, float) or isinstance(second, float):
        numbers = isinstance(first, float | int) and isinstance(second, float | int)
        return numbers and math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(first == second)


def _verdicts(archive: Archive) -> Iterator[str]:
    """For each verdict on blocks, how it differs from what the blocks give; empty where it does not.

    A verdict that the blocks do not give, and one of theirs that the table lacks, is a difference.
    """
    tables = archive.tables
    attempts = attempts_in(tables["attempts"].to_pylist())
    judged = judged_again(tables["verdicts"], tables["cells"], tables["samples"], attempts)
    given = _by_comparison(judged)
    stored = _by_comparison(tables["verdicts"])
    for key in dict.fromkeys((*stored, *given)):
        where = f"verdict on {key[1]} against {key[0]}, {key[2]}"
        if key not in given:
            yield f"{where}: the blocks give no such verdict"
        elif key not in stored:
            yield f"{where}: the blocks give {given[key]['verdict']}, and the table lacks it"
        else:
            yield _verdict_difference(where, stored[key], given[key])


def _by_comparison(verdicts: pa.Table) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The verdicts on blocks, with each value of their details beside the columns."""
    found = {}
    for row in filter(is_of_blocks, verdicts.to_pylist()):
        details = {f"details.{name}": value for name, value in json.loads(row["details"]).items()}
        values = {name: value for name, value in {**row, **details}.items() if name not in UNCOMPARED}
        base, candidate = row["base_cell"], row["candidate_cell"]
        if row["metric"] == SETTINGS:  # two equal cells, in the order of their first blocks, which may be the same
            base, candidate = sorted((base, candidate))
            values |= {"base_cell": base, "candidate_cell": candidate, "reason": sorted(row["reason"].split())}
            values["details.levels"] = sorted(map(str, values.get("details.levels") or ()))
        found[base, candidate, row["metric"]] = values
    return found


UNCOMPARED = frozenset(
    {
        *("run_id", "made_at", "schema_version", "details"),  # of the row, not of what it says
        *("details.seal", "details.links", "details.evidence"),  # held against the blocks when the tables are read
    }
)


def _verdict_difference(where: str, row: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    for name in dict.fromkeys((*own, *row)):
        here, there = row.get(name), own.get(name)
        if not _alike(here, there) and not _alike(here, _without_names(there)):
            return f"{where}: {name} is {here}, the blocks give {there}"
    return ""


def _tables(folder: Path, report: Report) -> Iterator[str]:
    """For each CSV file of a published report, how it differs; a rendered report has none."""
    if not (folder / MANIFEST).is_file():
        return
    for name, made in published_tables(report.evidence, report.resolutions).items():
        path = folder / name
        if not path.is_file():
            yield f"{name}: it is missing"
            continue
        text = read_text(path, what="table of a published report", most=MOST_PAGE_BYTES)
        words = csv_difference(text, made) and csv_difference(text, scrubbed(made))
        yield f"{name}: {words}" if words else ""


def _sections(folder: Path, report: Report) -> Iterator[str]:
    """For each section of the page that shows figures: how it differs from what the tables give; empty where it does
    not."""
    page = _page(folder)
    for name in SECTIONS:
        made = str(getattr(report, name)())
        texts = [page_text(made), page_text(scrubbed(made))]
        yield (
            ""
            if any(text in page for text in texts)
            else f"section {name} of the page: " + first_difference(texts[-1], page)
        )


def _statements(folder: Path, report: Report) -> Iterator[str]:
    """For the headline and each sentence below it: another of its kind on the page; empty where there is none."""
    page = _page(folder)
    for statement in answer(report.evidence, report.resolutions).statements:
        others = contradictions(statement.text, page, (scrubbed(statement.text),))
        yield f"the page: it also says {others[0]!r}, the tables give {statement.text!r}" if others else ""


def _page(folder: Path) -> str:
    return page_text(read_text(folder / PAGE, what="report", most=MOST_PAGE_BYTES))
