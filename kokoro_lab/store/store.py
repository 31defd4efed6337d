"""All result tables under one folder: exactly-once appends, and frames to read.

How an append stays exactly-once. A block touches three tables, and Delta commits one table at a time, so the order
is the protocol: the machine, then the samples, then the row in `cells`. That last row is the commit mark: a block
is done when it is there, and readers see the samples of done blocks only. A writer killed before the mark leaves at
most samples without a mark; the next append of that block replaces them in the same commit. All this happens under
one file lock, which the kernel releases when its holder dies, so that two writers, or a writer and a resumed run,
cannot both find a block missing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
from filelock import FileLock, Timeout

from kokoro_lab.errors import StoreError
from kokoro_lab.measure.cell import Block
from kokoro_lab.measure.fingerprint import Fingerprint
from kokoro_lab.store.rows import RunRecord, cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.summary import run_summaries
from kokoro_lab.store.table import Filter, Table, arrow_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunRecord", "Store"]

LOCK_TIMEOUT_S = 60.0
"""An append takes tens of milliseconds; a lock held for a minute is held by something that hangs."""


class Store:
    """The tables under `root`. Reading never creates anything.

    Args:
        root: folder of the tables, as results/tables.
        versions: read these table versions instead of the newest; such a store cannot be written to.
    """

    def __init__(self, root: str | Path, *, versions: Mapping[str, int | None] | None = None) -> None:
        self.root = Path(root)
        self._versions = None if versions is None else dict(versions)
        self._tables = {name: Table(self.root / name, schema) for name, schema in TABLES.items()}
        self._known: dict[tuple[str, str], tuple[int | None, set[tuple[Any, ...]]]] = {}
        self._lock = FileLock(self.root / ".writer.lock", timeout=LOCK_TIMEOUT_S)

    def at(self, versions: Mapping[str, int | None]) -> Self:
        """The same tables as they were at `versions`, as `versions()` once gave them."""
        for name in versions:
            self._table(name)
        return type(self)(self.root, versions=versions)

    def versions(self) -> dict[str, int | None]:
        """Newest version of each table, None for one without rows; samples last, so that no cell lacks its samples."""
        if self._versions is not None:
            return dict(self._versions)
        return {name: self._tables[name].version() for name in sorted(TABLES, key=lambda name: name == "samples")}

    def append_block(self, record: RunRecord, block: Block) -> bool:
        """Keep one finished block; False when it was already there. Safe to repeat, and to be killed in.

        Raises:
            StoreError: a row does not fit, the folder cannot be written, or another writer held the lock for a minute.
        """
        cells = arrow_rows(TABLES["cells"], [cell_row(record, block)])
        samples = arrow_rows(TABLES["samples"], sample_rows(record, block))
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
            self._wrote("cells", key, self._tables["cells"].append(cells, note=note))
        return True

    def compact(self, run_id: str) -> None:
        """Put the small files of a run together, so that it is quicker to read; earlier versions stay readable."""
        with self._writing():
            for name in ("samples", "cells"):
                self._tables[name].compact(run_id)

    def append_machine(self, machine: Fingerprint, software: Fingerprint) -> bool:
        """Keep the stable fingerprints of one machine and its software; False when the pair is known."""
        row = {
            "machine_id": machine.sha,
            "software_id": software.sha,
            "facts": machine.facts,
            "software": software.facts,
            "first_seen_at": datetime.datetime.now(datetime.UTC),
        }
        return self._append_new("machines", [row])

    def append_notebook(
        self,
        *,
        run_id: str,
        notebook: str,
        plan: str,
        status: str,
        error: str,
        executed: str,
        started_at: str,
        wall_s: float,
    ) -> int:
        """Keep how one execution of a notebook ended ("ok", "error" or "interrupted"); returns its attempt, from 0."""
        where = [("run_id", "=", run_id), ("notebook", "=", notebook)]
        with self._writing():
            attempt = int(self._tables["notebooks"].read(where).num_rows)
            row = {
                "run_id": run_id,
                "notebook": notebook,
                "attempt": attempt,
                "plan": plan,
                "status": status,
                "error": error,
                "executed": executed,
                "started_at": datetime.datetime.fromisoformat(started_at),
                "wall_s": wall_s,
            }
            self._tables["notebooks"].append(arrow_rows(TABLES["notebooks"], [row]), note={"run_id": run_id})
        return attempt

    def keep_verdicts(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Keep verdicts of one run, one a pair of cells and metric; returns how many rows are new or say something new.

        A verdict that is there and was made from the same blocks (`evidence` in its details) stays as it is; one that
        was made from others is replaced, in the same commit that adds what is new.
        """
        table, schema = self._tables["verdicts"], TABLES["verdicts"]
        keys = list(schema.key)
        with self._writing():
            kept = {tuple(row[name] for name in keys): row for row in table.read([("run_id", "=", run_id)]).to_pylist()}
            fresh = {}
            for row in rows:
                known = kept.get(tuple(row[name] for name in keys))
                if known is None or json.loads(known["details"]).get("evidence") != row["details"].get("evidence"):
                    fresh[tuple(row[name] for name in keys)] = row
            if not fresh:
                return 0
            added = arrow_rows(schema, list(fresh.values()))
            if fresh.keys().isdisjoint(kept):
                table.append(added, note={"run_id": run_id})
            else:
                others = pa.Table.from_pylist([row for key, row in kept.items() if key not in fresh], added.schema)
                table.replace(pa.concat_tables([others, added]), {"run_id": run_id}, note={"run_id": run_id})
        return len(fresh)

    def merge(self, tables: Mapping[str, pa.Table]) -> dict[str, int]:
        """Add rows of another store, by their keys: table -> rows added. Safe to repeat, and to be killed in.

        The order is that of `append_block`: machines, samples, then the cells that mark them as done.

        Args:
            tables: by name, in the current schema. Samples whose block has no row in `cells` are left out.

        Raises:
            StoreError: a block of the same run, cell and number is here, and was measured at another time.
        """
        nothing = {name: schema.columns.empty_table() for name, schema in TABLES.items()}
        given = {**nothing, **tables}
        with self._writing():
            started = dict(_started(self._tables["cells"].read()))
            clash = next((key for key, at in _started(given["cells"]) if started.get(key, at) != at), None)
            if clash is not None:
                raise StoreError(f"Run {clash[0]!r} is another one here: block {clash[2]} of cell {clash[1]} differs.")
            added = {"machines": self._append_unknown("machines", given["machines"])}
            marked = {key for key, _ in _started(given["cells"])} - started.keys()
            wanted = given["samples"].filter(
                pa.array([key in marked for key in _keys_of(given["samples"], "samples")], pa.bool_())
            )
            for key in self._tables["samples"].keys() & marked:  # left by a writer that was killed before its mark
                where = dict(zip(TABLES["samples"].key, key, strict=True))
                self._tables["samples"].replace(TABLES["samples"].columns.empty_table(), where)
            added["samples"] = self._append_unknown("samples", wanted)
            added |= {name: self._append_unknown(name, given[name]) for name in ("cells", "verdicts", "notebooks")}
        return added

    def done(self, run_id: str) -> set[tuple[str, int]]:
        """(cell id, block) of every block that is kept, whatever its status."""
        return {key for key, _ in self._marks(run_id)}

    def contaminated(self, run_id: str) -> set[tuple[str, int]]:
        """(cell id, block) of the kept blocks that something else on the machine disturbed."""
        return {key for key, disturbed in self._marks(run_id) if disturbed}

    def _marks(self, run_id: str) -> Iterator[tuple[tuple[str, int], bool]]:
        rows = self._tables["cells"].read([("run_id", "=", run_id)], version=self._pinned("cells", None))
        keys = zip(rows["cell_id"].to_pylist(), rows["block"].to_pylist(), strict=True)
        return zip(keys, rows["contaminated"].to_pylist(), strict=True)

    def rows(self, table: str, *, run_id: str | None = None, version: int | None = None) -> pa.Table:
        """Rows of one table as Arrow, JSON columns as text; `samples` gives those of done blocks only."""
        schema = self._table(table).schema
        where: Filter = () if run_id is None or "run_id" not in schema.columns.names else [("run_id", "=", run_id)]
        # The marks are read before the samples: samples are committed first, so every mark read finds its samples.
        marks = self._read("cells", where, None) if table == "samples" else None
        rows = self._read(table, where, version)
        if marks is None or not rows.num_rows:
            return rows
        keys = list(schema.key)
        kept = rows.append_column("_row", pa.array(range(rows.num_rows))).join(
            marks.select(keys), keys=keys, join_type="left semi"
        )
        return rows.take(kept["_row"].combine_chunks().sort())

    def frame(self, table: str, *, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """Rows of one table as a pandas frame, JSON columns decoded."""
        return self.decoded(table, self.rows(table, run_id=run_id, version=version))

    @staticmethod
    def decoded(table: str, rows: pa.Table) -> pd.DataFrame:
        """Arrow rows of a table, from wherever they are, as a pandas frame with JSON columns decoded."""
        frame: pd.DataFrame = rows.to_pandas()
        for name in TABLES[table].json:
            frame[name] = [None if not isinstance(value, str) else json.loads(value) for value in frame[name]]
        return frame

    def samples(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row a completed repeat."""
        return self.frame("samples", run_id=run_id, version=version)

    def cells(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row a block."""
        return self.frame("cells", run_id=run_id, version=version)

    def machines(self, version: int | None = None) -> pd.DataFrame:
        """One row a machine and its software; `facts` and `software` are their stable fingerprints."""
        return self.frame("machines", version=version)

    def verdicts(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row a comparison."""
        return self.frame("verdicts", run_id=run_id, version=version)

    def notebooks(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row an execution of a notebook."""
        return self.frame("notebooks", run_id=run_id, version=version)

    def runs(self) -> list[dict[str, Any]]:
        """Every run, oldest first: start, blocks by status, samples, models, weights and architectures."""
        return run_summaries(self.cells())

    def latest_run(self) -> str | None:
        """The run whose first block started last; None when nothing was measured."""
        runs = self.runs()
        return max(runs, key=lambda run: run["started_at"])["run_id"] if runs else None

    def history(self, table: str) -> list[dict[str, Any]]:
        """Commits of one table, newest first."""
        return self._table(table).history()

    def _keys(self, name: str, run_id: str) -> set[tuple[Any, ...]]:
        """Keys that a table has of a run: read once, and again when another writer has changed the table."""
        version = self._tables[name].version()
        known = self._known.get((name, run_id))
        if known is None or known[0] != version:
            known = (version, self._tables[name].keys([("run_id", "=", run_id)]))
            self._known[name, run_id] = known
        return known[1]

    def _wrote(self, name: str, key: tuple[Any, ...], version: int) -> None:
        """Note the key that this store has just written as `version`; the lock is held."""
        _, keys = self._known[name, key[0]]
        self._known[name, key[0]] = (version, keys | {key})

    def _append_new(self, name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        return self._append_unknown(name, arrow_rows(TABLES[name], rows)) > 0

    def _append_unknown(self, name: str, candidates: pa.Table) -> int:
        """Add the rows whose keys are not there, in one commit; returns how many they were."""
        with self._writing():
            known = self._tables[name].keys()
            fresh = candidates.filter(pa.array([key not in known for key in _keys_of(candidates, name)], pa.bool_()))
            if fresh.num_rows:
                self._tables[name].append(fresh)
        return int(fresh.num_rows)

    def _read(self, name: str, where: Filter, version: int | None) -> pa.Table:
        version = self._pinned(name, version)
        if version is None and self._versions is not None:
            return TABLES[name].columns.empty_table()
        return self._tables[name].read(where, version=version)

    def _pinned(self, name: str, version: int | None) -> int | None:
        return version if version is not None or self._versions is None else self._versions.get(name)

    def _table(self, name: str) -> Table:
        try:
            return self._tables[name]
        except KeyError:
            raise StoreError(f"There is no table {name!r}: the tables are {', '.join(TABLES)}.") from None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        if self._versions is not None:
            raise StoreError("Earlier table versions can be read only: open the store without versions to write.")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._lock:
                yield
        except Timeout as error:
            raise StoreError(
                f"Another process has been writing to {self.root} for {LOCK_TIMEOUT_S:.0f} s: end it, then try again."
            ) from error
        except OSError as error:
            raise StoreError(f"The results folder {self.root} cannot be written: {error.strerror or error}.") from error


def _keys_of(rows: pa.Table, name: str) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[column].to_pylist() for column in TABLES[name].key), strict=True))


def _started(cells: pa.Table) -> Iterator[tuple[tuple[Any, ...], datetime.datetime]]:
    """The key of every block, and when it was measured."""
    return zip(_keys_of(cells, "cells"), cells["started_at"].to_pylist(), strict=True)
