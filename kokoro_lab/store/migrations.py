"""How rows of an earlier schema version become rows of the current one.

A migration has a number, a name and one function from an Arrow table of the version before to its own. It runs when
rows are read, on a copy: what is on disk stays as it was written, so an earlier table version still reads as it
did. A column that changes its meaning or type therefore gets a new name; the old one stays with the old rows.

The order is held as in simonw/llm (llm/migrations.py): numbered, named, each applied once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from kokoro_lab.errors import StoreError
from kokoro_lab.store.schema import SCHEMA_VERSION, TableSchema

__all__ = ["MIGRATIONS", "Migration", "current_rows"]


@dataclass(frozen=True)
class Migration:
    """Step to schema version `number` of the tables it names; other tables pass unchanged."""

    number: int
    name: str
    tables: frozenset[str]
    apply: Callable[[pa.Table], pa.Table]


def _as_they_are(rows: pa.Table) -> pa.Table:
    """New columns may be empty, and are for rows that nobody recorded them for."""
    return rows


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "which variant ran, on which kernels, from which file", frozenset({"samples", "cells"}), _as_they_are),
)
"""Steps from version 1, which is the first; number 2 comes first here."""


def current_rows(
    rows: pa.Table,
    table: TableSchema,
    *,
    migrations: Sequence[Migration] = MIGRATIONS,
    version: int = SCHEMA_VERSION,
) -> pa.Table:
    """Bring rows of any known version to `version` and to the table's columns, in the order of the schema.

    Raises:
        StoreError: a row is of a newer version than this package knows, or lacks a column it must have.
    """
    parts = []
    for found in sorted(set(rows["schema_version"].to_pylist())):
        if found > version:
            raise StoreError(
                f"Table {table.name} holds rows of schema version {found}, and this kokoro-lab knows up to {version}: "
                "upgrade kokoro-lab."
            )
        part = _as_written(rows.filter(pc.equal(rows["schema_version"], found)))
        for step in migrations:
            if found < step.number <= version and table.name in step.tables:
                part = step.apply(part)
        parts.append(_conform(part, table))
    return pa.concat_tables(parts) if parts else table.columns.empty_table()


def _as_written(part: pa.Table) -> pa.Table:
    """Without the columns that only other versions wrote: the shared table shows them as empty throughout."""
    return part.select([name for name in part.column_names if part[name].null_count < part.num_rows])


def _conform(rows: pa.Table, table: TableSchema) -> pa.Table:
    missing = [field.name for field in table.columns if field.name not in rows.column_names and not field.nullable]
    if missing:
        raise StoreError(
            f"Table {table.name} lacks the columns {', '.join(missing)}: it was not written by kokoro-lab."
        )
    columns = []
    for field in table.columns:
        if field.name in rows.column_names:
            column = rows[field.name].cast(field.type)
        else:
            column = pa.nulls(rows.num_rows, field.type)
        if not field.nullable and column.null_count:
            raise StoreError(f"Table {table.name} has empty values in {field.name}, which must never be empty.")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=table.columns)
