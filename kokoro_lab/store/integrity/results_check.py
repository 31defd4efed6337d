"""`results check`: read everything in the results folder, and say what is unreadable, lost or left over.

CHECKS lists what is looked at in the folder, ROW_CHECKS what may be wrong with a row; a new kind of damage is a new
function in one of them. A repair never deletes what was measured: it moves it to results/quarantine/<time>/. It removes
only what a killed process left half-made.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from pyarrow import parquet

from kokoro_lab.audio.saved import read_saved
from kokoro_lab.errors import BusyError, InputError, KokoroLabError, StoreError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.store.integrity.row_checks import checked_rows
from kokoro_lab.store.integrity.seals import UNCHAINED, altered_blocks, broken_links, missing_links, run_seals
from kokoro_lab.store.integrity.verdict_states import CHANGED, EDITED, verdict_states
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.store import Store
from kokoro_lab.store.table import Table

__all__ = ["CHECKS", "ROW_CHECKS", "Finding", "check_results", "unverified_blocks"]

OLD_S = 3600.0
"""Age of a temporary file without a lock from which on nobody is writing it."""
MOST_NOTEBOOK_BYTES = 256 << 20
GAPS = "gaps.json"
"""In a repair's folder: run -> links of its chain whose blocks were missing, and that nobody will bring back."""
MOST_GAPS_BYTES = 64 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    where: str
    """A file, a folder or a table, relative to the results folder."""
    problem: str
    repaired: str = ""
    """What was done about it; empty when nothing was."""


@dataclass(frozen=True)
class Examination:
    """The folder that is examined, and where a repair puts what it takes out."""

    results: Results
    repair: bool

    @cached_property
    def store(self) -> Store:
        """The tables."""
        return Store(self.results.tables)

    @cached_property
    def quarantine(self) -> Path:
        """A new folder for this repair; created when it is first asked for."""
        at = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
        folder, number = self.results.inside(self.results.quarantine) / at, 1
        while folder.exists():
            number += 1
            folder = self.results.quarantine / f"{at}-{number}"
        return make_folder(folder)

    @cached_property
    def altered(self) -> Mapping[tuple[str, str, int], str]:
        """The blocks that are not what was stored, by their keys; of the rows that can be read."""
        try:
            cells, samples = (self.table(name).read() for name in ("cells", "samples"))
        except StoreError:
            return {}  # told by the check of the table's files
        found = altered_blocks(cells, samples)
        chained = set(broken_links(cells, _taken_out(self.results)))
        return {
            **dict.fromkeys(chained, UNCHAINED),
            **{key: words for key, words in found.items() if words != UNCHAINED},
        }

    def table(self, name: str) -> Table:
        """One table of the store."""
        return Table(self.results.tables / name, TABLES[name])

    def named(self, path: Path) -> str:
        """A path as findings name it."""
        return path.relative_to(self.results.root).as_posix()

    def move_out(self, path: Path) -> str:
        """Move a file or folder into the quarantine; returns what was done, in words."""
        target = self.quarantine / path.relative_to(self.results.root)
        make_folder(target.parent)
        path.rename(target)
        return f"moved to {self.named(target)}"


Check = Callable[[Examination], Iterator[Finding]]
RowCheck = Callable[[str, pa.Table, Examination], Mapping[int, str]]


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
        repaired = _take_out(examination, table, raw, wrong) if examination.repair else ""
        for problem, count in Counter(wrong.values()).items():
            first = min(place for place, words in wrong.items() if words == problem)
            words = f"{count} {'row' if count == 1 else 'rows'}: {problem} (the first is {_key(name, raw, first)})"
            yield Finding(examination.named(table.folder), words, repaired)


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
    for place, key in enumerate(_keys(name, raw, *(("repeat",) if name == "samples" else ()))):
        if key in seen:
            wrong[place] = "stored twice"
        seen.add(key)
    return wrong


