"""`results check`: read everything in the results folder, and say what is unreadable, lost or left over.

CHECKS lists what is looked at in the folder, ROW_CHECKS what may be wrong with a row; a new kind of damage is a new
function in one of them. A repair removes only what a killed process left half-made (see `examination`).
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import parquet

from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import BusyError, InputError, KokoroLabError, StoreError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import reason
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.store.integrity.examination import (
    Check,
    Examination,
    Finding,
    RowCheck,
    row_keys,
    told,
)
from kokoro_lab.store.integrity.row_checks import checked_rows
from kokoro_lab.store.integrity.seal_checks import altered, chains, verdicts
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES

__all__ = ["CHECKS", "ROW_CHECKS", "check_results"]

OLD_S = 3600.0
"""Age of a temporary file without a lock from which on nobody is writing it."""
MOST_NOTEBOOK_BYTES = 256 << 20


def check_results(results: Results, *, repair: bool = False) -> list[Finding]:
    """Everything that is wrong in a results folder; with `repair`, each finding says what was done about it.

    Raises:
        StoreError: a repair cannot write to the folder.
    """
    examination = Examination(results, repair)
    found: list[Finding] = []
    with examination.store.locked() if repair and results.tables.is_dir() else contextlib.nullcontext():
        for check in CHECKS:
            try:
                found += check(examination)
            except OSError as problem:
                raise StoreError(
                    f"results folder {results.root} cannot be examined: {reason(problem)}; check its permissions"
                ) from problem
    return found


def table_files(examination: Examination) -> Iterator[Finding]:
    """Data files that a table needs and that are lost or damaged. A repair takes them off the table's list."""
    for name in TABLES:
        table = examination.table(name)
        where = examination.named(table.folder)
        try:
            if not table.exists():
                continue
            opened = DeltaTable(str(table.folder))
        except StoreError as error:
            yield Finding(where, f"{error.message}; restore it from a copy")
            continue
        findings = []
        for uri in opened.file_uris():
            path = Path(uri.removeprefix("file://"))
            problem = _data_problem(path)
            if problem and examination.repair and path.exists():
                findings.append(Finding(examination.named(path), problem, examination.move_out(path)))
            elif problem:
                repaired = "taken off the table's list; its rows are lost" if examination.repair else ""
                findings.append(Finding(examination.named(path), problem, repaired))
        if findings and examination.repair:
            opened.repair()
        yield from findings


def _data_problem(path: Path) -> str:
    if not path.is_file():
        return "this data file of the table is lost"
    try:
        parquet.read_table(path, partitioning=None)
    except Exception as problem:  # pyarrow raises anything on damaged bytes
        return f"this data file of the table is damaged: {reason(problem)}"
    return ""


def rows(examination: Examination) -> Iterator[Finding]:
    """Rows that are unreadable, stored twice, or left by a writer that was killed. A repair moves them out."""
    for name in TABLES:
        table = examination.table(name)
        try:
            raw = table.raw()
            wrong = {} if raw is None else _wrong_rows(name, raw, examination)
        except StoreError as error:
            yield Finding(examination.named(table.folder), error.message)
            continue
        if raw is None or not wrong:
            continue
        yield from told(examination, table, raw, wrong)


def _wrong_rows(name: str, raw: pa.Table, examination: Examination) -> dict[int, str]:
    wrong: dict[int, str] = {}
    for check in ROW_CHECKS:
        for place, problem in check(name, raw, examination).items():
            wrong.setdefault(place, problem)
    return wrong


def unreadable(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Rows that readers leave out; see `row_checks`."""
    _, flaws = checked_rows(raw, TABLES[name])
    return {place: f"{flaw.column} {flaw.problem}" for place, flaw in flaws.items()}


def twice(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Every row after the first with the same key."""
    seen: set[tuple[Any, ...]] = set()
    wrong = {}
    for place, key in enumerate(row_keys(name, raw, *(("repeat",) if name == "samples" else ()))):
        if key in seen:
            wrong[place] = "stored twice"
        seen.add(key)
    return wrong


def unmarked(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Samples whose block has no row in `cells`: left by a writer that was killed."""
    if name != "samples":
        return {}
    cells = examination.table("cells").raw()
    marks = set() if cells is None else set(row_keys("cells", cells))
    return {place: "its block was never finished" for place, key in enumerate(row_keys(name, raw)) if key not in marks}


def lost_audio(examination: Examination) -> Iterator[Finding]:
    """Recordings of runs that were measured here, and that are lost or damaged; nothing brings them back."""
    try:
        cells = examination.store.rows("cells")
    except StoreError:
        return  # told by the checks before
    named = zip(*(cells[column].to_pylist() for column in ("run_id", "audio_path", "origin")), strict=True)
    for run_id, audio in sorted({(run, path) for run, path, origin in named if path and origin is None}):
        path = examination.results.run(run_id) / audio
        try:
            read_saved(path)
        except KokoroLabError as error:
            problem = error.message.partition(";")[0] if path.exists() else "this recording is lost"
            yield Finding(examination.named(path), problem)


def run_files(examination: Examination) -> Iterator[Finding]:
    """Documents of runs that are no longer documents: plans, jobs, outcomes, executed notebooks."""
    for path in sorted(examination.results.runs.glob("*/*")):
        if path.suffix not in (".json", ".ipynb") or path.is_symlink() or not path.is_file():
            continue
        try:
            document = read_json(path, what="file of a run", most=MOST_NOTEBOOK_BYTES)
        except InputError as error:
            document = error
        if not isinstance(document, dict):
            repaired = examination.move_out(path) if examination.repair else ""
            yield Finding(examination.named(path), "this file of a run is damaged", repaired)


def litter(examination: Examination) -> Iterator[Finding]:
    """What killed processes left half-made; nothing while a run is being measured. A repair removes it."""
    try:
        with exclusive_measurement("results check"):
            for path in _left_over(examination.results):
                if examination.repair:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                words = "left by a process that was killed"
                yield Finding(examination.named(path), words, "removed" if examination.repair else "")
    except BusyError:
        return


def _left_over(results: Results) -> Iterator[Path]:
    for path in sorted(results.runs.glob("*/block-*")):
        if path.is_dir() and not path.is_symlink():
            yield path
    for folder in (results.runs, results.reports, results.published):
        for path in sorted(folder.rglob("*.part")) if folder.is_dir() else ():
            if not path.is_symlink() and _abandoned(path):
                yield path
    yield from sorted(results.tables.glob("*/_delta_log/_commit_*.tmp"))


def _abandoned(path: Path) -> bool:
    """Whether nobody is writing a temporary file: writers of ours lock it (see `files.writing`)."""
    if path.is_file() and path.name.startswith("."):
        with contextlib.suppress(OSError), path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False
    return time.time() - path.stat().st_mtime > OLD_S


CHECKS: tuple[Check, ...] = (table_files, rows, chains, verdicts, lost_audio, run_files, litter)
"""In the order in which they run: a table must have its files before its rows are read."""

ROW_CHECKS: tuple[RowCheck, ...] = (unreadable, twice, altered, unmarked)
"""Of several that find the same row wrong, the first is told."""
