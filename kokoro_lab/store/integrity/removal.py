"""`results remove`: take a run out of the tables, and remove its folder and its report."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import psutil

from kokoro_lab.errors import BusyError, InputError, StoreError
from kokoro_lab.files.reading import reason
from kokoro_lab.measure.machine.lock import measured_now
from kokoro_lab.store.integrity.attempts import keep_attempts
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.store import Store

__all__ = ["check_removable", "remove_run"]


def check_removable(results: Results, run_id: str) -> dict[str, int]:
    """How many rows a run has in each table, without those that have none.

    Raises:
        InputError: no run can have this id, or none has.
        BusyError: the run is being measured.
    """
    folders = _folders(results, run_id)
    store, where = Store(results.tables), [("run_id", "=", run_id)]
    tables = [name for name in TABLES if "run_id" in TABLES[name].columns.names and name != "attempts"]
    counts = {name: store.stored_rows(name, where) for name in tables}
    if not any(counts.values()) and not any(folder.exists() or folder.is_symlink() for folder in folders):
        raise InputError(f"unknown run {run_id!r}; see the stored runs with `kokoro-lab results list`")
    if f"run {run_id}" in measured_now() or _executing(folders[0]):
        raise BusyError(f"run {run_id!r} is being measured; wait until it has ended, or end it")
    return {name: count for name, count in counts.items() if count}


def remove_run(results: Results, run_id: str) -> dict[str, int]:
    """Remove a run: table -> rows removed. What `check_removable` raises, this does too.

    The comparisons that it made stay counted (see `attempts`).

    Raises:
        StoreError: the tables or the folders cannot be changed.
    """
    if check_removable(results, run_id):
        keep_attempts(Store(results.tables), run_id)
    removed = Store(results.tables).remove_run(run_id) if results.tables.is_dir() else {}
    for folder in _folders(results, run_id):
        try:
            if folder.is_symlink():
                folder.unlink()  # what it leads to is not ours
            elif folder.exists():
                shutil.rmtree(results.inside(folder))
        except OSError as problem:
            raise StoreError(f"{folder} cannot be removed: {reason(problem)}; remove it by hand") from problem
    return removed


def _folders(results: Results, run_id: str) -> tuple[Path, Path]:
    return results.run(run_id), results.report(run_id)


def _executing(folder: Path) -> bool:
    """Whether a process is executing a notebook of the run: its command names the run's folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in process.cmdline():
                return True
    return False