def unmarked(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Samples whose block has no row in `cells`: left by a writer that was killed."""
    if name != "samples":
        return {}
    cells = examination.table("cells").raw()
    marks = set() if cells is None else set(_keys("cells", cells))
    return {place: "its block was never finished" for place, key in enumerate(_keys(name, raw)) if key not in marks}


def _keys(name: str, raw: pa.Table, *more: str) -> Iterator[tuple[Any, ...]]:
    columns = (raw[column] for column in (*TABLES[name].key, *more))
    return zip(*(column.cast(_exact(column.type)).to_pylist() for column in columns), strict=True)


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _exact(kind: pa.DataType) -> pa.DataType:
    """Texts as bytes: those of a damaged row may not be texts."""
    return pa.binary() if pa.types.is_string(kind) else kind


def _key(name: str, raw: pa.Table, place: int) -> str:
    values = next(iter(_keys(name, raw.slice(place, 1))))
    shown = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return ", ".join(f"{column} {str(value)[:80]!r}" for column, value in zip(TABLES[name].key, shown, strict=True))


def _take_out(examination: Examination, table: Table, raw: pa.Table, wrong: Mapping[int, str]) -> str:
    """Write rows to the quarantine as they are, with what is wrong with each, then take them out of the table."""
    name = table.schema.name
    places = sorted(wrong)
    taken = raw.take(places)
    exact = [taken[column].cast(_exact(taken[column].type)) for column in taken.column_names]
    parquet.write_table(
        pa.Table.from_arrays(exact, names=taken.column_names), examination.quarantine / f"{name}.parquet"
    )
    lines = [json.dumps({"row": _key(name, raw, place), "problem": wrong[place]}) + "\n" for place in places]
    write_text(examination.quarantine / f"{name}.jsonl", "".join(lines))
    kept = pa.array([at for at in range(raw.num_rows) if at not in wrong], pa.int64())
    table.overwrite(raw.take(kept), note={"repaired": str(len(wrong))})
    return f"moved to {examination.named(examination.quarantine)}/{name}.parquet"


def altered(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Rows of blocks whose seal does not hold; readers leave them out."""
    if name not in ("samples", "cells") or not examination.altered:
        return {}
    wrong = {tuple(map(_bytes, key)): words for key, words in examination.altered.items()}
    return {place: wrong[key] for place, key in enumerate(_keys(name, raw)) if key in wrong}


def chains(examination: Examination) -> Iterator[Finding]:
    """Blocks that are missing from the chain of their run. A repair writes down that they are lost."""
    try:
        cells = examination.table("cells").read()
    except StoreError:
        return  # told by the checks before
    known = {**_taken_out(examination.results), **dict.fromkeys(_noted_gaps(examination.results), "")}
    gaps = {
        run_id: [link for link in links if (run_id, link) not in known]
        for run_id, links in missing_links(cells).items()
    }
    gaps = {run_id: links for run_id, links in gaps.items() if links}
    repaired = ""
    if gaps and examination.repair:
        path = examination.quarantine / GAPS
        write_text(path, json.dumps(gaps) + "\n")
        repaired = f"noted in {examination.named(path)}; the blocks are lost"
    for run_id, links in gaps.items():
        blocks = "1 block is" if len(links) == 1 else f"{len(links)} blocks are"
        words = f"{blocks} missing from the chain of run {run_id!r} (the first was stored as link {links[0]})"
        yield Finding(examination.named(examination.table("cells").folder), words, repaired)


def verdicts(examination: Examination) -> Iterator[Finding]:
    """Verdicts that were changed, or whose blocks were, after they were stored. A repair takes them out."""
    store, table = examination.store, examination.table("verdicts")
    try:
        rows = table.read()
        states = verdict_states(rows, store.rows("cells"), store.rows("samples"))
    except StoreError:
        return  # told by the checks before
    keyed = zip(_keys("verdicts", rows), states, strict=True)
    wrong = {key: WRONG_VERDICTS[state] for key, state in keyed if state in WRONG_VERDICTS}
    raw = table.raw()
    if not wrong or raw is None:
        return
    places = {place: wrong[key] for place, key in enumerate(_keys("verdicts", raw)) if key in wrong}
    repaired = _take_out(examination, table, raw, places) if examination.repair else ""
    for problem, count in Counter(places.values()).items():
        first = min(place for place, words in places.items() if words == problem)
        words = f"{count} {'row' if count == 1 else 'rows'}: {problem} (the first is {_key('verdicts', raw, first)})"
        yield Finding(examination.named(table.folder), words, repaired)


WRONG_VERDICTS: Mapping[str, str] = {
    EDITED: "its values were changed after it was stored",
    CHANGED: "blocks that it was drawn from were changed, removed or inserted since",
}


def unverified_blocks(results: Results) -> int:
    """Blocks that were stored before blocks had seals: nothing can be said about them."""
    try:
        cells = Table(results.tables / "cells", TABLES["cells"]).read()
    except StoreError:
        return 0  # told by the check of the table's files
    return sum(seal.unverified for seal in run_seals(cells).values())


def _taken_out(results: Results) -> dict[tuple[str, int], str]:
    """(run, link) -> chain of the blocks that earlier repairs moved into the quarantine."""
    chains: dict[tuple[str, int], str] = {}
    for path in sorted(results.quarantine.glob("*/cells.parquet")):
        with contextlib.suppress(OSError, pa.ArrowException, UnicodeDecodeError):
            rows = parquet.read_table(path)
            if not {"link", "chain"} <= set(rows.column_names):
                continue
            columns = (rows[name].to_pylist() for name in ("run_id", "link", "chain"))
            for run_id, link, chain in zip(*columns, strict=True):
                if run_id is not None and link is not None and chain is not None:
                    chains[run_id.decode(), link] = chain.decode()
    return chains


def _noted_gaps(results: Results) -> set[tuple[str, int]]:
    """(run, link) of the blocks that earlier repairs found missing."""
    known: set[tuple[str, int]] = set()
    for path in sorted(results.quarantine.glob(f"*/{GAPS}")):
        with contextlib.suppress(KokoroLabError):
            document = read_json(path, what="list of missing blocks", most=MOST_GAPS_BYTES)
            for run_id, links in document.items() if isinstance(document, dict) else ():
                known |= {(run_id, link) for link in links if isinstance(link, int)}
    return known


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
"""Each gives the numbers of the rows of a table, as they were written, that are wrong, with what is wrong with them."""
