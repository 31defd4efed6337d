"""A report that is kept: results/published/NNNN/, small enough for git and free of names that are nobody's business.

    index.html      the report
    NOTEBOOK.html   executed notebooks, the small ones first, as long as all of it stays within a megabyte
    blocks.csv      one row a block: what was measured, and its medians
    claims.csv      one row a claim: stated, measured, interval, gap, verdict
    bounds.csv      one row a cell that has a bound
    verdicts.csv    one row a comparison that the sweep concluded
    manifest.json   run, table versions, commit, fingerprints, and the SHA-256 of every other file

Tables are sorted by what their rows are about, so that two reports can be told apart by `diff`.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kokoro_lab.errors import InputError, KokoroLabError, NothingMeasuredError
from kokoro_lab.paths import ROOT
from kokoro_lab.reports.bound import bounds
from kokoro_lab.reports.claims import load_claims
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import Interval, ratio
from kokoro_lab.reports.kept import kept_verdicts
from kokoro_lab.reports.resolve import resolve_all
from kokoro_lab.store.places import Results

__all__ = ["MOST_BYTES", "Change", "against", "publish", "published_folders", "scrubbed", "with_fewer_clips"]

MOST_BYTES = 1_000_000
MANIFEST = "manifest.json"
MANIFEST_BYTES = 10_000
"""Room that is left for the manifest."""
PLAYER = re.compile(r'<audio [^>]*src="data:audio/ogg;base64,[^"]*"[^>]*></audio>')
RECORDING = re.compile(r'(base64,[^"]*)')
REFERENCE = "the reference of this text"
NOT_KEPT = '<span class="kl-length">the recording is not in the published report</span>'
FIGURES = ("total_ms", "ttfa_ms", "rtf", "rss_mb")
KEY = ("text_preset", "label", "state", "model", "environment", "delivery", "arrivals")
"""What a block is a block of, from one report to the next."""

COMMON_USERS = frozenset({"root", "user", "admin", "runner"})
"""Names that say nothing of anybody, and stand in ordinary words."""


def publish(results: Path, run_id: str, folder: Path) -> Path:
    """Keep the rendered report of a run in the next numbered folder under `folder`; returns that.

    Raises:
        NothingMeasuredError: the run has no rows, or its report was not rendered.
        KokoroLabError: the report alone is larger than a published one may be.
    """
    places = Results(results)
    evidence = Evidence.load(places.tables, run_id)
    rendered = places.reports / evidence.run_id
    if not (rendered / "index.html").is_file():
        raise NothingMeasuredError(f"Run {evidence.run_id} has no report yet: `kokoro-lab report` renders it.")
    files = _tables(evidence)
    room = MOST_BYTES - MANIFEST_BYTES - sum(len(text.encode()) for text in files.values())
    files["index.html"] = with_fewer_clips((rendered / "index.html").read_text(encoding="utf-8"), room)
    others = (path for path in rendered.glob("*.html") if path.name not in files)
    pages = {path.name: path.read_text(encoding="utf-8") for path in others}
    kept = _that_fit(files, pages)
    for name in pages.keys() - kept.keys():
        files["index.html"] = re.sub(rf'<a href="{re.escape(name)}">([^<]*)</a>', r"\1", files["index.html"])
    files = {name: scrubbed(text) for name, text in {**files, **kept}.items()}
    size = sum(len(text.encode()) for text in files.values())
    if size > MOST_BYTES:
        raise KokoroLabError(
            f"The report of run {evidence.run_id} has {size} bytes, and a published one may have {MOST_BYTES}: "
            "publish a run of fewer cells."
        )
    target = folder / f"{_next_number(folder):04d}"
    part = folder / f".{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, text in files.items():
        (part / name).write_text(text, encoding="utf-8")
    manifest = {**_manifest(evidence), "files": {name: _sum(text) for name, text in sorted(files.items())}}
    (part / MANIFEST).write_text(scrubbed(json.dumps(manifest, indent=2, sort_keys=True)) + "\n", encoding="utf-8")
    part.rename(target)
    return target


def published_folders(folder: Path) -> list[Path]:
    """Every published report, oldest first."""
    return sorted(path for path in folder.glob("[0-9]" * 4) if (path / MANIFEST).is_file())


@dataclass(frozen=True)
class Change:
    """One cell that two reports share."""

    text_preset: str
    label: str
    state: str
    figure: str
    times: Interval
    """Now over then; the two were not measured in turns."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "text": self.text_preset,
            "cell": self.label,
            "state": self.state,
            "figure": self.figure,
            "ratio": self.times.median,
            "low": self.times.low,
            "high": self.times.high,
            "blocks": self.times.blocks,
        }


