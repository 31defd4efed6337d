"""An index of all published reports as a folder that any web server can serve: copies of them, and their trends."""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.reports.drawing.document import document
from kokoro_lab.reports.drawing.fragments import Html, Sortable, table
from kokoro_lab.reports.page.publish import MANIFEST, MOST_BYTES, published_blocks, published_folders
from kokoro_lab.reports.page.published_tables import CELL
from kokoro_lab.reports.page.report_data import FIGURES, read_figures
from kokoro_lab.reports.rows.cell_summary import number

__all__ = ["PublishedReport", "Trend", "build_site", "published_reports", "trends"]

WIDTH, HEIGHT = 120, 24  # px of the line of a trend


@dataclass(frozen=True)
class PublishedReport:
    """One published report, from its manifest."""

    number: str
    run_id: str
    measured_at: str
    machine: str
    weights: str
    said: str
    """Its headline; empty for reports from before headlines were kept."""


@dataclass(frozen=True)
class Trend:
    """The median real-time factor of one cell in each report of one machine that has it, oldest first."""

    machine: str
    cell: str
    values: tuple[tuple[str, float], ...]
    """(number of the report, median)"""


def build_site(published: Path, target: Path) -> Path:
    """Copy every published report into `target` and write the index; returns the index.

    Other files in `target` stay.

    Raises:
        NothingMeasuredError: no report was published.
        InputError: a report was changed after it was published.
    """
    folders = published_folders(published)
    if not folders:
        raise NothingMeasuredError(f"{published} has no report; publish one with `kokoro-lab report --publish`")
    reports = [_report(folder) for folder in folders]
    lines = trends(folders)
    make_folder(target)
    for folder in folders:
        shutil.copytree(folder, target / folder.name, dirs_exist_ok=True)
    write_text(target / "index.html", _page(reports, lines))
    return target / "index.html"


def published_reports(published: Path) -> list[PublishedReport]:
    """Every published report, oldest first."""
    return [_report(folder) for folder in published_folders(published)]


def _report(folder: Path) -> PublishedReport:
    manifest = read_json(folder / MANIFEST, what="manifest", most=MOST_BYTES)
    figures = read_figures(folder)["figures"] if (folder / FIGURES).is_file() else {}
    return PublishedReport(
        number=folder.name,
        run_id=str(manifest.get("run_id", "")),
        measured_at=str(next(iter(manifest.get("measured_at") or ()), ""))[:10],
        machine=", ".join(map(str, manifest.get("machines") or ())),
        weights=", ".join(map(str, manifest.get("weights") or ())),
        said=str(figures.get("headline", "")),
    )


def trends(folders: Sequence[Path]) -> list[Trend]:
    """The cells that several reports of one machine share: their real-time factors, from undisturbed blocks."""
    values: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for folder in folders:
        machine = _report(folder).machine
        blocks = published_blocks(folder)
        counted = blocks[blocks["counts"] & blocks["rtf"].notna()]
        for key, rows in counted.groupby(list(CELL), sort=True):
            named = {name: str(value) for name, value in zip(CELL, key, strict=True)}
            values.setdefault((machine, _cell(named)), []).append((folder.name, float(rows["rtf"].median())))
    return [Trend(machine, cell, tuple(line)) for (machine, cell), line in sorted(values.items()) if len(line) > 1]


def _cell(named: dict[str, str]) -> str:
    state = "" if named["state"] == "warm" else f", {named['state']}"
    return f"{named['text_preset']}, {named['label']}{state}, {named['model']}"


def _page(reports: Sequence[PublishedReport], lines: Sequence[Trend]) -> str:
    rows = [
        {
            "number": Html(f'<a href="{report.number}/index.html">{report.number}</a>'),
            "when": report.measured_at,
            "machine": _short(report.machine),
            "weights": report.weights,
            "run": report.run_id,
            "said": report.said or "–",
        }
        for report in reversed(reports)
    ]
    headings = {"number": "Report", "when": "Measured", "machine": "Machine", "weights": "Weights", "run": "Run"}
    parts = [table({**headings, "said": "Headline"}, rows, caption="Published reports, the newest first", data=True)]
    parts += [_trend_table(machine, lines) for machine in dict.fromkeys(line.machine for line in lines)]
    count = "1 report" if len(reports) == 1 else f"{len(reports)} reports"
    lead = Html("\n".join(part.text for part in parts))
    return document("Published reports of Kokoro Lab", name=count, about=count, lead=lead)


def _trend_table(machine: str, lines: Sequence[Trend]) -> Html:
    own = [line for line in lines if line.machine == machine]
    numbers = sorted({number for line in own for number, _ in line.values})
    rows: list[dict[str, Any]] = []
    for line in own:
        known = dict(line.values)
        values = {name: Sortable(number(known[name]), known[name]) if name in known else "–" for name in numbers}
        change = line.values[0][1] / line.values[-1][1]
        words = f"{number(max(change, 1 / change))}x {'faster' if change >= 1 else 'slower'}"
        rows.append({"cell": line.cell, "line": _sparkline(line), "change": Sortable(words, change), **values})
    columns = {"cell": "Cell", "line": "Trend", "change": "Last against first", **{name: name for name in numbers}}
    return table(columns, rows, caption=f"Real-time factors on machine {_short(machine)}, by report", data=True)


def _short(machines: str) -> str:
    """Enough of each fingerprint to tell machines apart on a page."""
    return ", ".join(name[:8] for name in machines.split(", "))


def _sparkline(line: Trend) -> Html:
    values = [value for _, value in line.values]
    low, high = min(values), max(values)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _points(values, low, high))
    words = html.escape(f"{line.cell}: {', '.join(f'{name} {number(value)}' for name, value in line.values)}")
    return Html(
        f'<svg role="img" aria-label="{words}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/></svg>'
    )


def _points(values: Sequence[float], low: float, high: float) -> Iterator[tuple[float, float]]:
    for at, value in enumerate(values):
        share = 0.5 if high == low else (high - value) / (high - low)
        yield 2 + at * (WIDTH - 4) / (len(values) - 1), 2 + share * (HEIGHT - 4)
