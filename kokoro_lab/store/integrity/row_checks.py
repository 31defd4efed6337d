"""What makes a row of the result tables readable, in one place: for imports, for reading, and for `results check`.

A row is checked column by column, on the distinct values of each column, so that a table of many rows costs little. The
first thing that is wrong with a row is its `Flaw`. A row with a flaw is never merged into a store; in a store that has
one already, it is left out when the table is read, with a notice, until `results check --repair` takes it out.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.store.integrity.json_shapes import SHAPES, decode
from kokoro_lab.store.layout import is_run_id
from kokoro_lab.store.migrations import current_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TableSchema

__all__ = ["Flaw", "checked_rows", "flaws"]

EARLIEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)  # what a machine without a clock believes
LATEST_MOMENT = datetime.datetime(2262, 1, 1, tzinfo=datetime.UTC)  # the end of pandas' nanoseconds
NOTEBOOK = re.compile(r"[a-z0-9_]{0,80}")
CELL_ID = re.compile(r"[0-9a-f]{12}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

CHOICES: Mapping[str, frozenset[str]] = {
    "state": frozenset({"warm", "cold", "cold-process", "cold-session", "cold-shape"}),
    "delivery": frozenset({"whole", "stream"}),
    "arrivals": frozenset({"", "poisson", "ramp", "closed"}),
    "status": frozenset({"ok", "partial", "unavailable", "error", "interrupted"}),
    "gate": frozenset({"none", "equivalent", "close", "different"}),
    "process": frozenset({"own", "shared"}),
    "outlier": frozenset({"", "high", "low"}),
}
"""Column -> the only values that its readers know."""

PLAIN_NAMES = frozenset(
    {
        *("plan", "machine_id", "software_id", "git_commit", "model", "weights", "architecture", "precision"),
        *("provider", "graph_level", "environment", "text_preset", "voice", "lang", "variant", "kernels"),
        *("effective_provider", "model_sha256", "settings_digest", "energy_source", "governor", "gate_reference"),
        *("base_cell", "candidate_cell", "metric", "verdict", "digest", "chain", "measured_models"),
        *("name", "note"),
    }
)
"""Columns that are printed as names: they have no control characters, which a terminal would obey."""

COUNTS = frozenset(
    {
        *("block", "order", "round", "attempt", "replaces", "place", "characters", "samples", "repeat", "pairs"),
        *("replica", "link"),
    }
)
DURATIONS = frozenset({"wall_s", "ttfa_ms", "audio_s", "speech_s", "rtf"})
"""Columns of numbers that are never negative."""
POSITIVE = frozenset({"total_ms", "speed"})
"""Columns of numbers that are above 0: ratios and their logarithms are computed from them."""


@dataclass(frozen=True)
class Flaw:
    """The first thing that is wrong with a row."""

    column: str
    problem: str
    """What is wrong with the value, as the end of a sentence that names the column."""


def checked_rows(raw: pa.Table, table: TableSchema) -> tuple[pa.Table, dict[int, Flaw]]:
    """Rows as they were written -> the readable ones in the current schema, and what is wrong with each of the others.

    Args:
        raw: rows of any versions up to the current one.
        table: their table.

    Returns:
        The readable rows, and flaws by the row's number in `raw`.

    Raises:
        StoreError: a row is of a newer version than this package knows.
    """
    versions = raw["schema_version"]
    known = pc.fill_null(pc.greater_equal(versions, 1), False)
    parts: list[pa.Table] = []
    found: dict[int, Flaw] = {}
    for number in sorted(set(versions.filter(known).to_pylist()) | {SCHEMA_VERSION}):
        places = pc.indices_nonzero(pc.and_(known, pc.equal(versions, number)))
        part = current_rows(raw.take(places), table, strict=False)
        mistakes = flaws(part, table)
        found |= {places[at].as_py(): flaw for at, flaw in mistakes.items()}
        if mistakes:
            part = part.take(pa.array([at for at in range(part.num_rows) if at not in mistakes], pa.int64()))
        parts.append(part)
    for place in pc.indices_nonzero(pc.invert(known)).to_pylist():
        found[place] = Flaw("schema_version", "is not the number of a version")
    readable = pa.concat_tables(parts)
    return pa.Table.from_arrays(readable.columns, schema=table.columns), found


def flaws(rows: pa.Table, table: TableSchema) -> dict[int, Flaw]:
    """What is wrong with rows of the current schema, by the row's number; nothing for a row that is readable."""
    found: dict[int, Flaw] = {}

    def mark(places: Iterable[int], column: str, problem: str) -> None:
        for place in places:
            found.setdefault(place, Flaw(column, problem))

    for field in table.columns:
        column = rows[field.name]
        if not field.nullable and column.null_count:
            mark(_where(pc.is_null(column)), field.name, "has no value")
        for wrong, problem in _value_checks(field, column):
            mark(_where(wrong), field.name, problem)
        if pa.types.is_string(field.type):
            for place, problem in _text_flaws(column, functools.partial(_text_flaw, table.name, field.name)):
                mark([place], field.name, problem)
    if table.name == "cells":
        identities = _identity_flaws(rows, found)
        mark(identities, "cell_id", "is not the hash of the cell's configuration")
    return found


