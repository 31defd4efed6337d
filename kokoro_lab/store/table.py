"""One Delta table on disk: keyed writes in one commit each, reads at any version, history.

Reading never creates anything: a missing table reads as a table without rows. Every write is one commit, which Delta
publishes by linking a finished file into its log: a process killed at any moment leaves the table either as before the
commit or as after it. Writers take the store's lock first (see `store`); readers need none.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import TableNotFoundError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from kokoro_lab.errors import StoreError
from kokoro_lab.files.failures import library_call
from kokoro_lab.store.integrity.row_checks import Flaw, checked_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TableSchema

__all__ = ["Filter", "Table", "arrow_rows"]

LOGGER = logging.getLogger(__name__)

_TOLD: set[tuple[str, int]] = set()
"""Folder and number of unreadable rows of which this process has been told."""

Filter = Sequence[tuple[str, str, Any]]
"""Conditions, all of which must be met, as (column, operator, value): [("run_id", "=", "r1")]."""


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
        """Whether the table has been written."""
        return (self.folder / "_delta_log").is_dir() and self._open(None) is not None

    def version(self) -> int | None:
        """Newest version; None when there is no table."""
        table = self._open(None)
        return None if table is None else int(table.version())

    def stamp(self, version: int | None = None) -> str:
        """A short name of the state of the files: it changes with every commit, and with a file that is replaced."""
        table = self._open(version)
        if table is None:
            return f"{self.folder}: nothing"
        state = hashlib.sha256(f"{self.folder.resolve()} {table.version()}".encode())
        for uri in sorted(table.file_uris()):
            with contextlib.suppress(OSError):
                status = Path(uri.removeprefix("file://")).stat()
                state.update(f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode())
        return state.hexdigest()

    def read(self, where: Filter = (), *, version: int | None = None) -> pa.Table:
        """The readable rows of the newest or the given version, migrated to the current schema, sorted.

        Unreadable rows are left out, with one notice per process.

        Raises:
            StoreError: no such version, unreadable files, or rows of a newer schema version.
        """
        raw = self.raw(where, version=version)
        if raw is None:
            return self.schema.columns.empty_table()
        rows, flaws = checked_rows(raw, self.schema)
        if flaws:
            self._tell(flaws)
        return rows.sort_by([(name, "ascending") for name in self.schema.order]) if self.schema.order else rows

    def raw(self, where: Filter = (), *, version: int | None = None) -> pa.Table | None:
        """The rows as they were written, unchecked; None when there is no table.

        Raises:
            StoreError: no such version, or unreadable files.
        """
        table = self._open(version)
        if table is None:
            if version is not None:
                raise StoreError(f"table {self.schema.name} has no version {version}; it has not been written yet")
            return None
        with self._call("read"):
            return self._rows(table, where)

    def keys(self, where: Filter = ()) -> set[tuple[Any, ...]]:
        """Values of the key columns of the rows, readable or not; no schema version may rename these columns."""
        return set(self.values(self.schema.key, where))

    def values(
        self, columns: Sequence[str], where: Filter = (), *, version: int | None = None
    ) -> list[tuple[Any, ...]]:
        """Values of some columns of the rows, readable or not; None where no row has the column yet."""
        table = self._open(version)
        if table is None:
            return []
        with self._call("read"):
            written = {field.name for field in table.schema().fields}
            rows = self._rows(table, where, [name for name in columns if name in written])
        nothing = [None] * rows.num_rows
        values = (rows[name].to_pylist() if name in written else nothing for name in columns)
        return list(zip(*values, strict=True))

    def overwrite(self, rows: pa.Table, *, note: Mapping[str, str] | None = None) -> int:
        """Replace all rows by these, as they are, in one commit; returns the new version."""
        return self._write(rows, note, mode="overwrite")

    def remove(self, run_id: str) -> int:
        """Remove the rows of a run in one commit; returns their number. Earlier versions keep them."""
        count = len(self.values(("run_id",), [("run_id", "=", run_id)]))
        if count:
            commit = CommitProperties(custom_metadata={"removed": run_id})
            with self._call("written"):
                DeltaTable(str(self.folder)).delete(f"run_id = {_literal(run_id)}", commit_properties=commit)
        return count

    def compact(self, run_id: str) -> None:
        """Merge the many small files of a run; earlier versions keep their files and stay readable."""
        table = self._open(None)
        if table is not None:
            with self._call("written"):
                table.optimize.compact(partition_filters=[("run_id", "=", run_id)])

    def history(self) -> list[dict[str, Any]]:
        """Commits, newest first: version, UTC time, operation, rows added, and the writer's notes."""
        table = self._open(None)
        if table is None:
            return []
        with self._call("read"):
            commits = table.history()
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
            for commit in commits
        ]

    def append(self, rows: pa.Table, *, note: Mapping[str, str] | None = None) -> int:
        """Add rows in one commit; returns the new version."""
        return self._write(rows, note, mode="append")

    def replace(self, rows: pa.Table, where: Mapping[str, str | int], *, note: Mapping[str, str] | None = None) -> int:
        """Replace all rows that match `where`, in one commit; returns the new version."""
        predicate = " AND ".join(f'"{name}" = {_literal(value)}' for name, value in where.items())
        return self._write(rows, note, mode="overwrite", predicate=predicate)

    def _write(self, rows: pa.Table, note: Mapping[str, str] | None, **how: Any) -> int:
        commit = CommitProperties(custom_metadata={"schema_version": str(SCHEMA_VERSION), **(note or {})})
        with self._call("written"):
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
        return int(table.version())

    def _tell(self, flaws: Mapping[int, Flaw]) -> None:
        """Say once per process that rows of this table are left out."""
        flaw = next(iter(flaws.values()))
        told = (str(self.folder), len(flaws))
        if told not in _TOLD:
            _TOLD.add(told)
            rows = "1 unreadable row" if len(flaws) == 1 else f"{len(flaws)} unreadable rows"
            LOGGER.warning(
                f"table {self.schema.name} has {rows}, left out here ({flaw.column} {flaw.problem}); "
                "see `kokoro-lab results check`"
            )

    def _rows(self, table: Any, where: Filter, columns: list[str] | None = None) -> pa.Table:
        # Not deltalake's file system: that is a Python object, and an Arrow thread that releases it while the
        # interpreter exits aborts the whole process (exit -6, after the work is done).
        files = SubTreeFileSystem(str(self.folder), LocalFileSystem())
        return table.to_pyarrow_table(columns=columns, filters=list(where) or None, filesystem=files)

    def _open(self, version: int | None) -> Any:
        if not self.folder.is_dir():
            return None
        which = "" if version is None else f" at version {version}"
        with library_call(
            f"table {self.schema.name}{which} in {self.folder} cannot be opened",
            error=StoreError,
            advice=f"see `kokoro-lab results history {self.schema.name}`",
        ):
            try:
                return DeltaTable(str(self.folder), version=version)
            except TableNotFoundError:
                return None

    def _call(self, done: str) -> AbstractContextManager[None]:
        doing = f"table {self.schema.name} in {self.folder} cannot be {done}"
        advice = "see `kokoro-lab results check`" if done == "read" else "free some space and check the folder"
        return library_call(doing, error=StoreError, advice=advice)


def arrow_rows(table: TableSchema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of the schema; JSON columns are encoded, `schema_version` is added.

    Raises:
        StoreError: an unknown column, a value of the wrong type, or a missing required value.
    """
    names = set(table.columns.names)
    built: list[dict[str, Any]] = []
    for row in rows:
        unknown = sorted(set(row) - names)
        if unknown:
            raise StoreError(f"table {table.name} has no column {', '.join(unknown)}; use {', '.join(sorted(names))}")
        full = {**row, "schema_version": SCHEMA_VERSION}
        for field in table.columns:
            value = full.get(field.name)
            empty = value is None or (isinstance(value, float) and not math.isfinite(value))
            if empty and not field.nullable:
                raise StoreError(f"a row for table {table.name} has {value} in {field.name}; give it a value")
            if empty:
                full[field.name] = None
            elif field.name in table.json:
                full[field.name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
        built.append(full)
    try:
        return pa.Table.from_pylist(built, schema=table.columns)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise StoreError(
            f"a row for table {table.name} does not fit its columns: {_line(error)}; use the types of store/schema.py"
        ) from error


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
