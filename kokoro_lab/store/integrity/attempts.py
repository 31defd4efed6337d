"""Which attempt of a comparison a run is: runs that compared the same two cells before it, removed ones included.

An attempt is a run on the same machine, at the same git commit, with the same model bytes, that has measured both
cells. Each run is written into table `attempts` once for every pair, with its number, when it is judged or removed;
removing the run leaves these rows. Runs that were never judged are found by their blocks. A run that is continued stays
the same attempt; one that was removed and measured again under the same name is another, because it started later.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.statistics.verdicts import counterparts
from kokoro_lab.store.store import Store
from kokoro_lab.store.store_reader import StoreReader

__all__ = ["Pair", "attempts_in", "keep_attempts", "number_attempts", "stored_attempts"]

Pair = tuple[str, str]
"""The ids of a base and of a candidate cell."""

COLUMNS = ("run_id", "cell_id", "started_at", "machine_id", "git_commit", "model_sha256", "identity", "samples")


@dataclass
class _Measured:
    """What a run has measured of one cell."""

    started_at: datetime.datetime
    machine_id: str
    git_commit: str
    models: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Comparison:
    """Two cells compared in one run: when the first of their blocks started, and what must be equal to count."""

    started_at: datetime.datetime
    machine_id: str
    git_commit: str
    models: str


def number_attempts(store: Store, run_id: str, pairs: Collection[Pair]) -> dict[Pair, int]:
    """The number of the attempt that this run is for each pair of cells, from 1; new ones are written down."""
    wanted = sorted({cell for pair in pairs for cell in pair})
    if not wanted:
        return {}
    with store.locked():
        runs = _measured(store.columns("cells", COLUMNS, [("cell_id", "in", wanted)]))
        ledger = store.rows("attempts").to_pylist()
        numbers, fresh = {}, []
        for pair in pairs:
            own = _compared(runs.get(run_id, {}), pair)
            if own is None:
                continue
            entries = [row for row in ledger if (row["base_cell"], row["candidate_cell"]) == pair]
            known = [
                row["attempt"] for row in entries if (row["run_id"], row["started_at"]) == (run_id, own.started_at)
            ]
            numbers[pair] = known[0] if known else 1 + len(_others(runs, entries, run_id, own, pair))
            if not known:
                fresh.append(_row(run_id, pair, own, numbers[pair]))
        store.append_attempts(fresh)
    return numbers


def keep_attempts(store: Store, run_id: str) -> None:
    """Write down what a run has compared, before it is removed."""
    cells = {cell.id: cell for cell in map(Cell.from_dict, store.cells(run_id)["configuration"])}
    pairs = [(base.id, cell.id) for cell, base in counterparts(cells.values()).items()]
    number_attempts(store, run_id, pairs)


def stored_attempts(store: StoreReader, run_id: str) -> dict[Pair, int]:
    """The attempt that was written down for each pair of a run; the last, where it was measured twice."""
    return attempts_in(store.rows("attempts", run_id=run_id).to_pylist())


def attempts_in(rows: Iterable[Mapping[str, Any]]) -> dict[Pair, int]:
    """The attempt of each pair by these rows of table `attempts`, of one run; the last, where there are several."""
    numbers: dict[Pair, int] = {}
    for row in rows:
        pair = (row["base_cell"], row["candidate_cell"])
        numbers[pair] = max(numbers.get(pair, 1), row["attempt"])
    return numbers


def _others(
    runs: Mapping[str, Mapping[str, _Measured]],
    entries: Iterable[Mapping[str, Any]],
    run_id: str,
    own: _Comparison,
    pair: Pair,
) -> set[tuple[str, datetime.datetime]]:
    """The other runs that made this comparison, by their names and starts."""
    others = {
        (row["run_id"], row["started_at"])
        for row in entries
        if (row["machine_id"], row["git_commit"] or "", row["measured_models"])
        == (own.machine_id, own.git_commit, own.models)
    }
    for other, cells in runs.items():
        made = _compared(cells, pair)
        alike = made is not None and (made.machine_id, made.git_commit, made.models) == (
            own.machine_id,
            own.git_commit,
            own.models,
        )
        if made is not None and alike:
            others.add((other, made.started_at))
    return others - {(run_id, own.started_at)}


def _measured(rows: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, _Measured]]:
    """Run -> cell -> its measured blocks, of those with samples."""
    runs: dict[str, dict[str, _Measured]] = {}
    for run_id, cell_id, started_at, machine_id, commit, sha256, identity, samples in sorted(rows, key=_by_start):
        if not samples:
            continue
        new = _Measured(started_at, machine_id, commit or "")
        cell = runs.setdefault(run_id, {}).setdefault(cell_id, new)
        cell.models.add((json.loads(identity)["model"] if identity else "") or sha256)
    return runs


def _by_start(row: tuple[Any, ...]) -> datetime.datetime:
    started: datetime.datetime = row[2]
    return started


def _compared(cells: Mapping[str, _Measured], pair: Pair) -> _Comparison | None:
    """The comparison of two cells in one run; None where one of them was not measured."""
    sides = [cells[cell] for cell in pair if cell in cells]
    if len(sides) < 2:
        return None
    first = min(sides, key=lambda side: side.started_at)
    models = ",".join(sorted({model for side in sides for model in side.models}))
    return _Comparison(first.started_at, first.machine_id, first.git_commit, models)


def _row(run_id: str, pair: Pair, made: _Comparison, attempt: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "started_at": made.started_at,
        "base_cell": pair[0],
        "candidate_cell": pair[1],
        "machine_id": made.machine_id,
        "git_commit": made.git_commit or None,
        "measured_models": made.models,
        "attempt": attempt,
    }