def _value_checks(field: pa.Field, column: pa.ChunkedArray) -> Iterable[tuple[pa.ChunkedArray, str]]:
    """Masks of the rows whose number or moment is impossible, each with what is wrong."""
    if pa.types.is_floating(field.type):
        yield pc.invert(pc.is_finite(column)), "is not a finite number"
    if field.name in COUNTS or field.name in DURATIONS:
        yield pc.less(column, 0), "is below 0"
    if field.name in POSITIVE:
        yield pc.less_equal(column, 0), "is not above 0"
    if pa.types.is_timestamp(field.type):
        late = pc.greater_equal(column, pa.scalar(LATEST_MOMENT, field.type))
        yield pc.or_(pc.less(column, pa.scalar(EARLIEST, field.type)), late), "is not a time from 1970 to 2261"


def _where(mask: pa.ChunkedArray) -> list[int]:
    return [] if not pc.any(mask).as_py() else pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()


def _text_flaws(column: pa.ChunkedArray, check: Callable[[str], str]) -> Iterable[tuple[int, str]]:
    """The places of the texts that a check refuses, with its reasons; every distinct text is checked once."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    # Arrow takes any bytes for a text: Python decodes them.
    wrong = {}
    for index, value in enumerate(encoded.dictionary.cast(pa.binary()).to_pylist()):
        try:
            problem = check(value.decode("utf-8"))
        except UnicodeDecodeError:
            problem = "is not UTF-8 text"
        if problem:
            wrong[index] = problem
    if wrong:
        for place, index in enumerate(encoded.indices.to_pylist()):
            if index in wrong:
                yield place, wrong[index]


def _text_flaw(table: str, column: str, value: str) -> str:
    """What is wrong with a text, empty where nothing is."""
    if (table, column) in SHAPES:
        return _document_flaw(*SHAPES[table, column], value)
    if column in CHOICES and value not in CHOICES[column]:
        return f"is none of {', '.join(word or 'empty' for word in sorted(CHOICES[column]))}"
    if column == "run_id" and not is_run_id(value):
        return "is not the id of a run"
    if column == "cell_id" and not CELL_ID.fullmatch(value):
        return "is not the id of a cell"
    if column == "notebook" and not NOTEBOOK.fullmatch(value):
        return "is not the name of a notebook"
    if column in ("audio_path", "executed") and not _stays_inside(value):
        return "leads out of the results folder"
    return "has control characters" if column in PLAIN_NAMES and CONTROL.search(value) else ""


def _document_flaw(fits: Callable[[Any], bool], what: str, value: str) -> str:
    try:
        return "" if fits(decode(value)) else f"is not {what}"
    except ValueError:
        return "is not JSON"


def _stays_inside(path: str) -> bool:
    """Whether a relative path has no part that leads upward; empty: no file."""
    return not path.startswith("/") and ".." not in PurePosixPath(path).parts and not CONTROL.search(path)


def _identity_flaws(cells: pa.Table, found: Mapping[int, Flaw]) -> list[int]:
    """Rows of `cells`, of those without another flaw, whose id does not follow from their configuration."""
    identities: dict[tuple[str, str], bool] = {}
    pairs = zip(_texts(cells["cell_id"]), _texts(cells["configuration"]), strict=True) if cells.num_rows else ()
    wrong = []
    for place, (cell_id, configuration) in enumerate(pairs):
        if place in found or cell_id is None or configuration is None:
            continue
        pair = (cell_id, configuration)
        if pair not in identities:
            identities[pair] = _identity(configuration) == cell_id
        if not identities[pair]:
            wrong.append(place)
    return wrong


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    raw = column.cast(pa.binary()).to_pylist()
    return [None if value is None else value.decode("utf-8", "replace") for value in raw]


def _identity(configuration: str) -> str:
    """The id of the cell with this configuration; empty where it is none."""
    try:
        return Cell.from_dict(decode(configuration)).id
    except (KokoroLabError, TypeError, ValueError, AttributeError):
        return ""
