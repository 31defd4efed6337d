"""What a report is made from, beside its pages: enough to compute every figure of it again, on any machine.

tables/        the rows of the run as Parquet files with a manifest, like an export (see `store.exporting`)
claims.yaml    the claims that were tested
figures.json   every figure of the report by name, the table versions, and figures of the audio, which is not here
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from kokoro_lab._version import __version__
from kokoro_lab.errors import InputError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import decoding, read_text
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.claims.claims import Claims, claims_file
from kokoro_lab.reports.claims.resolution import resolve_all
from kokoro_lab.reports.claims.stored_verdicts import stored_verdicts
from kokoro_lab.reports.findings.answer import answer
from kokoro_lab.reports.findings.bound import bounds
from kokoro_lab.reports.findings.noise_floor import noise_lines
from kokoro_lab.reports.rows.cell_summary import cell_figures
from kokoro_lab.reports.rows.derived_metrics import SOUND
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store.blocks import records
from kokoro_lab.store.exporting import write_tables
from kokoro_lab.store.integrity.archives import Archive, read_archive
from kokoro_lab.store.integrity.seals import RowKey, RunSeal, row_digests, row_seal, run_seals, sealed_verdicts
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.store_reader import StoreReader
from kokoro_lab.sweeps.current_verdicts import of_run

__all__ = [
    "CLAIMS",
    "FIGURES",
    "METRICS",
    "TABLES_FOLDER",
    "copy_data",
    "data_tables",
    "figures_of",
    "read_evidence",
    "read_figures",
    "write_data",
]

NEEDED = tuple(name for name in TABLES if name != "runs")
"""Tables that a report has; names, tags and notes of a run are its owner's and no evidence."""
CLAIMS, FIGURES, TABLES_FOLDER = "claims.yaml", "figures.json", "tables"
MOST_BYTES = 64 << 20
METRICS = ("total_ms", "ttfa_ms", "rtf", "rss_mb")
"""Figures of cells that the charts and the headline show."""
RENDER_AGAIN = "render the report again"

Scrub = Callable[[str], str]


