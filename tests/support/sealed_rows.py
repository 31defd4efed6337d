"""The rows of sealed blocks, and a way to change one of their values."""

from __future__ import annotations

import pyarrow as pa

Rows = tuple[pa.Table, pa.Table]
"""Of `cells` and of `samples`."""


def put(table: pa.Table, column: str, place: int, value: object) -> pa.Table:
    at = table.column_names.index(column)
    values = table[column].to_pylist()
    values[place] = value
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
