"""`kokoro-lab results`: what the tables hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.store import Store, exporting
from kokoro_lab.store.exporting import FORMATS
from kokoro_lab.store.places import results
from kokoro_lab.store.schema import TABLES

__all__ = ["export", "history", "import_", "list_runs", "show"]

SHOWN = {
    "samples": (
        *("run_id", "text_preset", "provider", "intra_op_threads", "state", "block", "repeat"),
        *("total_ms", "ttfa_ms", "rtf", "gate"),
    ),
    "cells": (
        *("run_id", "text_preset", "provider", "effective_provider", "intra_op_threads", "state", "block"),
        *("status", "samples", "gate", "contaminated", "error"),
    ),
    "machines": ("machine_id", "software_id", "first_seen_at", "facts"),
    "verdicts": (
        *("run_id", "base_cell", "candidate_cell", "metric", "verdict"),
        *("ratio", "ratio_low", "ratio_high", "pairs", "reason"),
    ),
    "notebooks": ("run_id", "notebook", "attempt", "status", "wall_s", "error"),
}
"""Columns that fit a terminal; `--json` gives all of them."""


def list_runs(*, as_json: bool) -> None:
    """Every run, oldest first."""
    runs = Store(results().tables).runs()
    if as_json:
        print_json({"runs": runs})
    elif not runs:
        notice(f"There are no runs under {results().root}: start one with `kokoro-lab sweep quick`")
    else:
        print_table(
            runs, ("run_id", "plan", "cells", "blocks", "ok", "unavailable", "error", "samples", "architectures")
        )


def show(table: str, *, run_id: str | None, limit: int | None, version: int | None, as_json: bool) -> None:
    """Rows of a table, oldest first; the newest `limit` of them when a limit is given."""
    _check(table)
    store = Store(results().tables)
    if run_id is not None and run_id not in {run["run_id"] for run in store.runs()}:
        raise NothingMeasuredError(f"There are no rows of a run {run_id!r}: see `kokoro-lab results list`")
    frame = store.frame(table, run_id=run_id, version=version)
    total = len(frame)
    if limit is not None:
        frame = frame.tail(limit)
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    if as_json:
        print_json({"rows": rows, "table": table, "version": _version(store, table, version), "total": total})
    elif not rows:
        notice(f"Table {table} has no such rows under {results().root}")
    else:
        print_table(rows, SHOWN[table])
        if total > len(rows):
            notice(f"The newest {len(rows)} of {total} rows")


def history(table: str, *, as_json: bool) -> None:
    """Commits of a table, newest first."""
    _check(table)
    commits = Store(results().tables).history(table)
    if as_json:
        print_json({"commits": commits, "table": table})
    elif not commits:
        notice(f"Nothing was written to table {table} under {results().root} yet")
    else:
        print_table(commits, ("version", "at", "operation", "rows_added", "run_id", "cell_id", "block"))


def export(folder: Path, *, form: str, run_id: str | None, as_json: bool) -> None:
    """Write the tables into a folder, of one run when one is named."""
    if form not in FORMATS:
        raise InputError(f"There is no format {form!r}: there are {', '.join(FORMATS)}.")
    store = Store(results().tables)
    known = {run["run_id"] for run in store.runs()}
    if not known or (run_id is not None and run_id not in known):
        what = f"of a run {run_id!r}" if run_id else f"under {results().root}"
        raise NothingMeasuredError(f"There are no rows {what}: see `kokoro-lab results list`")
    manifest = exporting.export(store, folder, form, run_id=run_id)
    if as_json:
        print_json({"folder": str(folder), **manifest})
    counts = ", ".join(f"{told['rows']} {name}" for name, told in manifest["tables"].items())
    notice(f"Wrote {counts} to {folder}")


def import_(folder: Path, *, as_json: bool) -> None:
    """Add the tables of a folder to those that are here."""
    added = exporting.import_folder(Store(results().tables), folder)
    if as_json:
        print_json({"folder": str(folder), "added": added})
    counts = ", ".join(f"{rows} {name}" for name, rows in added.items() if rows)
    notice(f"Added {counts} from {folder}" if counts else f"Every row of {folder} is here already")


def _check(table: str) -> None:
    if table not in TABLES:
        raise InputError(f"There is no table {table!r}: the tables are {', '.join(TABLES)}.")


def _version(store: Store, table: str, version: int | None) -> int | None:
    return version if version is not None else store.versions()[table]
