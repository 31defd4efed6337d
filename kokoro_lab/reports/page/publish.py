"""A published report: results/published/NNNN/, small enough for git, without names of users, hosts or folders.

    index.html      the report
    NOTEBOOK.html   executed notebooks, smallest first, as many as fit into a megabyte
    blocks.csv      one row per block: what was measured, and its medians
    claims.csv      one row per claim: claimed, measured, interval, gap, verdict
    bounds.csv      one row per cell that has a bound
    verdicts.csv    one row per comparison of the sweep
    tables/, claims.yaml, figures.json
                    what the report was made from, to compute every figure again (see `report_data`)
    manifest.json   run, table versions, commit, fingerprints, and the SHA-256 of every other file

Tables are sorted by what their rows describe, so that `diff` can compare two reports.
"""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import platform
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kokoro_lab.errors import InputError, KokoroLabError, NothingMeasuredError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import decoding, read_text
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.measure.statistics.ratios import unpaired_ratio
from kokoro_lab.paths import checkout, lab_folder
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.reports.claims.resolution import resolve_all
from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.findings.bound import bounds
from kokoro_lab.reports.page.page_files import page_names
from kokoro_lab.reports.page.report_data import FIGURES as FIGURES_FILE
from kokoro_lab.reports.page.report_data import copy_data
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.layout import Results

__all__ = [
    "MOST_BYTES",
    "CellChange",
    "compare_published",
    "publish",
    "published_folders",
    "scrubbed",
    "with_fewer_clips",
]

MOST_BYTES = 1_000_000
MANIFEST = "manifest.json"
MANIFEST_BYTES = 10_000
"""Space reserved for the manifest."""
PLAYER = re.compile(r'<audio [^>]*src="data:audio/ogg;base64,[^"]*"[^>]*></audio>')
RECORDING = re.compile(r'(base64,[^"]*)')
REFERENCE = "the reference of this text"
NO_RECORDING = '<span class="kl-length">the recording was left out of the published report</span>'
FIGURES = ("total_ms", "ttfa_ms", "rtf", "rss_mb")
KEY = ("text_preset", "label", "state", "model", "environment", "delivery", "arrivals")
"""Columns that identify the cell of a block across reports."""

COMMON_USERS = frozenset({"root", "user", "admin", "runner"})
"""Names that identify nobody, and occur in ordinary text."""


def publish(results: Path, run_id: str, folder: Path) -> Path:
    """Copy the rendered report of a run into the next numbered folder under `folder`, and return that folder.

    Raises:
        NothingMeasuredError: the run has no rows, or its report was not rendered.
        KokoroLabError: the report alone is larger than a published report may be.
    """
    places = Results(results)
    evidence = Evidence.load(places.tables, run_id)
    rendered = places.inside(places.report(evidence.run_id))
    if not all((rendered / name).is_file() for name in ("index.html", FIGURES_FILE)):
        raise NothingMeasuredError(f"run {evidence.run_id} has no report yet; render it with `kokoro-lab report`")
    files = _tables(evidence)
    target = folder / f"{_next_number(folder):04d}"
    part = folder / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    make_folder(part)
    copy_data(rendered, part, scrubbed)
    data = {path.relative_to(part).as_posix(): path.read_bytes() for path in sorted(part.rglob("*")) if path.is_file()}
    most = MOST_BYTES - MANIFEST_BYTES - sum(map(len, data.values()))
    room = most - sum(len(text.encode()) for text in files.values())
    files["index.html"] = with_fewer_clips((rendered / "index.html").read_text(encoding="utf-8"), room)
    others = (name for name in page_names(rendered) if name not in files)
    pages = {name: (rendered / name).read_text(encoding="utf-8") for name in others}
    fitting = _fitting_pages(files, pages, most)
    for name in pages.keys() - fitting.keys():
        files["index.html"] = re.sub(rf'<a href="{re.escape(name)}">([^<]*)</a>', r"\1", files["index.html"])
    files = {name: scrubbed(text) for name, text in {**files, **fitting}.items()}
    size = sum(len(text.encode()) for text in files.values()) + sum(map(len, data.values()))
    if size > MOST_BYTES:
        shutil.rmtree(part, ignore_errors=True)
        raise KokoroLabError(
            f"the report of run {evidence.run_id} has {size} bytes, and the limit is {MOST_BYTES}; "
            "publish a run with fewer cells"
        )
    for name, text in files.items():
        write_text(part / name, text)
    sums = {
        **{name: _sum(text) for name, text in files.items()},
        **{name: _digest(item) for name, item in data.items()},
    }
    manifest = {**_manifest(evidence), "files": dict(sorted(sums.items()))}
    write_text(part / MANIFEST, scrubbed(json.dumps(manifest, indent=2, sort_keys=True)) + "\n")
    part.rename(target)
    return target


