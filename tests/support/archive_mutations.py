"""Exported runs changed at random, as by an accident or by somebody who means harm; and whether an import stood it."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet
from report_blocks import RUN, block, cell, stored

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.records.readings import LoadReading
from kokoro_lab.reports.claims.claims import Claims
from kokoro_lab.reports.page.report import Report
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.exporting import Format, export
from kokoro_lab.store.integrity.archives import MANIFEST
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.integrity.seals import SEAL
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.estimate import DurationHistory

__all__ = ["Archives", "listing", "mutate", "tried"]

LONGEST_S = 10.0  # an import of these archives takes 0.2 s on an idle machine

HOSTILE_TEXTS = (
    *("", "x", "../../../x", "/tmp/x", "..", "latest", "a\x00b", "a\nb", "\x1b[2J", "é" * 200, "x" * 100_000, "C:\\x"),
    *("{not json", "{", "[]", "{}", "null", "0", "[[[[", "[" * 20_000, '{"a":' * 5_000, '"x"', "1e999", "NaN", "[NaN]"),
    *('{"load": 1}', '{"load": {}}', '{"deliveries": [[1]]}', '{"kind": "noise"}', '{"kind": 3}', '{"figures": []}'),
    *('{"text": "x"}', '{"model": 1, "text": 2}', "9" * 5_000, "<script>alert(1)</script>", "ok", "warm", "\ud7ff"),
)
HOSTILE_NUMBERS = (0, -1, 1, 2**31 - 1, -(2**31), 2**40, 10**15)
HOSTILE_REALS = (0.0, -0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), 5e-324)
HOSTILE_MOMENTS = (0, -(10**17), 10**17, 2**62, -(2**62), 253402300799 * 10**6)

Tables = dict[str, pa.Table]


class Archives:
    """Exports of a run in both formats, and a store with a run of its own to import them into."""

    def __init__(self, folder: Path) -> None:
        store = Store(_small_run(folder / "source"))
        self.folder = folder
        self.exports: dict[Format, Path] = {"csv": folder / "csv", "parquet": folder / "parquet"}
        for form, place in self.exports.items():
            export(store, place, form)
        self.home = folder / "home"
        renamed = {name: _renamed(store.rows(name)) for name in TABLES if name not in ("verdicts", "attempts")}
        own = Store(self.home / "tables")
        own.merge(renamed)
        conclude(own, "own-run", set(own.cells()["cell_id"]))
        (folder / "outside").mkdir()
        (folder / "outside" / "mine.html").write_text("mine")

    def fresh(self) -> Results:
        """A copy of the store, as it was."""
        place = self.folder / "results"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.home, place)
        return Results(place)

    def copy(self, form: Format) -> Path:
        """A copy of the export in one format."""
        place = self.folder / "archive"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.exports[form], place)
        return place


def _small_run(folder: Path) -> Path:
    """Two texts on one and two threads, a cold start, a stream, a provider that is missing, and the notebook."""
    blocks = []
    for preset, base in (("short", 100.0), ("medium", 300.0)):
        for threads in (1, 2):
            of = cell(preset, threads=threads, reference=threads == 2)
            blocks += [block(of, number, (base / threads, base + number, base)) for number in range(2)]
    blocks.append(block(cell("short", state="cold"), 0, (400.0,)))
    heard = block(cell("medium", delivery="stream"), 0)
    load = LoadReading(3, 0, "", 1.5, (0.0, 0.5, 1.0), (0.0, 0.0, 0.1))
    figures = {"cpu_ms": 90.0}
    result = replace(heard.result, deliveries=((0.1, 1.0, 0.0), (0.2, 1.0, None)), load=load, figures=figures)
    blocks.append(replace(heard, result=result))
    blocks.append(block(cell("short", provider="coreml"), 0, status="unavailable", error="It is not there.", share=0.0))
    tables = stored(folder, blocks)
    store = Store(tables)
    conclude(store, RUN, set(store.cells()["cell_id"]))
    at = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    store.append_notebook(NotebookRun(RUN, "providers", "quick", "ok", "", f"runs/{RUN}/providers.ipynb", at, 2.5))
    return tables


def _renamed(rows: pa.Table) -> pa.Table:
    if "run_id" not in rows.column_names:
        return rows
    at = rows.column_names.index("run_id")
    rows = rows.set_column(at, rows.schema.field("run_id"), pa.array(["own-run"] * rows.num_rows, pa.string()))
    for name in SEAL if "digest" in rows.column_names else ():
        at = rows.column_names.index(name)
        rows = rows.set_column(at, rows.schema.field(name), pa.nulls(rows.num_rows, rows.schema.field(name).type))
    return rows


def listing(folder: Path) -> dict[str, str]:
    """Every file and link below a folder with a hash of what it holds; the lock file of writers is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file() and path.name != ".writer.lock":
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def mutate(chance: random.Random, archive: Path) -> str:
    """Change an archive in one way, or in a few; returns what was done."""
    done = [chance.choice(MUTATIONS)(chance, archive) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    return " and ".join(done)


def _sign(archive: Path) -> None:
    """Make the checksums and the numbers of rows of the manifest right again, as an attacker would."""
    path = archive / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        for entry in manifest["tables"].values():
            entry.pop("rows", None)
            if (archive / entry["file"]) in _files(archive):
                entry["sha256"] = hashlib.sha256((archive / entry["file"]).read_bytes()).hexdigest()
        path.write_text(json.dumps(manifest))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return  # it has been mutated itself


def _files(archive: Path) -> list[Path]:
    """The regular files of the tables: a mutation may have put a pipe or a device in the place of one."""
    return sorted(
        path for path in archive.iterdir() if path.name != MANIFEST and path.is_file() and not path.is_symlink()
    )


def _bytes(chance: random.Random, archive: Path) -> str:
    path = chance.choice(_files(archive))
    data = bytearray(path.read_bytes())
    tail = chance.random() < 0.5  # where Parquet keeps its metadata
    for _ in range(chance.choice((1, 1, 4, 40))):
        low = max(0, len(data) - 3000) if tail else 0
        data[chance.randrange(low, len(data))] = chance.randrange(256)
    path.write_bytes(bytes(data))
    if chance.random() < 0.9:
        _sign(archive)
    return f"changed bytes of {path.name}"


def _length(chance: random.Random, archive: Path) -> str:
    path = chance.choice(_files(archive))
    data = path.read_bytes()
    cut = chance.randrange(len(data))
    path.write_bytes(chance.choice((data[:cut], data[cut:], data + data, data + b"\0" * cut, b"")))
    _sign(archive)
    return f"changed the length of {path.name}"


def _manifest(chance: random.Random, archive: Path) -> str:
    path = archive / MANIFEST
    text = path.read_text()
    try:
        manifest = json.loads(text)
        tables = manifest["tables"]
        entry = tables[chance.choice(sorted(tables))]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        path.write_text("{}")
        return "emptied the manifest"
    other: Any = chance.choice((None, 3, [], {}, "../secret.csv", "/etc/passwd", "x" * 10_000, -1, True, "cells.csv"))
    kind = chance.randrange(6)
    if kind == 0:
        entry[chance.choice(("file", "sha256", "rows"))] = other
    elif kind == 1:
        manifest[chance.choice(("tables", "schema_version", "run_id", "kokoro_lab", "exported_at"))] = other
    elif kind == 2:
        tables[chance.choice(("secrets", "cells", "../x"))] = chance.choice((other, dict(entry)))
    elif kind == 3:
        tables.pop(chance.choice(sorted(tables)))
    path.write_text(json.dumps(manifest))
    if kind == 4:
        path.write_text("[" * chance.choice((10, 30_000)))
    elif kind == 5:
        at = chance.randrange(len(text))
        path.write_text(text[:at] + chance.choice(('"', "}", "\x00", "9" * 5000)) + text[at:])
    return "changed the manifest"


def _path(chance: random.Random, archive: Path) -> str:
    path = chance.choice(_files(archive) or [archive / MANIFEST])
    path.unlink()
    kind = chance.randrange(5)
    if kind == 0:
        path.symlink_to("/dev/zero")
    elif kind == 1:
        path.symlink_to(archive.parent / "outside" / "mine.html")
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        os.mkfifo(path)
    return f"replaced {path.name} by another kind of file"


def _value(chance: random.Random, archive: Path) -> str:
    """One value, in some rows or in all, becomes another one of its type; the most telling mutation."""

    def change(rows: pa.Table, name: str) -> pa.Table:
        column = chance.choice(rows.column_names)
        kind = TABLES[name].columns.field(column).type
        values = rows[column].cast(pa.int64()).to_pylist() if pa.types.is_timestamp(kind) else rows[column].to_pylist()
        new = None if chance.random() < 0.1 else chance.choice(_hostile(kind))
        if chance.random() < 0.3 and pa.types.is_string(kind):
            new = chance.choice([value for value in values if value is not None] or [""])
        everywhere = chance.random() < 0.3
        at = chance.randrange(max(1, len(values)))
        values = [new if everywhere or place == at else value for place, value in enumerate(values)]
        nonlocal told
        told = f"put {str(new)[:60]!r} into {name}.{column} ({'everywhere' if everywhere else f'row {at}'})"
        return rows.set_column(rows.column_names.index(column), column, _array(values, kind))

    told = ""
    name = _rewrite(chance, archive, change)
    return told or f"left {name}"


def _hostile(kind: pa.DataType) -> tuple[Any, ...]:
    if pa.types.is_string(kind):
        return HOSTILE_TEXTS
    if pa.types.is_floating(kind):
        return HOSTILE_REALS
    if pa.types.is_timestamp(kind):
        return HOSTILE_MOMENTS
    return (True, False) if pa.types.is_boolean(kind) else HOSTILE_NUMBERS


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_integer(kind):
        return pa.array(values, pa.int64())
    return pa.array(values, kind)


def _shape(chance: random.Random, archive: Path) -> str:
    """Columns and rows that are missing, foreign, doubled or of another type."""
    kind = chance.randrange(8)

    def change(rows: pa.Table, name: str) -> pa.Table:
        column = chance.choice(rows.column_names)
        at = rows.column_names.index(column)
        if kind == 0:
            return rows.drop_columns([column])
        if kind == 1:
            return rows.append_column("more", pa.array(["x"] * rows.num_rows))
        if kind == 2:
            return rows.append_column(column, rows[column])
        if kind == 3:
            return rows.set_column(at, column, pa.array([str(value) for value in rows[column].to_pylist()]))
        if kind == 4:
            return rows.set_column(at, column, pa.array([7] * rows.num_rows))
        if kind == 5:
            return pa.concat_tables([rows, rows.slice(0, chance.randrange(1, 4))])
        if kind == 6:
            return rows.slice(0, chance.randrange(max(1, rows.num_rows)))
        return rows.rename_columns(["" if item == column else item for item in rows.column_names])

    return f"changed the shape ({kind}) of {_rewrite(chance, archive, change)}"


def _bomb(chance: random.Random, archive: Path) -> str:
    """A long text in every row: a short file, and gigabytes once it is unpacked."""

    def change(rows: pa.Table, name: str) -> pa.Table:
        column = chance.choice([field.name for field in rows.schema if pa.types.is_string(field.type)])
        text = "a" * chance.choice((1_000, 3_000_000, 6_000_000))
        many = pa.concat_tables([rows.slice(0, 1)] * 2000)
        encoded = pa.DictionaryArray.from_arrays(pa.array([0] * many.num_rows, pa.int32()), pa.array([text]))
        return many.set_column(many.column_names.index(column), column, encoded)

    if not (archive / "cells.parquet").is_file():
        return _shape(chance, archive)
    return f"blew up {_rewrite(chance, archive, change)}"


def _rewrite(chance: random.Random, archive: Path, change: Callable[[pa.Table, str], pa.Table]) -> str:
    """Read one table as the program would, change it, and write it again with a manifest that fits."""
    names = [path for path in _files(archive) if path.stem in TABLES]
    path = chance.choice(names)
    try:
        rows = parquet.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
        changed = change(rows, path.stem)
        buffer = io.BytesIO()
        if path.suffix == ".parquet":
            parquet.write_table(changed, buffer)
        else:
            csv.write_csv(changed, buffer)
    except (pa.ArrowException, OSError, ValueError, IndexError, KeyError, OverflowError, TypeError):
        return f"nothing of {path.name}"  # an earlier mutation has damaged it, or the value does not fit the format
    path.write_bytes(buffer.getvalue())
    _sign(archive)
    return path.name


def _read_csv(path: Path) -> pa.Table:
    types = {field.name: field.type for field in TABLES[path.stem].columns}
    options = csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)


