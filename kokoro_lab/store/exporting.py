"""Tables as plain files in a folder: CSV or Parquet, sorted, with a manifest of their checksums.

    samples.csv cells.csv machines.csv verdicts.csv notebooks.csv attempts.csv
    manifest.json

The same rows give the same bytes. In CSV an empty field is "no value" and two quotes are an empty text; JSON columns
contain JSON. Unreadable and altered rows and audio are not exported: `audio_path` is its path within the run's folder.
The manifest has the SHA-256 and the row count of each file, the version of its table, and the seal of each run; it is
written last, so a folder with a manifest is complete.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv, parquet

from kokoro_lab._version import __version__
from kokoro_lab.errors import InputError, StoreError
from kokoro_lab.files.writing import make_folder, write_bytes, write_text
from kokoro_lab.store.integrity.archives import MANIFEST
from kokoro_lab.store.integrity.seals import Originals, run_seals
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES, TableSchema
from kokoro_lab.store.store_reader import StoreReader

__all__ = ["FORMATS", "Format", "export", "write_tables"]

Format = Literal["csv", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "parquet")


def export(store: StoreReader, folder: Path, form: Format = "csv", *, run_id: str | None = None) -> dict[str, Any]:
    """Write every table, or the rows of one run, into a folder; returns the manifest.

    An earlier export in the folder is replaced. Raises InputError for a folder with any other files, StoreError when it
    cannot be written.
    """
    versions = store.versions()
    pinned = store.at(versions)
    tables = {name: _belonging(pinned, name, run_id) for name in TABLES}
    return write_tables(folder, tables, versions, form, run_id=run_id)


def write_tables(
    folder: Path,
    tables: Mapping[str, pa.Table],
    versions: Mapping[str, int | None],
    form: Format = "parquet",
    *,
    run_id: str | None,
    originals: Originals | None = None,
) -> dict[str, Any]:
    """Write these tables like `export`, which see; returns the manifest.

    Args:
        folder: where to.
        tables: rows of the current schema, by the name of their table.
        versions: the versions of the tables that they come from.
        form: csv or parquet.
        run_id: the run that they belong to, None for several.
        originals: rows whose texts were changed for this copy, with the digests that they had before.
    """
    _check_target(folder)
    files: dict[str, dict[str, Any]] = {}
    try:
        make_folder(folder)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name, given in tables.items():
            rows = _sorted(given, TABLES[name])
            data = _written(rows, form)
            path = folder / f"{name}.{form}"
            for other in FORMATS:
                (folder / f"{name}.{other}").unlink(missing_ok=True)
            write_bytes(path, data)
            files[name] = {
                "file": path.name,
                "rows": rows.num_rows,
                "sha256": hashlib.sha256(data).hexdigest(),
                "table_version": versions.get(name),
            }
        manifest = {
            "kokoro_lab": __version__,
            "schema_version": SCHEMA_VERSION,
            "format": form,
            "run_id": run_id,
            "exported_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "tables": files,
            "seals": {name: asdict(seal) for name, seal in run_seals(tables["cells"]).items()},
            **({"originals": _listed(originals)} if originals else {}),
        }
        write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    except OSError as error:
        raise StoreError(
            f"folder {folder} cannot be written: {error.strerror or error}; choose another folder"
        ) from error
    return manifest


def _listed(originals: Originals) -> list[list[Any]]:
    """Each row by its key, with its digest; in order."""
    return [[*key, digest] for key, digest in sorted(originals.items(), key=repr)]


def _check_target(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give another path")
    ours = {MANIFEST, *(f"{name}.{form}" for name in TABLES for form in FORMATS)}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours) if folder.exists() else []
    if foreign:
        raise InputError(f"folder {folder} contains other files ({', '.join(foreign[:3])}); give an empty folder")


def _belonging(store: StoreReader, name: str, run_id: str | None) -> pa.Table:
    """Rows of one table, or only those of one run and its machines."""
    rows = store.rows(name, run_id=run_id)
    if run_id is None or name != "machines":
        return rows
    cells = store.rows("cells", run_id=run_id)
    pairs = set(zip(cells["machine_id"].to_pylist(), cells["software_id"].to_pylist(), strict=True))
    here = zip(rows["machine_id"].to_pylist(), rows["software_id"].to_pylist(), strict=True)
    return rows.filter(pa.array([pair in pairs for pair in here], pa.bool_()))


def _sorted(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """Rows in a reproducible order: the table's own, then its key."""
    return rows.sort_by([(name, "ascending") for name in dict.fromkeys((*schema.order, *schema.key))])


def _written(rows: pa.Table, form: Format) -> bytes:
    buffer = io.BytesIO()
    if form == "csv":
        csv.write_csv(rows, buffer)
    else:
        parquet.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()
