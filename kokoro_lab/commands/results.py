"""`kokoro-lab results`: inspect, export, import, check and clean the result tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from kokoro_lab.commands.console import Json, notice, print_json, print_table
from kokoro_lab.errors import InputError, NothingMeasuredError, RegressedError
from kokoro_lab.reports.findings.change_history import change_history
from kokoro_lab.reports.findings.history import by_notebook
from kokoro_lab.store import Store, StoreReader, exporting
from kokoro_lab.store.exporting import FORMATS
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.removal import check_removable, remove_run
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.integrity.seal_checks import unsealed_blocks
from kokoro_lab.store.layout import check_run_id, results
from kokoro_lab.store.run_facts.run_labels import chosen_run, label_run, stored_run
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.sides import history as stored_runs

__all__ = ["app"]

app = typer.Typer(rich_markup_mode=None)

Table = Annotated[str, typer.Argument(help="Table: samples, cells, machines, verdicts, notebooks, attempts or runs.")]
RunId = Annotated[str | None, typer.Option("--run", help="Only rows of this run: id, name or tag.")]

SHOWN_NOTE = 60  # characters of a note in the list; `--json` has all of it

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
    "attempts": ("run_id", "started_at", "base_cell", "candidate_cell", "attempt"),
    "runs": ("run_id", "name", "tags", "note", "endings"),
}
"""Table -> the columns that fit a terminal; `--json` prints all of them."""


@app.command("list")
def list_runs(
    tag: Annotated[str | None, typer.Option("--tag", help="Only runs with this tag.")] = None,
    as_json: Json = False,
) -> None:
    """List the stored runs."""
    store = StoreReader(results().tables)
    seals = store.seals()
    runs = [{**run, "seal": asdict(seals[run["run_id"]])} for run in store.runs() if tag is None or tag in run["tags"]]
    if as_json:
        print_json({"runs": runs})
    elif not runs and tag is not None:
        notice(f"no run has the tag {tag!r}; add it with `kokoro-lab results tag RUN {tag}`")
    elif not runs:
        notice(f"there are no runs under {results().root}; start one with `kokoro-lab sweep quick`")
    else:
        columns = ("run_id", "plan", "cells", "blocks", "ok", "unavailable", "error", "samples", "architectures")
        rows = [
            {**run, "imported": _from(run["imported"]), "bytes": "" if run["verified"] else "unverified"}
            for run in runs
        ]
        rows = [
            {**row, "state": "" if row["complete"] else "incomplete", "note": row["note"][:SHOWN_NOTE]} for row in rows
        ]
        shown = ("state", "name", "tags", "note", "bytes", "imported")
        further = [name for name in shown if any(row[name] for row in rows)]
        print_table(rows, (*columns, *further))


@app.command()
def show(
    table: Table,
    run_id: RunId = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only this many of the newest rows.")] = None,
    version: Annotated[int | None, typer.Option(min=0, help="Version of the table (default: the newest).")] = None,
    as_json: Json = False,
) -> None:
    """Show the rows of a table."""
    _check(table)
    store = StoreReader(results().tables)
    if run_id is not None:
        run_id = stored_run(store, check_run_id(run_id))
    frame = store.frame(table, run_id=run_id, version=version)
    total = len(frame)
    if limit is not None:
        frame = frame.tail(limit)
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    seals = {}
    if run_id is not None:
        found = store.seals(run_id).get(run_id)
        if found is None and not rows:
            raise NothingMeasuredError(f"run {run_id!r} has no rows that can be read; see `kokoro-lab results check`")
        seals = {"seal": None if found is None else asdict(found)}
    if as_json:
        print_json({"rows": rows, "table": table, "version": _version(store, table, version), "total": total, **seals})
    elif not rows:
        notice(f"table {table} under {results().root} has no such rows")
    else:
        print_table(rows, SHOWN[table])
        if total > len(rows):
            notice(f"showing the newest {len(rows)} of {total} rows")


@app.command()
def history(
    table: Annotated[
        str | None,
        typer.Argument(help="Table whose commits are listed: samples, cells, machines, verdicts, notebooks."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where figures changed from commit to commit, or list the commits of a table.

    Without a table: the change points of every cell, by its ratio to the reference cell of its run, on each machine.
    """
    if table is None:
        _changes(as_json)
        return
    _check(table)
    commits = StoreReader(results().tables).history(table)
    if as_json:
        print_json({"commits": commits, "table": table})
    elif not commits:
        notice(f"table {table} under {results().root} has no commits yet")
    else:
        print_table(commits, ("version", "at", "operation", "rows_added", "run_id", "cell_id", "block"))