MUTATIONS: tuple[Callable[[random.Random, Path], str], ...] = (
    *(_value,) * 8,
    *(_bytes,) * 4,
    *(_shape,) * 3,
    *(_length, _manifest, _manifest, _path, _bomb),
)


def tried(archives: Archives, seed: str, *, thorough: bool = True) -> tuple[str, str]:
    """Import one mutated archive: what came of it (imported, refused), and what was wrong with that, if anything."""
    chance = random.Random(seed)
    archive = archives.copy(chance.choice(("csv", "parquet")))
    done = mutate(chance, archive)
    results = archives.fresh()
    before, outside = listing(results.root), listing(archives.folder / "outside")
    began = time.monotonic()
    try:
        import_folder(Store(results.tables), archive)
    except KokoroLabError as error:
        outcome = "refused"
        wrong = "" if listing(results.root) == before else f"it was refused ({error}), and the store has changed"
    except BaseException as error:
        outcome, wrong = "crashed", f"{type(error).__name__} instead of an error of the tree: {str(error)[:200]}"
    else:
        outcome = "imported"
        wrong = _unusable(results) if thorough else ""
    if outcome == "refused" and time.monotonic() - began > LONGEST_S:
        wrong = wrong or f"it took {time.monotonic() - began:.1f} s"
    if listing(archives.folder / "outside") != outside:
        wrong = "a file outside the results folder was changed"
    return outcome, f"{done}: {wrong}" if wrong else ""


def _unusable(results: Results) -> str:
    """What an imported archive has broken; empty when everything that reads the store still works."""
    store = Store(results.tables)
    try:
        if store.latest_run() != "own-run":
            return f"the newest run is now {store.latest_run()!r}"
        DurationHistory.of(store, "0123456789abcdef")
        for run in store.runs():
            blocks = stored_blocks(store, run["run_id"])
            if run["run_id"] != "own-run" and any(each.result.repeats for each in blocks):
                report = Report(Evidence.load(results.tables, run["run_id"]), Claims(sources={}, claims=[]))
                for section in (report.measured, report.noise, report.providers, report.provenance):
                    section()
                for section in (report.notebooks, report.comparisons, report.bound, report.listen):
                    section()
    except KokoroLabError as error:
        return f"reading it back fails: {error}"
    except BaseException as error:
        return f"reading it back ends in {type(error).__name__}: {str(error)[:200]}"
    rows = [finding for finding in check_results(results) if finding.where.startswith("tables")]
    return f"the check finds {rows[0].problem}" if rows else ""
