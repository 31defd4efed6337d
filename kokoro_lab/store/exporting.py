"""Tables as plain files in a folder, and back: CSV or Parquet, sorted, with a manifest that sums them up.

    samples.csv cells.csv machines.csv verdicts.csv notebooks.csv manifest.json

The same rows give the same bytes. In CSV an empty field is "no value" and two quotes are an empty text; JSON columns
hold JSON. Audio stays behind: `audio_path` says where it was, within the run's folder. The manifest has the SHA-256 and
the row count of each file and the table version it came from; it is written last, so a folder that has one is whole.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa

from kokoro_lab import __version__
from kokoro_lab.errors import InputError, StoreError
from kokoro_lab.store.migrations import current_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES, TableSchema
from kokoro_lab.store.store import Store

__all__ = ["FORMATS", "MANIFEST", "Format", "export", "import_folder", "read_folder"]

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")
MANIFEST = "manifest.json"
NEEDED = ("samples", "cells")
"""Tables without which a folder says nothing of any run."""


def export(store: Store, folder: Path, form: Format = "csv", *, run_id: str | None = None) -> dict[str, Any]:
    """Write every table, or what belongs to one run, into a folder; returns the manifest.

    An earlier export in the folder is replaced. Raises InputError for a folder that holds anything else, StoreError
    when it cannot be written.
    """
    _check_target(folder)
    versions = store.versions()
    pinned = store.at(versions)
    files: dict[str, dict[str, Any]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name, schema in TABLES.items():
            rows = _sorted(_belonging(pinned, name, run_id), schema)
            data = _written(rows, form)
            path = folder / f"{name}.{form}"
            for other in FORMATS:
                (folder / f"{name}.{other}").unlink(missing_ok=True)
            path.write_bytes(data)
            files[name] = {
                "file": path.name,
                "rows": rows.num_rows,
                "sha256": hashlib.sha256(data).hexdigest(),
                "table_version": versions[name],
            }
        manifest = {
            "kokoro_lab": __version__,
            "schema_version": SCHEMA_VERSION,
            "format": form,
            "run_id": run_id,
            "exported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "tables": files,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error
    return manifest


def import_folder(store: Store, folder: Path) -> dict[str, int]:
    """Add what a folder holds to the store, each row once: table -> rows added.

    Raises:
        InputError: there is no manifest, or a file does not have the sum that it states.
        StoreError: rows do not fit, or a run of that name here is another one.
    """
    if not (folder / MANIFEST).is_file():
        raise InputError(f"There is no {MANIFEST} in {folder}: give a folder that `results export` wrote.")
    return store.merge(read_folder(folder))


def read_folder(folder: Path) -> dict[str, pa.Table]:
    """The tables of a folder in the current schema: those of its manifest, checked, or else its CSV files.

    Raises:
        InputError: it holds no tables, or a file does not have the sum that the manifest states.
        StoreError: a file cannot be read as its table.
    """
    stated = _manifest(folder)
    tables: dict[str, pa.Table] = {}
    for name, schema in TABLES.items():
        told = stated.get(name, {}) if stated is not None else None
        path = folder / (told.get("file", "") if told is not None else f"{name}.csv")
        if not path.is_file():
            if told:
                raise InputError(f"{path.name} is missing in {folder}, and its manifest names it: export it again.")
            continue
        data = path.read_bytes()
        if told is not None and hashlib.sha256(data).hexdigest() != told["sha256"]:
            raise InputError(f"{path} is not the file that was exported: its SHA-256 differs from the manifest's.")
        tables[name] = _read(data, path, schema)
    missing = [name for name in NEEDED if name not in tables]
    if missing:
        raise InputError(f"There is no table of {' and none of '.join(missing)} in {folder}.")
    return tables


def _manifest(folder: Path) -> Mapping[str, Mapping[str, Any]] | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        return {name: {"file": Path(told["file"]).name, "sha256": told["sha256"]} for name, told in tables.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"The manifest {path} cannot be read: {error}.") from error


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    ours = {MANIFEST, *(f"{name}.{form}" for name in TABLES for form in FORMATS)}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours) if folder.exists() else []
    if foreign:
        raise InputError(f"{folder} holds {', '.join(foreign[:3])}, which is no export: give a folder of its own.")


def _belonging(store: Store, name: str, run_id: str | None) -> pa.Table:
    """Rows of one table; of one run, its machines included, when a run is given."""
    rows = store.rows(name, run_id=run_id)
    if run_id is None or name != "machines":
        return rows
    cells = store.rows("cells", run_id=run_id)
    pairs = set(zip(cells["machine_id"].to_pylist(), cells["software_id"].to_pylist(), strict=True))
    here = zip(rows["machine_id"].to_pylist(), rows["software_id"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair in pairs for pair in here], pa.bool_()))


def _sorted(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """In an order that the rows alone decide: the table's own, then its key."""
    return rows.sort_by([(name, "ascending") for name in dict.fromkeys((*schema.order, *schema.key))])


def _written(rows: pa.Table, form: Format) -> bytes:
    buffer = io.BytesIO()
    if form == "csv":
        from pyarrow import csv

        csv.write_csv(rows, buffer)
    else:
        from pyarrow import parquet

        parquet.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _read(data: bytes, path: Path, schema: TableSchema) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            rows = parquet.read_table(io.BytesIO(data))
        else:
            from pyarrow import csv

            rows = csv.read_csv(
                io.BytesIO(data),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types={field.name: field.type for field in schema.columns},
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        return cast(pa.Table, current_rows(rows, schema))
    except (pa.ArrowException, KeyError) as error:
        words = " ".join(str(error).split())
        raise StoreError(f"{path} cannot be read as table {schema.name}: {words}.") from error