def _changes(as_json: bool) -> None:
    """Print the change points of the stored runs."""
    store = StoreReader(results().tables)
    if not store.runs():
        raise NothingMeasuredError(f"there are no runs under {results().root}; start one with `kokoro-lab sweep quick`")
    found = change_history(by_notebook(stored_runs(store), store.cells()))
    rows = [
        {
            **{name: getattr(change, name) for name in ("name", "figure", "machine", "before", "after", "verdict")},
            "ratio": change.ratio.center,
            "low": change.ratio.low,
            "high": change.ratio.high,
            "runs_before": change.runs[0],
            "runs_after": change.runs[1],
        }
        for change in found.changes
    ]
    if as_json:
        print_json({"changes": rows, "series": found.series, "undecided": found.undecided})
    elif rows:
        columns = ("name", "figure", "machine", "before", "after", "ratio", "low", "high")
        print_table(rows, (*columns, "runs_before", "runs_after", "verdict"))
    notice(found.summary)


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write to: new, empty, or an earlier export.")
    ],
    form: Annotated[str, typer.Option("--format", help="File format: csv or parquet.")] = "csv",
    run_id: RunId = None,
    as_json: Json = False,
) -> None:
    """Export the tables as CSV or Parquet files.

    A manifest in the folder has the SHA-256 of each file.
    """
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}; choose one of {', '.join(FORMATS)}")
    store = StoreReader(results().tables)
    if run_id is not None:
        run_id = chosen_run(store, check_run_id(run_id))
    known = {run["run_id"] for run in store.runs()}
    if not known or (run_id is not None and run_id not in known):
        what = f"of run {run_id!r}" if run_id else f"under {results().root}"
        raise NothingMeasuredError(f"there are no rows {what}; see the stored runs with `kokoro-lab results list`")
    manifest = exporting.export(store, folder, form, run_id=run_id)
    if as_json:
        print_json({"folder": str(folder), **manifest})
    counts = ", ".join(f"{entry['rows']} {name}" for name, entry in manifest["tables"].items())
    notice(f"wrote {counts} to {folder}")


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `results export` wrote.")],
    as_json: Json = False,
) -> None:
    """Import exported tables.

    The whole folder is checked first, and refused when anything in it is wrong. Rows that are already stored stay
    unchanged; new blocks are marked with where they come from.
    """
    added = import_folder(Store(results().tables), folder)
    if as_json:
        print_json({"folder": str(folder), "added": added})
    counts = ", ".join(f"{rows} {name}" for name, rows in added.items() if rows)
    notice(f"added {counts} from {folder}" if counts else f"every row of {folder} is already stored")


@app.command("tag")
def tag_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Run: id, name or tag.")],
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags to add.")] = None,
    remove_tags: Annotated[bool, typer.Option("--remove", help="Remove these tags instead.")] = False,
    note: Annotated[str | None, typer.Option(help="Note on the run; an empty one is removed.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; an empty one is removed.")] = None,
    as_json: Json = False,
) -> None:
    """Give a run tags, a name and a note, and print them.

    The name of a run, or a tag for the newest complete run that has it, may stand wherever a run is named. The run's id
    and what seals its blocks stay the same.
    """
    store = Store(results().tables)
    chosen = stored_run(store, check_run_id(run_id))
    given = tuple(tags or ())
    if remove_tags and not given:
        raise InputError("no tag to remove is named; name it after the run")
    added, removed = ((), given) if remove_tags else (given, ())
    labels = label_run(store, chosen, add=added, remove=removed, name=name, note=note)
    if as_json:
        print_json({"run_id": chosen, **asdict(labels)})
    words = [f"name {labels.name}"] * bool(labels.name) + [f"tags {', '.join(labels.tags)}"] * bool(labels.tags)
    words += [f"note {labels.note!r}"] * bool(labels.note)
    notice(f"run {chosen}: {'; '.join(words) or 'no name, tags or note'}")


@app.command()
def remove(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Run to remove.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a run: its rows, its folder and its report.

    Earlier versions of the tables keep the rows.
    """
    place = results()
    rows = check_removable(place, run_id)
    counts = ", ".join(f"{count} {name}" for name, count in rows.items()) or "no rows"
    if not yes:
        if not sys.stdin or not sys.stdin.isatty():
            raise InputError(f"removing run {run_id!r} ({counts}) needs a confirmation; add --yes")
        if not typer.confirm(f"Remove run {run_id} ({counts}), its recordings and its report?", err=True):
            notice("nothing was removed")
            return
    removed = remove_run(place, run_id)
    if as_json:
        print_json({"run_id": run_id, "removed": removed})
    notice(f"removed run {run_id}: {counts}; earlier versions of the tables keep the rows")


@app.command()
def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Move what is unreadable to results/quarantine, and remove leftovers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read all results, and list what is unreadable, changed after it was stored, lost or left over.

    Exit code 0: everything is in order, or was repaired; 1: something is wrong.
    """
    place = results()
    findings = check_results(place, repair=repair)
    unsealed = unsealed_blocks(place)
    rows = [asdict(finding) for finding in findings]
    remaining = [finding for finding in findings if not finding.repaired]
    if as_json:
        print_json({"findings": rows, "remaining": len(remaining), "unverified": unsealed})
    elif rows:
        print_table(rows, ("where", "problem", "repaired") if repair else ("where", "problem"))
    if unsealed:
        blocks = "1 block is" if unsealed == 1 else f"{unsealed} blocks are"
        notice(f"{blocks} unsealed: stored before blocks had seals")
    if remaining:
        repairable = "restore these files from a copy" if repair else "add --repair to move them out of the way"
        raise RegressedError(f"{_problems(remaining)} under {place.root}; {repairable}")
    notice(f"repaired {_problems(rows)} under {place.root}" if rows else f"{place.root} is in order")


def _problems(items: Sequence[object]) -> str:
    return "1 problem" if len(items) == 1 else f"{len(items)} problems"


def _from(origin: Mapping[str, Any] | None) -> str:
    """The origin of a run in a few words."""
    if origin is None:
        return ""
    return f"{str(origin.get('imported_at', ''))[:10]} from {origin.get('folder', 'an unknown folder')}"


def _check(table: str) -> None:
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; choose one of {', '.join(TABLES)}")


def _version(store: StoreReader, table: str, version: int | None) -> int | None:
    return version if version is not None else store.versions()[table]
