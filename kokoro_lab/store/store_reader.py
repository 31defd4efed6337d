"""Reading the result tables: rows and frames of the newest or of earlier versions, runs and commits."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kokoro_lab.errors import StoreError
from kokoro_lab.store.integrity.seals import Key, RunSeal, altered_blocks, run_seals
from kokoro_lab.store.layout import Results, check_run_id
from kokoro_lab.store.run_facts.completeness import complete, tell_incomplete
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import Filter, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StoreReader", "nothing_measured", "run_summaries"]

LOGGER = logging.getLogger(__name__)

SEALED_TABLES = ("samples", "cells")

_ALTERED: dict[tuple[str | None, ...], Mapping[Key, str]] = {}
"""Run (None: all of them) and stamps of the sealed tables -> the blocks that are not what was stored: each state of the
files is verified once per process."""
MOST_STATES = 100

NO_ROW: Mapping[str, Any] = {"name": "", "tags": [], "note": "", "endings": {}}
"""What table `runs` says of a run from before it."""

BENCHMARK_PLANS = frozenset({"bench", "self-test", "variants"})
"""Plans of benchmarks, the self-test and tuning: stored like sweeps, and never the default of a report or a gate."""


class StoreReader:
    """The tables under `root`, read only. Reading never creates anything.

    Blocks whose seal does not hold are left out like unreadable rows, with a notice: no verdict or report uses them.

    Args:
        root: folder of the tables, such as results/tables.
        versions: read these table versions instead of the newest.
    """

    def __init__(self, root: str | Path, *, versions: Mapping[str, int | None] | None = None) -> None:
        self.root = Path(root)
        self._versions = None if versions is None else dict(versions)
        self._tables = {name: Table(self.root / name, schema) for name, schema in TABLES.items()}

    def at(self, versions: Mapping[str, int | None]) -> StoreReader:
        """The same tables as of `versions`, in the form returned by `versions()`."""
        for name in versions:
            self._table(name)
        return StoreReader(self.root, versions=versions)

    def versions(self) -> dict[str, int | None]:
        """Newest version of each table, None for a table without rows; samples last, so that no cell lacks its
        samples."""
        if self._versions is not None:
            return dict(self._versions)
        return {name: self._tables[name].version() for name in sorted(TABLES, key=lambda name: name == "samples")}

    def done(self, run_id: str) -> set[tuple[str, int]]:
        """(cell id, block) of every stored block, whatever its status."""
        return {key for key, _, _ in self._marks(run_id)}

    def contaminated(self, run_id: str) -> set[tuple[str, int]]:
        """(cell id, block) of the stored blocks that other processes on the machine disturbed."""
        return {key for key, disturbed, _ in self._marks(run_id) if disturbed}

    def failed(self, run_id: str) -> set[tuple[str, int]]:
        """(cell id, block) of the stored blocks that ended with an error."""
        return {key for key, _, status in self._marks(run_id) if status == "error"}

    def _marks(self, run_id: str) -> Iterator[tuple[tuple[str, int], bool, str]]:
        """Every block with a row, readable or not: none of them can be stored again."""
        where, columns = [("run_id", "=", check_run_id(run_id))], ("cell_id", "block", "contaminated", "status")
        for cell_id, number, disturbed, status in self._values("cells", columns, where):
            yield (cell_id, number), bool(disturbed), str(status)

    def _values(self, name: str, columns: Sequence[str], where: Filter) -> list[tuple[Any, ...]]:
        version = self._pinned(name, None)
        if version is None and self._versions is not None:
            return []
        return self._tables[name].values(columns, where, version=version)

    def rows(self, table: str, *, run_id: str | None = None, version: int | None = None) -> pa.Table:
        """Rows of one table as Arrow, JSON columns as text; of `samples` only those of finished blocks."""
        schema = self._table(table).schema
        if run_id is not None:
            check_run_id(run_id)
        where: Filter = () if run_id is None or "run_id" not in schema.columns.names else [("run_id", "=", run_id)]
        # The marks are read before the samples: samples are committed first, so every mark read finds its samples.
        marks = self._read("cells", where, None) if table == "samples" else None
        rows = self._read(table, where, version)
        if table in SEALED_TABLES and version is None:
            rows = self._unaltered(rows, run_id)
        if marks is None or not rows.num_rows:
            return rows
        keys = list(schema.key)
        finished = rows.append_column("_row", pa.array(range(rows.num_rows))).join(
            marks.select(keys), keys=keys, join_type="left semi"
        )
        return rows.take(finished["_row"].combine_chunks().sort())

    def frame(self, table: str, *, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """Rows of one table as a pandas frame, JSON columns decoded."""
        return self.decoded(table, self.rows(table, run_id=run_id, version=version))

    @staticmethod
    def decoded(table: str, rows: pa.Table) -> pd.DataFrame:
        """Arrow rows of a table, from any source, as a pandas frame with JSON columns decoded."""
        frame: pd.DataFrame = rows.to_pandas()
        for name in TABLES[table].json:
            frame[name] = [None if not isinstance(value, str) else json.loads(value) for value in frame[name]]
        return frame

    def samples(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row per completed repeat."""
        return self.frame("samples", run_id=run_id, version=version)

    def cells(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row per block."""
        return self.frame("cells", run_id=run_id, version=version)

    def machines(self, version: int | None = None) -> pd.DataFrame:
        """One row per machine and its software; `facts` and `software` are their stable fingerprints."""
        return self.frame("machines", version=version)

    def verdicts(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row per comparison."""
        return self.frame("verdicts", run_id=run_id, version=version)

    def notebooks(self, run_id: str | None = None, version: int | None = None) -> pd.DataFrame:
        """One row an execution of a notebook."""
        return self.frame("notebooks", run_id=run_id, version=version)

    def runs(self) -> list[dict[str, Any]]:
        """Every run, oldest first: start, origin, blocks by status, samples, models, weights and architectures; its
        name, tags and note, and whether it is complete."""
        summaries = run_summaries(self.decoded("cells", self._read("cells", (), None)))
        known: dict[str, Mapping[str, Any]] = {row["run_id"]: row for row in self._decoded_rows("runs")}
        executions: dict[str, list[dict[str, Any]]] = {}
        for row in self._decoded_rows("notebooks"):
            executions.setdefault(row["run_id"], []).append(row)
        for run in summaries:
            stored = known.get(run["run_id"], NO_ROW)
            run |= {name: stored[name] for name in ("name", "tags", "note")}
            plan = None if run["imported"] else self._plan(run["run_id"])
            run["complete"] = complete(stored["endings"], executions.get(run["run_id"], ()), plan)
        return summaries

    def latest_run(self) -> str | None:
        """The newest of the complete sweeps, else of the benchmarks; None when nothing was measured here.

        A run that was imported is none of them: it must be named. Where no run is complete, it is the newest.
        """
        runs = [run for run in self.runs() if run["imported"] is None]
        sweeps = [run for run in runs if run["plan"] not in BENCHMARK_PLANS]
        return self.newest(sweeps or runs)

    def newest(self, runs: Sequence[Mapping[str, Any]]) -> str | None:
        """The run, of some in the form of `runs()`, whose first block started last, if possible a complete one.

        A newer incomplete run is named in a notice, with the command that continues it.
        """
        if not runs:
            return None
        newest = max(runs, key=_start)["run_id"]
        chosen: str = max([run for run in runs if run["complete"]] or runs, key=_start)["run_id"]
        if not all(run["complete"] for run in runs if run["run_id"] == newest):
            tell_incomplete(newest, self._plan(newest), chosen)
        return chosen

    def run_row(self, run_id: str) -> dict[str, Any] | None:
        """A run's row in table `runs`, its JSON decoded; None where it has none yet."""
        rows = self._decoded_rows("runs", [("run_id", "=", check_run_id(run_id))])
        return rows[0] if rows else None

    def stored_rows(self, table: str, where: Filter = ()) -> int:
        """Number of the rows that are stored, readable or not."""
        return len(self._values(table, self._table(table).schema.key[:1], where))

    def columns(self, table: str, columns: Sequence[str], where: Filter = ()) -> list[tuple[Any, ...]]:
        """Some columns of the rows that are stored, readable or not; None where no row has a column yet."""
        self._table(table)
        return self._values(table, columns, where)

    def origin(self, run_id: str) -> dict[str, Any] | None:
        """Where an imported run comes from; None for one that was measured here, or is not stored."""
        cells = self.decoded("cells", self._read("cells", [("run_id", "=", check_run_id(run_id))], None))
        return None if cells.empty else _origin(cells)

    def altered(self, run_id: str | None = None) -> Mapping[Key, str]:
        """The blocks of one run, or of all runs, that are not what was stored, each with what is wrong with it."""
        state = (run_id, *(self._tables[name].stamp(self._pinned(name, None)) for name in SEALED_TABLES))
        if state not in _ALTERED:
            if len(_ALTERED) >= MOST_STATES:
                _ALTERED.clear()
            where: Filter = () if run_id is None else [("run_id", "=", check_run_id(run_id))]
            _ALTERED[state] = altered_blocks(self._read("cells", where, None), self._read("samples", where, None))
        return _ALTERED[state]

    def seals(self, run_id: str | None = None) -> dict[str, RunSeal]:
        """The seal of one run, or of every run, as it is stored."""
        where: Filter = () if run_id is None else [("run_id", "=", check_run_id(run_id))]
        return run_seals(self._read("cells", where, None))

    def history(self, table: str) -> list[dict[str, Any]]:
        """Commits of one table, newest first."""
        return self._table(table).history()

    def _decoded_rows(self, table: str, where: Filter = ()) -> list[dict[str, Any]]:
        rows = self._read(table, where, None).to_pylist()
        return [{**row, **{name: json.loads(row[name]) for name in TABLES[table].json}} for row in rows]

    def _plan(self, run_id: str) -> Path:
        return Results(self.root.parent).plan(run_id)

    def _unaltered(self, rows: pa.Table, run_id: str | None) -> pa.Table:
        """The rows without those of altered blocks, with one notice per process."""
        wrong = self.altered(run_id)
        if not wrong:
            return rows
        _tell(self.root, wrong)
        keys = zip(*(rows[name].to_pylist() for name in TABLES["cells"].key), strict=True)
        return rows.filter(pa.array([key not in wrong for key in keys], pa.bool_()))

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
            raise StoreError(f"no table {name!r}; choose one of {', '.join(TABLES)}") from None


_TOLD: set[tuple[str, tuple[Key, ...]]] = set()
"""Folder and altered blocks of which this process has been told."""


def _tell(root: Path, wrong: Mapping[Key, str]) -> None:
    told = (str(root), tuple(sorted(wrong)))
    if told in _TOLD:
        return
    _TOLD.add(told)
    (run_id, cell_id, block), problem = min(wrong.items())
    blocks = "1 block is" if len(wrong) == 1 else f"{len(wrong)} blocks are"
    LOGGER.warning(
        f"{blocks} not what was stored and left out here (block {block} of cell {cell_id} in run {run_id}: {problem}); "
        "see `kokoro-lab results check`"
    )


def run_summaries(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Every run in rows of table `cells`, in their order: start, blocks by status, samples, models and weights, and
    whether every block with figures records which bytes it measured."""
    summaries = []
    for run_id, rows in cells.groupby("run_id", sort=False):
        statuses = rows["status"].value_counts()
        summaries.append(
            {
                "run_id": str(run_id),
                "started_at": rows["started_at"].min().isoformat(),
                "plan": str(rows["plan"].iloc[0]),
                "imported": _origin(rows),
                "notebooks": sorted(set(rows["notebook"])),
                "cells": int(rows["cell_id"].nunique()),
                "blocks": len(rows),
                **{status: int(statuses.get(status, 0)) for status in ("ok", "partial", "unavailable", "error")},
                "samples": int(rows["samples"].sum()),
                "models": sorted(set(rows["model"])),
                "weights": sorted(set(rows["weights"]) - {""}),
                "architectures": sorted(set(rows["architecture"]) - {""}),
                "verified": bool(rows.loc[rows["samples"] > 0, "identity"].notna().all()),
            }
        )
    return summaries


def _start(run: Mapping[str, Any]) -> str:
    return str(run["started_at"])


def nothing_measured(store: StoreReader) -> str:
    """Why there is no newest run, and what to do, as the message of an error."""
    imported = [run["run_id"] for run in store.runs()]
    if imported:
        return f"the runs under {store.root} were imported, and none is the default; name one, such as {imported[-1]}"
    return f"there are no stored runs under {store.root}; start one with `kokoro-lab sweep quick`"


def _origin(cells: pd.DataFrame) -> dict[str, Any] | None:
    """Where the rows of a run come from; None for a run that was measured here."""
    origins = [origin for origin in cells["origin"] if isinstance(origin, dict)]
    return origins[0] if origins else None
