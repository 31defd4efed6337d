"""`kokoro-lab results`: what the tables hold."""

from __future__ import annotations

from typing import Any

from kokoro_lab.commands.console import notice, print_json, print_table
from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.store import Store
from kokoro_lab.store.places import results
from kokoro_lab.store.schema import TABLES

__all__ = ["history", "list_runs", "show"]

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
        *("ratio", "ratio_low", "ratio_high", "pairs"),
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


def _check(table: str) -> None:
    if table not in TABLES:
        raise InputError(f"There is no table {table!r}: the tables are {', '.join(TABLES)}.")


def _version(store: Store, table: str, version: int | None) -> int | None:
    return version if version is not None else store.versions()[table]
