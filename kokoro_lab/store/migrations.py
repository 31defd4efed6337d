"""Migrations: convert rows of an earlier schema version to the current version.

A migration has a number, a name and a function from an Arrow table of the previous version to its own. It runs when
rows are read, on a copy: the files stay as they were written, so an earlier table version still reads as before. A
column that changes its meaning or type therefore gets a new name; the old column stays with the old rows.

Migrations are ordered as in simonw/llm (llm/migrations.py): numbered, named, each applied once.
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
    """A step to schema version `number` for the tables it names; other tables stay unchanged."""

    number: int
    name: str
    tables: frozenset[str]
    apply: Callable[[pa.Table], pa.Table]


def _unchanged(rows: pa.Table) -> pa.Table:
    """New columns may be empty, as they are for rows that were written before them."""
    return rows


def _own_process(rows: pa.Table) -> pa.Table:
    """Before cells could share a process, every block had one of its own. Rows that were migrated before stay as they
    are."""
    if "process" in rows.column_names:
        return rows
    return rows.append_column("process", pa.repeat(pa.scalar("own", pa.string()), rows.num_rows))


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "which variant ran, on which kernels, from which file", frozenset({"samples", "cells"}), _unchanged),
    Migration(3, "where an imported block comes from", frozenset({"cells"}), _unchanged),
    Migration(4, "what was measured, by its bytes; what seals a block", frozenset({"samples", "cells"}), _unchanged),
    Migration(5, "whether a block shared its process", frozenset({"samples", "cells"}), _own_process),
)
"""Steps from version 1, the first schema; the first step is number 2."""


def current_rows(
    rows: pa.Table,
    table: TableSchema,
    *,
    migrations: Sequence[Migration] = MIGRATIONS,
    version: int = SCHEMA_VERSION,
    strict: bool = True,
) -> pa.Table:
    """Bring rows of any known version to `version` and to the table's columns, in the order of the schema.

    Without `strict`, a required value that is missing stays missing: see `integrity.row_checks`.

    Raises:
        StoreError: a row is of a newer version than this package knows, or lacks a required value.
    """
    parts = []
    for written in sorted(set(rows["schema_version"].to_pylist())):
        if written > version:
            raise StoreError(
                f"table {table.name} has rows of schema version {written}, but this kokoro-lab knows only {version}; "
                "upgrade kokoro-lab"
            )
        part = _as_written(rows.filter(pc.equal(rows["schema_version"], written)))
        for step in migrations:
            if written < step.number <= version and table.name in step.tables:
                part = step.apply(part)
        parts.append(_conform(part, table, strict))
    return pa.concat_tables(parts) if parts else _columns(table, strict).empty_table()


def _as_written(part: pa.Table) -> pa.Table:
    """The rows without the columns that only other versions wrote, which are empty throughout."""
    return part.select([name for name in part.column_names if part[name].null_count < part.num_rows])


def _conform(rows: pa.Table, table: TableSchema, strict: bool) -> pa.Table:
    missing = [field.name for field in table.columns if field.name not in rows.column_names and not field.nullable]
    if missing and strict:
        raise StoreError(
            f"table {table.name} lacks the columns {', '.join(missing)}; give tables that kokoro-lab wrote"
        )
    columns = []
    for field in table.columns:
        if field.name in rows.column_names:
            column = rows[field.name].cast(field.type)
        else:
            column = pa.nulls(rows.num_rows, field.type)
        if strict and not field.nullable and column.null_count:
            raise StoreError(f"table {table.name} has empty values in {field.name}; give tables that kokoro-lab wrote")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=_columns(table, strict))


def _columns(table: TableSchema, strict: bool) -> pa.Schema:
    return table.columns if strict else pa.schema([field.with_nullable(True) for field in table.columns])
