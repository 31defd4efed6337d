"""Writing to the result tables: every append happens exactly once.

The protocol: a block belongs to three tables, and Delta commits one table at a time, so the order matters: the machine,
then the samples, then the row in `cells`. That last row is the commit mark: a block with this row is finished, and
readers see only the samples of finished blocks. A writer killed before the mark leaves at most samples without a mark;
the next append of that block replaces them in one commit. All writing takes a file lock, which the kernel releases when
its holder dies, so that two writers, or a writer and a resumed run, cannot both find a block missing.

Under the same lock a block gets its seal (see `integrity.seals`): it continues the chain of its run.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from kokoro_lab.errors import StoreError
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import remedy
from kokoro_lab.measure.machine.fingerprint import Fingerprint
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.store.integrity.row_checks import flaws
from kokoro_lab.store.integrity.row_differences import first_difference
from kokoro_lab.store.integrity.seals import START, ChainHead, row_seal, sealed, sealed_verdicts
from kokoro_lab.store.layout import check_run_id
from kokoro_lab.store.rows import NotebookRun, RunRecord, cell_row, sample_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES
from kokoro_lab.store.store_reader import NO_ROW, StoreReader
from kokoro_lab.store.table import Filter, arrow_rows

__all__ = ["RunRecord", "Store"]

LOCK_TIMEOUT_S = 60.0
"""An append takes tens of milliseconds; the holder of a lock for a minute has probably hung."""


REMOVED = ("cells", "samples", "verdicts", "notebooks", "runs")
"""Tables from which a run is removed, in this order."""


class Store(StoreReader):
    """The newest tables under `root`, for reading and writing; StoreReader is for reading only.

    Args:
        root: folder of the tables, such as results/tables; created by the first append.
    """

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self._known: dict[tuple[str, str], tuple[int | None, set[tuple[Any, ...]]]] = {}
        self._heads: dict[str, tuple[int | None, ChainHead]] = {}
        self._lock = FileLock(self.root / ".writer.lock", timeout=LOCK_TIMEOUT_S)

    def append_block(self, record: RunRecord, block: Block) -> bool:
        """Store a finished block; False when it was already stored. Safe to repeat and to interrupt.

        Raises:
            StoreError: a row does not fit, the folder cannot be written, or another writer held the lock for a minute.
        """
        cells = _readable("cells", [cell_row(record, block)])
        samples = _readable("samples", sample_rows(record, block))
        named: dict[str, str | int] = {"run_id": record.run_id, "cell_id": block.cell.id, "block": block.block}
        key = tuple(named.values())
        note = {name: str(value) for name, value in named.items()}
        with self._writing():
            if key in self._keys("cells", record.run_id):
                return False
            if key in self._keys("samples", record.run_id):
                self._wrote("samples", key, self._tables["samples"].replace(samples, named, note=note))
            elif samples.num_rows:
                self._wrote("samples", key, self._tables["samples"].append(samples, note=note))
            cells, head = sealed(cells, samples, self._head(record.run_id))
            self._wrote("cells", key, self._tables["cells"].append(cells, note=note))
            self._heads[record.run_id] = (self._known["cells", record.run_id][0], head)
        return True

    def compact(self, run_id: str) -> None:
        """Merge the small files of a run, for faster reading; earlier versions stay readable."""
        with self._writing():
            for name in ("samples", "cells"):
                self._tables[name].compact(run_id)

    def append_machine(self, machine: Fingerprint, software: Fingerprint) -> bool:
        """Store the stable fingerprints of a machine and its software; False when the pair is known."""
        row = {
            "machine_id": machine.sha,
            "software_id": software.sha,
            "facts": machine.facts,
            "software": software.facts,
            "first_seen_at": datetime.datetime.now(datetime.UTC),
        }
        return self._append_new("machines", [row])

    def append_notebook(self, run: NotebookRun) -> int:
        """Store how an execution of a notebook ended; returns the number of its attempt, from 0."""
        where = [("run_id", "=", run.run_id), ("notebook", "=", run.notebook)]
        with self._writing():
            attempt = len(self._tables["notebooks"].keys(where))
            row = {**asdict(run), "attempt": attempt}
            self._tables["notebooks"].append(_readable("notebooks", [row]), note={"run_id": run.run_id})
        return attempt

    def append_attempts(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Store which attempts of their comparisons runs were; False when all are known. See `attempts`."""
        return bool(rows) and self._append_new("attempts", rows)

    def update_run(self, run_id: str, **changed: Any) -> None:
        """Change fields of a run's row in table `runs`, which is added where there is none: name, tags, note, endings.

        The endings are those of the notebooks that are given; others stay.
        """
        check_run_id(run_id)
        with self._writing():
            known = self.run_row(run_id)
            row = {**NO_ROW, **(known or {}), **changed, "run_id": run_id}
            row["endings"] = {**(known or NO_ROW)["endings"], **changed.get("endings", {})}
            row["changed_at"] = datetime.datetime.now(datetime.UTC)
            rows = _readable("runs", [row])
            if known is None:
                self._tables["runs"].append(rows, note={"run_id": run_id})
            else:
                self._tables["runs"].replace(rows, {"run_id": run_id}, note={"run_id": run_id})

    def store_verdicts(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Store verdicts of a run, one per pair of cells and metric; returns the number of new or changed rows.

        A stored verdict from the same blocks (`evidence` in its details) stays unchanged, unless its own values were
        changed; a verdict from other blocks is replaced, in the commit that adds the new rows.
        """
        table, schema = self._tables["verdicts"], TABLES["verdicts"]
        keys = list(schema.key)
        with self._writing():
            stored = {
                tuple(row[name] for name in keys): row for row in table.read([("run_id", "=", run_id)]).to_pylist()
            }
            fresh = {}
            for row in rows:
                known = stored.get(tuple(row[name] for name in keys))
                if known is None or not _says_the_same(known, row):
                    fresh[tuple(row[name] for name in keys)] = row
            if not fresh:
                return 0
            added = sealed_verdicts(_readable("verdicts", list(fresh.values())))
            if fresh.keys().isdisjoint(stored):
                table.append(added, note={"run_id": run_id})
            else:
                others = pa.Table.from_pylist([row for key, row in stored.items() if key not in fresh], added.schema)
                table.replace(pa.concat_tables([others, added]), {"run_id": run_id}, note={"run_id": run_id})
        return len(fresh)

    def merge(self, tables: Mapping[str, pa.Table], *, origin: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Add rows of another store, by their keys: table -> rows added. Safe to repeat and to interrupt.

        The order is that of `append_block`: machines, samples, then the cells that mark them as finished.

        Args:
            tables: by name, in the current schema. Samples whose block has no row in `cells` are left out.
            origin: where imported rows come from; every added block gets it, and verdicts and notebooks of runs
                without blocks are left out, because only blocks have an origin. Without an origin, rows that have no
                seal get one here.

        Raises:
            StoreError: the store has a block, sample, verdict or notebook of the same key with other values; or, with
                an origin, it has measured such a run itself, or has other facts of the same machine.
        """
        nothing = {name: schema.columns.empty_table() for name, schema in TABLES.items()}
        given = {**nothing, **tables}
        if origin is not None:
            given = _of_blocks(given)
            given["cells"] = _marked(given["cells"], origin)
        note = {} if origin is None else {"imported": str(origin.get("folder", ""))}
        with self._writing():
            if origin is None:
                given["cells"] = self._sealed_runs(given["cells"], given["samples"])
            known = set(self._tables["cells"].keys())
            self._refuse_differences(given)
            if origin is not None:
                self._refuse_mixing(given)
            added = {"machines": self._append_unknown("machines", given["machines"], note)}
            marked = set(_keys_of(given["cells"], "cells")) - known
            wanted = given["samples"].filter(
                pa.array([key in marked for key in _keys_of(given["samples"], "samples")], pa.bool_())
            )
            for key in self._tables["samples"].keys() & marked:  # left by a writer that was killed before the mark
                where = dict(zip(TABLES["samples"].key, key, strict=True))
                self._tables["samples"].replace(TABLES["samples"].columns.empty_table(), where)
            added["samples"] = self._append_unknown("samples", wanted, note)
            added |= {
                name: self._append_unknown(name, given[name], note)
                for name in ("cells", "verdicts", "notebooks", "attempts")
            }
            added["runs"] = self._merge_runs(given["runs"], {run_id for run_id, _, _ in known}, note)
        return added

    def _merge_runs(self, rows: pa.Table, here: set[str], note: Mapping[str, str]) -> int:
        """Add the rows of new runs; of runs that were here before, the names, tags and notes stay as they are here, and
        an imported run takes over how its notebooks ended."""
        new = pa.array([run_id not in here for run_id in rows["run_id"].to_pylist()], pa.bool_())
        for row in rows.filter(pc.invert(new)).to_pylist():
            endings = json.loads(row["endings"])
            known = (self.run_row(row["run_id"]) or NO_ROW)["endings"]
            if self.origin(row["run_id"]) is not None and known != {**known, **endings}:
                self.update_run(row["run_id"], endings=endings)
        return self._append_unknown("runs", rows.filter(new), note)

    def remove_run(self, run_id: str) -> dict[str, int]:
        """Remove a run from the tables: table -> rows removed. Earlier versions of the tables keep them.

        The cells go first, as their marks: a removal that is killed leaves samples that nothing reads.
        """
        check_run_id(run_id)
        with self._writing():
            self._known.clear()
            return {name: self._tables[name].remove(run_id) for name in REMOVED}

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of all writers; raises StoreError when another one holds it for a minute."""
        return self._writing()

    def _refuse_differences(self, given: Mapping[str, pa.Table]) -> None:
        """Raise StoreError for rows whose key the store has with other values."""
        here = {}
        for name, rows in given.items():
            runs = sorted(set(rows["run_id"].to_pylist())) if "run_id" in rows.column_names else []
            where: Filter = [("run_id", "in", runs)]
            here[name] = self._tables[name].read(where) if runs else rows.slice(0, 0)
        difference = first_difference(here, given)
        if difference is not None:
            run_id, place, column, stored, other = difference
            raise StoreError(
                f"the store has a different run {run_id!r}: {place} has {column} {stored} here and {other} there; "
                "import into another results folder"
            )

    def _refuse_mixing(self, given: Mapping[str, pa.Table]) -> None:
        """Raise StoreError for rows that would change what this store has measured itself."""
        cells = self._tables["cells"].read()
        own = {run_id for run_id, origin in zip(*_columns(cells, "run_id", "origin"), strict=True) if origin is None}
        for name in ("cells", "verdicts", "notebooks"):
            known = self._tables[name].keys()
            mixed = next((key for key in _keys_of(given[name], name) if key[0] in own and key not in known), None)
            if mixed is not None:
                raise StoreError(
                    f"run {mixed[0]!r} was measured here, and the archive has other {name} of it; "
                    "import into another results folder"
                )
        machines = self._tables["machines"].read()
        for column, identity in (("facts", "machine_id"), ("software", "software_id")):
            here = dict(zip(*_columns(machines, identity, column), strict=True))
            for sha, facts in zip(*_columns(given["machines"], identity, column), strict=True):
                if here.get(sha, facts) != facts:
                    raise StoreError(
                        f"the archive has other {column} of {identity} {sha}; import into another results folder"
                    )

    def _keys(self, name: str, run_id: str) -> set[tuple[Any, ...]]:
        """The keys of a run in a table: read once, and again when another writer has changed the table."""
        version = self._tables[name].version()
        known = self._known.get((name, run_id))
        if known is None or known[0] != version:
            known = (version, self._tables[name].keys([("run_id", "=", run_id)]))
            self._known[name, run_id] = known
        return known[1]

    def _sealed_runs(self, cells: pa.Table, samples: pa.Table) -> pa.Table:
        """The rows, with those of the current version that have no seal at the ends of their runs' chains."""
        new = pc.and_(pc.is_null(cells["digest"]), pc.equal(cells["schema_version"], SCHEMA_VERSION))
        parts = [cells.filter(pc.invert(new))]
        fresh = cells.filter(new)
        for run_id in dict.fromkeys(fresh["run_id"].to_pylist()):
            rows = fresh.filter(pc.equal(fresh["run_id"], run_id))
            parts.append(sealed(rows, samples, self._head(run_id))[0])
        return pa.concat_tables(parts)

    def _head(self, run_id: str) -> ChainHead:
        """The end of a run's chain: read once, and again when another writer has changed the table."""
        version = self._tables["cells"].version()
        known = self._heads.get(run_id)
        if known is not None and known[0] == version:
            return known[1]
        rows = self._tables["cells"].values(("link", "chain"), [("run_id", "=", run_id)])
        link, chain = max(((link, chain) for link, chain in rows if link is not None), default=(-1, START.chain))
        return ChainHead(link + 1, chain)

    def _wrote(self, name: str, key: tuple[Any, ...], version: int) -> None:
        """Remember the key that this store has just written as `version`; requires the lock."""
        _, keys = self._known[name, key[0]]
        self._known[name, key[0]] = (version, keys | {key})

    def _append_new(self, name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        return self._append_unknown(name, _readable(name, rows)) > 0

    def _append_unknown(self, name: str, candidates: pa.Table, note: Mapping[str, str] | None = None) -> int:
        """Add the rows with new keys, in one commit; returns their number."""
        with self._writing():
            known = self._tables[name].keys()
            fresh = candidates.filter(pa.array([key not in known for key in _keys_of(candidates, name)], pa.bool_()))
            if fresh.num_rows:
                self._tables[name].append(fresh, note=note)
        return int(fresh.num_rows)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield
        except Timeout as error:
            raise StoreError(
                f"another process has been writing to {self.root} for {LOCK_TIMEOUT_S:.0f} s; end it, then try again"
            ) from error
        except OSError as error:
            raise StoreError(
                f"results folder {self.root} cannot be written: {reason(error)}; "
                + remedy(error, "choose another with KOKORO_LAB_RESULTS")
            ) from error


def _readable(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of ours as Arrow; raises StoreError for a row that could not be read back."""
    built = arrow_rows(TABLES[name], rows)
    wrong = next(iter(flaws(built, TABLES[name]).values()), None)
    if wrong is not None:
        raise StoreError(f"a row for table {name} cannot be stored: {wrong.column} {wrong.problem}; give another value")
    return built


def _says_the_same(stored: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a stored verdict was drawn from the same blocks at the same attempt, and is as it was stored."""
    known = json.loads(stored["details"])
    same = all(known.get(name) == row["details"].get(name) for name in ("evidence", "attempt"))
    return same and known.get("seal") == row_seal(stored)


def _of_blocks(given: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables without verdicts and notebooks of runs that have no blocks."""
    runs = pa.array(sorted(set(given["cells"]["run_id"].to_pylist())), pa.string())
    of_runs = ("verdicts", "notebooks", "attempts", "runs")
    kept = {name: given[name].filter(pc.is_in(given[name]["run_id"], runs)) for name in of_runs}
    return {**given, **kept}


def _marked(cells: pa.Table, origin: Mapping[str, Any]) -> pa.Table:
    """The cells with their origin; that of an earlier import, of which they are a copy, is kept within it."""
    origins = {None: json.dumps(origin, sort_keys=True, ensure_ascii=False)}
    for earlier in set(cells["origin"].to_pylist()) - {None}:
        known = json.loads(earlier)
        known.pop("earlier", None)
        origins[earlier] = json.dumps({**origin, "earlier": known}, sort_keys=True, ensure_ascii=False)
    column = pa.array([origins[earlier] for earlier in cells["origin"].to_pylist()], pa.string())
    return cells.set_column(cells.column_names.index("origin"), TABLES["cells"].columns.field("origin"), column)


def _columns(rows: pa.Table, *names: str) -> list[list[Any]]:
    return [rows[name].to_pylist() for name in names]


def _keys_of(rows: pa.Table, name: str) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[column].to_pylist() for column in TABLES[name].key), strict=True))