def write_data(folder: Path, evidence: Evidence, claims: Claims, tables: Path) -> None:
    """Write what the report of this evidence is made from into its folder.

    Args:
        folder: the report's folder.
        evidence: what the pages were made from.
        claims: the claims that they resolve.
        tables: folder of the store.
    """
    write_tables(folder / TABLES_FOLDER, data_tables(evidence, tables), evidence.versions, run_id=evidence.run_id)
    write_text(folder / CLAIMS, read_text(claims_file(), what="claims file", most=MOST_BYTES))
    sounds = {metric: _sounds(evidence, metric) for metric in SOUND}
    document = {
        "kokoro_lab": __version__,
        "run_id": evidence.run_id,
        "versions": dict(evidence.versions),
        "notes": list(evidence.notes),
        "sounds": {metric: rows for metric, rows in sounds.items() if rows},
        "figures": figures_of(evidence, claims),
    }
    write_text(folder / FIGURES, json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def data_tables(evidence: Evidence, tables: Path) -> dict[str, pa.Table]:
    """The rows of a report's run: those that readers see, with the verdicts that hold."""
    store = StoreReader(tables).at(evidence.versions)
    rows = {name: store.rows(name, run_id=evidence.run_id) for name in ("samples", "cells", "notebooks", "attempts")}
    machines = store.rows("machines")
    here = [machine in evidence.machines for machine in machines["machine_id"].to_pylist()]
    verdicts = of_run(store, evidence.run_id).rows
    return {**rows, "machines": machines.filter(pa.array(here, pa.bool_())), "verdicts": verdicts}


def copy_data(source: Path, target: Path, scrub: Scrub) -> None:
    """Copy a report's data into another folder, with names of users, hosts and folders replaced in every text.

    The manifest has the digests that changed rows of blocks had: those of the other rows are still what was sealed.
    Changed verdicts get a seal of their new texts, if theirs held.
    """
    archive = _read_tables(source)
    tables = {name: _scrubbed(rows, scrub) for name, rows in archive.tables.items()}
    originals: dict[RowKey, str] = {}
    for name in ("cells", "samples"):
        before, after = row_digests(archive.tables[name]), row_digests(tables[name])
        originals |= {key: digest for key, digest in before.items() if after[key] != digest}
    tables["verdicts"] = _sealed_again(archive.tables["verdicts"], tables["verdicts"])
    versions = {name: entry.get("table_version") for name, entry in archive.manifest["tables"].items()}
    originals |= archive.originals
    write_tables(target / TABLES_FOLDER, tables, versions, run_id=archive.manifest.get("run_id"), originals=originals)
    for name in (CLAIMS, FIGURES):
        write_text(target / name, scrub(read_text(source / name, what="data of a report", most=MOST_BYTES)))


def _scrubbed(rows: pa.Table, scrub: Scrub) -> pa.Table:
    for at, column in enumerate(rows.schema):
        if pa.types.is_string(column.type):
            values = rows[column.name].to_pylist()
            known = {value: None if value is None else scrub(value) for value in set(values)}
            rows = rows.set_column(at, column, pa.array([known[value] for value in values], pa.string()))
    return rows


def _sealed_again(before: pa.Table, after: pa.Table) -> pa.Table:
    """The verdicts after a change of their texts; a row that changed, and whose seal held, has a new one."""
    rows = [
        new if new == old or json.loads(old["details"]).get("seal") != row_seal(old) else None
        for old, new in zip(before.to_pylist(), after.to_pylist(), strict=True)
    ]
    resealed = sealed_verdicts(after).to_pylist()
    kept = [new if row is None else row for row, new in zip(rows, resealed, strict=True)]
    return pa.Table.from_pylist(kept, after.schema)


def read_figures(folder: Path) -> dict[str, Any]:
    """The document of figures of a report; InputError where it is none."""
    path = folder / FIGURES
    document = read_json(path, what="figures of a report", most=MOST_BYTES)
    shapes = {"run_id": str, "versions": dict, "notes": list, "sounds": dict, "figures": dict}
    missing = [
        name
        for name, kind in shapes.items()
        if not isinstance(document, dict) or not isinstance(document.get(name), kind)
    ]
    if missing:
        raise InputError(f"{path} has no {', no '.join(missing)}; {RENDER_AGAIN}")
    return dict(document)


def read_evidence(folder: Path, document: Mapping[str, Any]) -> tuple[Evidence, Archive]:
    """The evidence of a report from its own tables, and these tables.

    Args:
        folder: the report's folder.
        document: of `read_figures`.

    Raises InputError or StoreError when the tables are not what was stored.
    """
    archive = _read_tables(folder)
    cells, samples, verdicts, machines, notebooks = (
        StoreReader.decoded(name, archive.tables[name])
        for name in ("cells", "samples", "verdicts", "machines", "notebooks")
    )
    run_id = str(document["run_id"])
    if set(cells["run_id"]) != {run_id} or samples.empty:
        raise InputError(f"{folder / TABLES_FOLDER} has no timed calls of run {run_id!r} alone; {RENDER_AGAIN}")
    with decoding(f"{folder / FIGURES}", advice=RENDER_AGAIN):
        sounds = {
            metric: {(str(cell), int(block)): float(value) for cell, block, value in rows}
            for metric, rows in document["sounds"].items()
        }
        versions = {
            str(name): None if version is None else int(version) for name, version in document["versions"].items()
        }
    evidence = Evidence.of(
        run_id,
        samples,
        cells,
        machines=dict(zip(machines["machine_id"], machines["facts"], strict=True)),
        versions=versions,
        run_dir=folder / "no-audio",
        notebooks=records(notebooks),
        verdicts=verdicts,
        seal=run_seals(archive.tables["cells"]).get(run_id),
        notes=tuple(map(str, document["notes"])),
        sounds=sounds,
    )
    return evidence, archive


def _read_tables(folder: Path) -> Archive:
    """The checked tables of a report's folder; InputError where one is missing."""
    archive = read_archive(folder / TABLES_FOLDER, whole=False)
    missing = [name for name in NEEDED if name not in archive.tables]
    if missing or not archive.manifest:
        what = f"table {missing[0]}" if missing else "manifest"
        raise InputError(f"{folder / TABLES_FOLDER} has no {what}; {RENDER_AGAIN}")
    return archive


def figures_of(evidence: Evidence, claims: Claims) -> dict[str, Any]:
    """Every figure of a report by name: numbers, verdicts and sentences, JSON-ready."""
    found: dict[str, Any] = {}
    resolutions = resolve_all(claims, evidence)
    for resolution in resolutions:
        name = f"claim {resolution.claim.id}"
        found[f"{name}: verdict"] = resolution.verdict
        found[f"{name}: measured"] = _interval(resolution.measured)
        found[f"{name}: gap"] = _interval(resolution.gap)
        found[f"{name}: cell"] = resolution.cell_id
        found[f"{name}: reason"] = resolution.reason
    said = answer(evidence, resolutions)
    found["headline"] = said.headline
    found |= {f"sentence {number}": text for number, text in enumerate(said.sentences, 1)}
    found |= {f"key figure {tile.name}: {key}": value for tile in said.tiles for key, value in asdict(tile).items()}
    for metric in METRICS:
        for state in sorted(set(evidence.cells["state"])):
            for figure in cell_figures(evidence, metric, state=state):
                name = f"{metric} of {figure.text_preset}, {figure.label}, {state}"
                found[name] = [*_interval(figure.measured), figure.ranked, figure.note]
    for bound in bounds(evidence):
        name = f"bound of {bound.text_preset}, {bound.label}, {bound.cell_id}"
        found[name] = [bound.bound_ms, bound.zero_overhead_ms, bound.unattributed_ms, *_interval(bound.measured)]
    for line in noise_lines(evidence):
        found[f"noise of {line.text_preset}"] = [line.blocks, line.spread, line.floor, line.detectable]
    for verdict in stored_verdicts(evidence, ("cell", "twin", "placebo")):
        name = f"verdict on {verdict.candidate_cell} against {verdict.base_cell}, {verdict.metric}"
        found[name] = [verdict.verdict, *_interval(verdict.ratio), verdict.reason]
    found["seal"] = None if evidence.seal is None else _seal(evidence.seal)
    return {name: _plain(value) for name, value in found.items()}


def _seal(seal: RunSeal) -> list[Any]:
    return [seal.head, seal.blocks, seal.missing, seal.unverified]


def _interval(interval: Interval | None) -> list[Any]:
    return [] if interval is None else [interval.center, *interval.bounds, interval.count]


def _plain(value: Any) -> Any:
    """A value as JSON gives it back: no NumPy numbers, no infinity."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    return value.item() if hasattr(value, "item") else value


def _sounds(evidence: Evidence, metric: str) -> Sequence[list[Any]]:
    values = evidence.values(metric)
    rows = zip(values["cell_id"], values["block"], values["value"], strict=True)
    return [[str(cell), int(block), float(value)] for cell, block, value in rows]
