"""One Delta table on disk: keyed writes in one commit each, reads at any version, history.

Reading never creates anything: a table that is not there yet reads as one without rows. Every write is one commit,
which Delta publishes by linking a finished file into its log: a process killed at any moment leaves the table as it
was before the commit or as it is after it. Writers take the store's lock first (see `store`); readers need none.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kokoro_lab.errors import StoreError
from kokoro_lab.store.migrations import current_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TableSchema

__all__ = ["Filter", "Table", "arrow_rows"]

Filter = Sequence[tuple[str, str, Any]]
"""Conditions that must all hold, as (column, operator, value): [("run_id", "=", "r1")]."""


class Table:
    """One Delta table under a folder.

    Args:
        folder: where the table is, or will be after the first write.
        schema: its columns and key.
    """

    def __init__(self, folder: Path, schema: TableSchema) -> None:
        self.folder = folder
        self.schema = schema

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return (self.folder / "_delta_log").is_dir() and self._open(None) is not None

    def version(self) -> int | None:
        """Newest version; None when there is no table."""
        table = self._open(None)
        return None if table is None else int(table.version())

    def read(self, where: Filter = (), *, version: int | None = None) -> pa.Table:
        """Rows of the newest or the given version, brought to the current schema, sorted.

        Raises:
            StoreError: no such version, or unreadable files.
        """
        table = self._open(version)
        if table is None:
            if version is not None:
                raise StoreError(f"Table {self.schema.name} has no version {version}: nothing was written to it yet.")
            return self.schema.columns.empty_table()
        try:
            rows = self._rows(table, where)
        except Exception as error:
            raise StoreError(f"Table {self.schema.name} in {self.folder} cannot be read: {_line(error)}") from error
        rows = current_rows(rows, self.schema)
        return rows.sort_by([(name, "ascending") for name in self.schema.order]) if self.schema.order else rows

    def keys(self, where: Filter = ()) -> set[tuple[Any, ...]]:
        """Values of the key columns of the rows; no schema version may rename those."""
        table = self._open(None)
        if table is None:
            return set()
        rows = self._rows(table, where, list(self.schema.key))
        return set(zip(*(rows[name].to_pylist() for name in self.schema.key), strict=True))

    def compact(self, run_id: str) -> None:
        """Put the many small files of one run together; earlier versions keep theirs, and read as before."""
        table = self._open(None)
        if table is not None:
            table.optimize.compact(partition_filters=[("run_id", "=", run_id)])

    def history(self) -> list[dict[str, Any]]:
        """Commits, newest first: version, UTC time, operation, rows added, and what the writer noted."""
        table = self._open(None)
        if table is None:
            return []
        known = {
            "timestamp",
            "operation",
            "operationMetrics",
            "operationParameters",
            "version",
            "engineInfo",
            "clientVersion",
        }
        return [
            {
                "version": int(commit["version"]),
                "at": _utc_iso(commit["timestamp"]),
                "operation": commit["operation"],
                "rows_added": int(commit.get("operationMetrics", {}).get("num_added_rows", 0)),
                **{key: value for key, value in commit.items() if key not in known and isinstance(value, str)},
            }
            for commit in table.history()
        ]

    def append(self, rows: pa.Table, *, note: Mapping[str, str] | None = None) -> int:
        """Add rows in one commit; returns the new version."""
        return self._write(rows, note, mode="append")

    def replace(self, rows: pa.Table, where: Mapping[str, str | int], *, note: Mapping[str, str] | None = None) -> int:
        """Put rows in the place of all that match `where`, in one commit; returns the new version."""
        predicate = " AND ".join(f'"{name}" = {_literal(value)}' for name, value in where.items())
        return self._write(rows, note, mode="overwrite", predicate=predicate)

    def _write(self, rows: pa.Table, note: Mapping[str, str] | None, **how: Any) -> int:
        from deltalake import CommitProperties, DeltaTable, write_deltalake

        commit = CommitProperties(custom_metadata={"schema_version": str(SCHEMA_VERSION), **(note or {})})
        try:
            if not DeltaTable.is_deltatable(str(self.folder)):
                self.folder.mkdir(parents=True, exist_ok=True)
                DeltaTable.create(
                    str(self.folder),
                    pa.schema([field.with_nullable(True) for field in self.schema.columns]),
                    mode="ignore",
                    partition_by=list(self.schema.partition) or None,
                    name=self.schema.name,
                    # A report cites a version for years: its log entry must not expire.
                    configuration={
                        "kokoro_lab.schema_version": str(SCHEMA_VERSION),
                        "delta.enableExpiredLogCleanup": "false",
                    },
                    raise_if_key_not_exists=False,
                    commit_properties=commit,
                )
            table = DeltaTable(str(self.folder))
            write_deltalake(table, _all_nullable(rows), schema_mode="merge", commit_properties=commit, **how)
        except Exception as error:
            raise StoreError(f"Table {self.schema.name} in {self.folder} cannot be written: {_line(error)}") from error
        return int(table.version())

    def _rows(self, table: Any, where: Filter, columns: list[str] | None = None) -> pa.Table:
        # Not deltalake's file system: that is a Python object, and an Arrow thread that lets go of it while the
        # interpreter ends takes the whole process down (exit -6, after the work is done).
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        files = SubTreeFileSystem(str(self.folder), LocalFileSystem())
        return table.to_pyarrow_table(columns=columns, filters=list(where) or None, filesystem=files)

    def _open(self, version: int | None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        if not self.folder.is_dir():
            return None
        try:
            return DeltaTable(str(self.folder), version=version)
        except TableNotFoundError:
            return None
        except Exception as error:
            which = "" if version is None else f" at version {version}"
            raise StoreError(
                f"Table {self.schema.name}{which} in {self.folder} cannot be opened: {_line(error)}"
            ) from error


def arrow_rows(table: TableSchema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of the schema; JSON columns are encoded, `schema_version` is added.

    Raises:
        StoreError: an unknown column, a value of the wrong kind, or none where there must be one.
    """
    names = set(table.columns.names)
    built: list[dict[str, Any]] = []
    for row in rows:
        unknown = sorted(set(row) - names)
        if unknown:
            raise StoreError(f"Table {table.name} has no column {', '.join(unknown)}.")
        full = {**row, "schema_version": SCHEMA_VERSION}
        for field in table.columns:
            value = full.get(field.name)
            empty = value is None or (isinstance(value, float) and not math.isfinite(value))
            if empty and not field.nullable:
                raise StoreError(f"A row for table {table.name} has {value} in {field.name}, which must have a value.")
            if empty:
                full[field.name] = None
            elif field.name in table.json:
                full[field.name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
        built.append(full)
    try:
        return pa.Table.from_pylist(built, schema=table.columns)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise StoreError(f"A row for table {table.name} does not fit its columns: {_line(error)}") from error


def _all_nullable(rows: pa.Table) -> pa.Table:
    """On disk every column may be empty, so that a later version can stop writing one; `arrow_rows` checks."""
    return rows.cast(pa.schema([field.with_nullable(True) for field in rows.schema]))


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _utc_iso(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat(timespec="milliseconds")
