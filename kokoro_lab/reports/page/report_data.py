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
from kokoro_lab.store.exporting import write_tables
from kokoro_lab.store.integrity.archives import read_archive
from kokoro_lab.store.integrity.seals import RunSeal, run_seals, sealed_verdicts
from kokoro_lab.store.store_reader import StoreReader
from kokoro_lab.sweeps.current_verdicts import of_run

__all__ = [
    "CLAIMS",
    "FIGURES",
    "TABLES_FOLDER",
    "copy_data",
    "data_tables",
    "figures_of",
    "read_evidence",
    "read_figures",
    "write_data",
]

CLAIMS, FIGURES, TABLES_FOLDER = "claims.yaml", "figures.json", "tables"
MOST_BYTES = 64 << 20
METRICS = ("total_ms", "ttfa_ms", "rtf", "rss_mb")
"""Figures of cells that the charts and the headline show."""

KEY = ("run_id", "cell_id", "block")

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
    verdicts = sealed_verdicts(of_run(store, evidence.run_id).rows)
    return {**rows, "machines": machines.filter(pa.array(here, pa.bool_())), "verdicts": verdicts}


def copy_data(source: Path, target: Path, scrub: Scrub) -> None:
    """Copy a report's data into another folder, with names of users, hosts and folders replaced in every text.

    A block whose texts change is named in the manifest: its digest no longer covers what is there.
    """
    archive = read_archive(source / TABLES_FOLDER, whole=False)
    touched: set[tuple[str, str, int]] = set()
    tables = {name: _scrubbed(name, rows, scrub, touched) for name, rows in archive.tables.items()}
    versions = {name: entry.get("table_version") for name, entry in archive.manifest["tables"].items()}
    run_id = archive.manifest.get("run_id")
    write_tables(target / TABLES_FOLDER, tables, versions, run_id=run_id, changed=sorted(touched))
    for name in (CLAIMS, FIGURES):
        write_text(target / name, scrub(read_text(source / name, what="data of a report", most=MOST_BYTES)))


def _scrubbed(name: str, rows: pa.Table, scrub: Scrub, touched: set[tuple[str, str, int]]) -> pa.Table:
    of_blocks = name in ("samples", "cells")
    keys = list(zip(*(rows[column].to_pylist() for column in KEY), strict=True)) if of_blocks else []
    for at, column in enumerate(rows.schema):
        if not pa.types.is_string(column.type):
            continue
        values = rows[column.name].to_pylist()
        known = {value: None if value is None else scrub(value) for value in set(values)}
        if all(value == new for value, new in known.items()):
            continue
        if column.name != "origin":
            touched |= {key for key, value in zip(keys, values, strict=False) if known[value] != value}
        rows = rows.set_column(at, column, pa.array([known[value] for value in values], pa.string()))
    return rows


def read_figures(folder: Path) -> dict[str, Any]:
    """The document of figures of a report; InputError where it is none."""
    document = read_json(folder / FIGURES, what="figures of a report", most=MOST_BYTES)
    with decoding(f"{folder / FIGURES}", advice="render the report again"):
        if not isinstance(document["figures"], dict):
            raise InputError(f"{folder / FIGURES} lists no figures; render the report again")
    return dict(document)


def read_evidence(folder: Path, document: Mapping[str, Any]) -> tuple[Evidence, dict[str, pa.Table], int]:
    """The evidence of a report from its own tables, these tables, and the number of blocks whose texts were replaced.

    Raises InputError or StoreError when the tables are not what was stored.
    """
    archive = read_archive(folder / TABLES_FOLDER, whole=False)
    tables = dict(archive.tables)
    cells, samples, verdicts, machines, notebooks = (
        StoreReader.decoded(name, tables[name]) for name in ("cells", "samples", "verdicts", "machines", "notebooks")
    )
    run_id = str(document["run_id"])
    sounds = {
        metric: {(str(cell), int(block)): float(value) for cell, block, value in rows}
        for metric, rows in document["sounds"].items()
    }
    evidence = Evidence.of(
        run_id,
        samples,
        cells,
        machines=dict(zip(machines["machine_id"], machines["facts"], strict=True)),
        versions=document["versions"],
        run_dir=folder / "no-audio",
        notebooks=[{str(key): value for key, value in row.items()} for row in notebooks.to_dict("records")],
        verdicts=verdicts,
        seal=run_seals(tables["cells"]).get(run_id),
        notes=tuple(document["notes"]),
        sounds=sounds,
    )
    return evidence, tables, len(archive.manifest.get("changed") or ())


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