def published_folders(folder: Path) -> list[Path]:
    """Every published report, oldest first."""
    return sorted(path for path in folder.glob("[0-9]" * 4) if (path / MANIFEST).is_file())


@dataclass(frozen=True)
class CellChange:
    """One cell that two reports share."""

    text_preset: str
    label: str
    state: str
    figure: str
    times: Interval
    """Later over earlier; the two were not measured in alternation."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "text": self.text_preset,
            "cell": self.label,
            "state": self.state,
            "figure": self.figure,
            "ratio": self.times.center,
            "low": self.times.bounds[0],
            "high": self.times.bounds[1],
            "blocks": self.times.count,
        }


def compare_published(
    published: Path, now: Evidence | Path, figures: Sequence[str] = ("total_ms", "ttfa_ms")
) -> list[CellChange]:
    """The cells that two reports share: later times over earlier ones, from their undisturbed blocks.

    Args:
        published: folder of the earlier report.
        now: the rows of a run, or the folder of a later report.
        figures: of `FIGURES`.

    Raises:
        InputError: a folder is not a published report, or its files were changed.
        NothingMeasuredError: the two share no undisturbed cell.
    """
    then = _read_blocks(published)
    rows = _read_blocks(now) if isinstance(now, Path) else pd.DataFrame(_block_rows(now))
    changes = []
    grouped: dict[Any, pd.DataFrame] = dict(iter(_clean(then).groupby(list(KEY), sort=True)))
    for key, part in _clean(rows).groupby(list(KEY), sort=True):
        if key not in grouped:
            continue
        named = {name: str(value) for name, value in zip(KEY, key, strict=True)}
        for figure in figures:
            sides = [[[float(value)] for value in side[figure].dropna()] for side in (part, grouped[key])]
            if all(sides):
                times = unpaired_ratio(sides[0], sides[1])
                changes.append(CellChange(named["text_preset"], named["label"], named["state"], figure, times))
    if not changes:
        raise NothingMeasuredError(
            f"report {published.name} shares no undisturbed cell with this run; measure the same cells"
        )
    return changes


def scrubbed(text: str) -> str:
    """The text with lab, checkout, home folder, user and host replaced by placeholders; recordings stay unchanged."""
    return "".join(part if part.startswith("base64,") else _without_names(part) for part in RECORDING.split(text))


def _without_names(text: str) -> str:
    for path, word in ((lab_folder(), "."), (checkout(), "."), (Path.home(), "~")):
        if path is not None:
            text = re.sub(rf"{re.escape(str(path))}(?![\w-])", word, text)
    for name, word in ((getpass.getuser(), "user"), (platform.node(), "host")):
        if name and name.lower() not in COMMON_USERS | {"localhost"}:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, text)
    return text


def with_fewer_clips(page: str, most: int) -> str:
    """The page with as many of its clips as fit into `most` bytes; those of the references are removed last."""
    players = [match[0] for match in PLAYER.finditer(page)]
    for _, player in sorted(enumerate(players), key=lambda item: (REFERENCE in item[1], -item[0])):
        if len(page.encode()) <= most:
            break
        page = page.replace(player, NO_RECORDING, 1)
    return page


def _fitting_pages(files: Mapping[str, str], pages: Mapping[str, str], most: int) -> dict[str, str]:
    """The pages that fit into `most` bytes beside the files, smallest first."""
    room = most - sum(len(text.encode()) for text in files.values())
    fitting = {}
    for name, text in sorted(pages.items(), key=lambda item: len(item[1])):
        room -= len(text.encode())
        if room < 0:
            break
        fitting[name] = text
    return fitting


def _tables(evidence: Evidence) -> dict[str, str]:
    return {
        "blocks.csv": _csv(_block_rows(evidence)),
        "claims.csv": _csv(_claim_rows(evidence)),
        "bounds.csv": _csv(_bound_rows(evidence)),
        "verdicts.csv": _csv(_verdict_rows(evidence)),
    }


def _block_rows(evidence: Evidence) -> list[dict[str, Any]]:
    medians = evidence.samples.groupby(["cell_id", "block"])[list(FIGURES)].median()
    rows: list[Any] = evidence.cells.to_dict("records")
    records = []
    for row in rows:
        key = (row["cell_id"], row["block"])
        figures = medians.loc[key].to_dict() if key in medians.index else dict.fromkeys(FIGURES)
        if row["process"] == "shared":
            figures["rss_mb"] = None  # the memory of several cells
        names = {name: row[name] for name in KEY}
        shared = {name: row[name] for name in ("cell_id", "block", "round", "status", "gate")}
        flags = {name: bool(row[name]) for name in ("contaminated", "superseded", "counts")}
        records.append({**names, **shared, **flags, **figures, "samples": int(row["samples"])})
    return sorted(records, key=lambda row: (*(str(row[name]) for name in (*KEY, "cell_id")), int(row["block"])))


def _claim_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for resolution in resolve_all(load_claims(), evidence):
        measured, gap = resolution.measured, resolution.gap
        rows.append(
            {
                "id": resolution.claim.id,
                "stated": resolution.claim.claimed.replace("\u202f", " "),
                "measured": None if measured is None else measured.center,
                "low": None if measured is None else measured.bounds[0],
                "high": None if measured is None else measured.bounds[1],
                "unit": resolution.claim.unit,
                "gap": None if gap is None else gap.center,
                "verdict": resolution.verdict,
                "reason": resolution.reason,
                "cell": resolution.cell,
            }
        )
    return sorted(rows, key=lambda row: str(row["id"]))


def _bound_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": bound.text_preset,
            "label": bound.label,
            "model": bound.model,
            "products": sum(bound.products.values()),
            "bound_ms": bound.bound_ms,
            "zero_overhead_ms": bound.zero_overhead_ms,
            "measured_ms": bound.measured.center,
            "unexplained_ms": bound.unattributed_ms,
            "beaten": bound.below_bound,
        }
        for bound in bounds(evidence)
    ]


def _verdict_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": verdict.text_preset,
            "candidate": verdict.candidate,
            "base": verdict.base,
            "kind": verdict.kind,
            "metric": verdict.metric,
            "verdict": verdict.verdict,
            "ratio": None if verdict.ratio is None else verdict.ratio.center,
            "low": None if verdict.ratio is None else verdict.ratio.low,
            "high": None if verdict.ratio is None else verdict.ratio.high,
            "reason": verdict.reason,
        }
        for verdict in stored_verdicts(evidence, ("cell", "twin", "placebo", "noise"))
    ]


def _manifest(evidence: Evidence) -> dict[str, Any]:
    cells = evidence.cells
    return {
        "run_id": evidence.run_id,
        "table_versions": dict(evidence.versions),
        "seal": None if evidence.seal is None else asdict(evidence.seal),
        "git_commits": sorted(set(cells["git_commit"].dropna())),
        "machines": sorted(set(cells["machine_id"])),
        "software": sorted(set(cells["software_id"])),
        "weights": evidence.weights,
        "architectures": evidence.architectures,
        "measured_at": [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (cells["started_at"].min(), cells["started_at"].max())],
        "again": f"kokoro-lab report --run {evidence.run_id}",
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _field(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return "" if value is None else value


def _read_blocks(folder: Path) -> pd.DataFrame:
    advice = "choose a folder of results/published"
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is not a published report; {advice}")
    manifest = read_json(folder / MANIFEST, what="manifest", most=MOST_BYTES, advice=advice)
    text = read_text(folder / "blocks.csv", what="table of a published report", most=MOST_BYTES)
    with decoding(f"{folder}, as a published report,", advice=advice):
        expected = manifest["files"]["blocks.csv"]
    if _sum(text) != expected:
        raise InputError(
            f"{folder / 'blocks.csv'} was changed after publishing (its SHA-256 differs); restore it from git"
        )
    with decoding(f"{folder / 'blocks.csv'}", advice=advice):
        rows = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""], dtype=dict.fromkeys(KEY, str))
        numbers = {name: pd.to_numeric(rows[name]) for name in FIGURES}
        return rows.assign(counts=rows["counts"].astype(bool), **numbers).fillna(dict.fromkeys(KEY, ""))


def _clean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["counts"].astype(bool)]


def _sum(text: str) -> str:
    return _digest(text.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _next_number(folder: Path) -> int:
    return max((int(path.name) for path in _numbered(folder)), default=0) + 1


def _numbered(folder: Path) -> Iterable[Path]:
    return (path for path in folder.glob("[0-9]" * 4) if path.is_dir())