def against(published: Path, now: Evidence | Path, figures: Sequence[str] = ("total_ms", "ttfa_ms")) -> list[Change]:
    """What the cells that both have took, now over then, by their undisturbed blocks.

    Args:
        published: folder of the earlier report.
        now: the rows of a run, or the folder of a later report.
        figures: of `FIGURES`.

    Raises:
        InputError: a folder is no published report, or one that was changed.
        NothingMeasuredError: the two share no cell.
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
                told = ratio(sides[0], sides[1])
                changes.append(Change(named["text_preset"], named["label"], named["state"], figure, told))
    if not changes:
        raise NothingMeasuredError(f"Report {published.name} shares no undisturbed cell with what it is compared with.")
    return changes


def scrubbed(text: str) -> str:
    """The text with the checkout, the home folder, the user and the host named by what they are; recordings as is."""
    return "".join(part if part.startswith("base64,") else _without_names(part) for part in RECORDING.split(text))


def _without_names(text: str) -> str:
    for path, word in ((str(ROOT), "."), (str(Path.home()), "~")):
        text = re.sub(rf"{re.escape(path)}(?![\w-])", word, text)
    for name, word in ((getpass.getuser(), "user"), (platform.node(), "host")):
        if name and name.lower() not in COMMON_USERS | {"localhost"}:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, text)
    return text


def with_fewer_clips(page: str, most: int) -> str:
    """The page with as many of its clips as fit into `most` bytes; those of the references go last."""
    players = [found[0] for found in PLAYER.finditer(page)]
    for _, player in sorted(enumerate(players), key=lambda item: (REFERENCE in item[1], -item[0])):
        if len(page.encode()) <= most:
            break
        page = page.replace(player, NOT_KEPT, 1)
    return page


def _that_fit(files: Mapping[str, str], pages: Mapping[str, str]) -> dict[str, str]:
    """The pages that can be kept beside the files, the smallest first."""
    room = MOST_BYTES - sum(len(text.encode()) for text in files.values()) - MANIFEST_BYTES
    kept = {}
    for name, text in sorted(pages.items(), key=lambda item: len(item[1])):
        room -= len(text.encode())
        if room < 0:
            break
        kept[name] = text
    return kept


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
    made = []
    for row in rows:
        key = (row["cell_id"], row["block"])
        figures = medians.loc[key].to_dict() if key in medians.index else dict.fromkeys(FIGURES)
        told = {name: row[name] for name in KEY}
        shared = {name: row[name] for name in ("cell_id", "block", "round", "status", "gate")}
        judged = {name: bool(row[name]) for name in ("contaminated", "superseded", "counts")}
        made.append({**told, **shared, **judged, **figures, "samples": int(row["samples"])})
    return sorted(made, key=lambda row: (*(str(row[name]) for name in (*KEY, "cell_id")), int(row["block"])))


def _claim_rows(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for found in resolve_all(load_claims(), evidence):
        measured, gap = found.measured, found.gap
        rows.append(
            {
                "id": found.claim.id,
                "stated": found.claim.stated.replace("\u202f", " "),
                "measured": None if measured is None else measured.median,
                "low": None if measured is None else measured.low,
                "high": None if measured is None else measured.high,
                "unit": found.claim.unit,
                "gap": None if gap is None else gap.median,
                "verdict": found.verdict,
                "reason": found.reason,
                "cell": found.cell,
            }
        )
    return sorted(rows, key=lambda row: str(row["id"]))


def _bound_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": one.text_preset,
            "label": one.label,
            "model": one.model,
            "products": sum(one.products.values()),
            "bound_ms": one.bound_ms,
            "zero_overhead_ms": one.zero_overhead_ms,
            "measured_ms": one.measured.median,
            "unexplained_ms": one.unexplained_ms,
            "beaten": one.beaten,
        }
        for one in bounds(evidence)
    ]


def _verdict_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "text": one.text_preset,
            "candidate": one.candidate,
            "base": one.base,
            "kind": one.kind,
            "metric": one.metric,
            "verdict": one.verdict,
            "ratio": None if one.ratio is None else one.ratio.median,
            "low": None if one.ratio is None else one.ratio.low,
            "high": None if one.ratio is None else one.ratio.high,
            "reason": one.reason,
        }
        for one in kept_verdicts(evidence, ("cell", "twin", "placebo", "noise"))
    ]


def _manifest(evidence: Evidence) -> dict[str, Any]:
    cells = evidence.cells
    return {
        "run_id": evidence.run_id,
        "table_versions": dict(evidence.versions),
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
    try:
        stated = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]["blocks.csv"]
        text = (folder / "blocks.csv").read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} is not a published report: {error}.") from error
    if _sum(text) != stated:
        raise InputError(f"{folder / 'blocks.csv'} is not the file that was published: its SHA-256 differs.")
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""], dtype=dict.fromkeys(KEY, str)).fillna(
        dict.fromkeys(KEY, "")
    )


def _clean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["counts"].astype(bool)]


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _next_number(folder: Path) -> int:
    return max((int(path.name) for path in _numbered(folder)), default=0) + 1


def _numbered(folder: Path) -> Iterable[Path]:
    return (path for path in folder.glob("[0-9]" * 4) if path.is_dir())
