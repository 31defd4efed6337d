"""Every cell of every run as a ratio to the reference cell of its run, and where such a ratio changed.

A change is judged as `kokoro-lab compare` judges two commits: runs of one commit, machine and software make a state,
and how much such ratios differ from run to run enters every interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kokoro_lab.errors import InconclusiveError, NothingMeasuredError
from kokoro_lab.reports.evidence import cell_label
from kokoro_lab.reports.intervals import by_block, ratio
from kokoro_lab.reports.workbook import joined
from kokoro_lab.store.across import compare_across
from kokoro_lab.store.places import Results
from kokoro_lab.store.sides import StoredRun
from kokoro_lab.store.sides import history as stored_runs
from kokoro_lab.store.store import Store
from kokoro_lab.sweeps.job import Job

__all__ = ["FIGURES", "Change", "History"]

MOST_STATES = 12
"""The newest states of code and machine that are compared with what came before them."""

FIGURES = {"rtf": "work", "ttfa_ms": "first audio", "total_ms": "time of a call"}


@dataclass(frozen=True)
class Change:
    """One cell in two neighbouring states of code and software on one machine."""

    figure: str
    name: str
    """Cell / reference."""
    before: str
    after: str
    ratio: float
    """Later ratio to the reference over the earlier one."""
    low: float | None
    high: float | None
    verdict: str
    """faster, slower, equivalent, inconclusive or invalid."""

    @property
    def step(self) -> bool:
        """Whether it is told apart from no change."""
        return self.verdict in ("faster", "slower")


@dataclass(frozen=True)
class History:
    """Every run of the store, oldest first; figures are kept apart by machine and by model."""

    runs: pd.DataFrame
    """One row a run: number (from 1), run_id, when, commit, machine, onnxruntime."""
    ratios: pd.DataFrame
    """One row a cell of a run and figure: number, run_id, name ("cell / reference"), metric, and its `Interval`."""
    references: pd.DataFrame
    """One row a reference cell of a run and figure: number, run_id, name, metric, value."""
    changes: tuple[Change, ...]
    """What was compared between neighbouring states, in the order of time."""

    @classmethod
    def load(cls, job: Job) -> History:
        """Read the whole store that the job writes to.

        Raises:
            NothingMeasuredError: no run has a warm reference cell.
        """
        store = Store(Results(job.results).tables)
        samples, cells = store.samples(), store.cells()
        runs = _runs(cells)
        used = samples[(samples["status"] == "ok") & (samples["state"] == "warm") & (samples["arrivals"] == "")]
        used = used.assign(name=_names(used))
        number_of = dict(zip(runs["run_id"], runs["number"], strict=True))
        ratios: list[dict[str, Any]] = []
        references: list[dict[str, Any]] = []
        for metric in FIGURES:
            _ratios(used.assign(value=used[metric]), metric, number_of, ratios, references)
        if not references:
            raise NothingMeasuredError("No run of this store has a warm reference cell: run a sweep first.")
        columns = ["run_id", "number", "metric", "name"]
        return cls(
            runs,
            pd.DataFrame(ratios, columns=[*columns, "ratio"]).sort_values("number", kind="stable"),
            pd.DataFrame(references, columns=[*columns, "value"]).sort_values("number", kind="stable"),
            tuple(_changes(_parts(stored_runs(store), cells))),
        )

    def steps(self) -> list[Change]:
        """Where a ratio changed by more than the margin, with runs enough to tell."""
        return [change for change in self.changes if change.step]


def _ratios(
    used: pd.DataFrame,
    metric: str,
    number_of: Mapping[str, int],
    ratios: list[dict[str, Any]],
    references: list[dict[str, Any]],
) -> None:
    """Add one figure's rows: every warm cell of a run over the reference beside which it was measured."""
    # Notebooks of one run are measured one after the other, and each has a reference of its own.
    for (run_id, *_), rows in used.groupby(["run_id", "notebook", "text_preset", "model", "lang"], sort=False):
        base_rows = rows[rows["reference"].astype(bool) & (rows["replica"] == 0)]
        if base_rows.empty:
            continue
        base = by_block(base_rows)
        place = {"run_id": run_id, "number": number_of[str(run_id)], "metric": metric}
        over = str(base_rows["name"].iloc[0])
        references.append({**place, "name": over, "value": float(base_rows["value"].median())})
        for name, others in rows[~rows["reference"].astype(bool)].groupby("name", sort=False):
            ratios.append({**place, "name": f"{name} / {over}", "ratio": ratio(by_block(others), base)})


def _parts(runs: Sequence[StoredRun], cells: pd.DataFrame) -> list[StoredRun]:
    """The notebooks of each run as runs of their own: only within one do cells share a reference."""
    keys = zip(cells["run_id"], cells["cell_id"], cells["block"].astype(int), strict=True)
    notebook = dict(zip(keys, cells["notebook"], strict=True))
    parts = []
    for run in runs:
        names = [notebook[run.run_id, *block.key] for block in run.blocks]
        for name in dict.fromkeys(names):
            blocks = tuple(block for block, own in zip(run.blocks, names, strict=True) if own == name)
            parts.append(replace(run, run_id=f"{run.run_id}/{name}", blocks=blocks))
    return parts


def _changes(parts: Sequence[StoredRun]) -> Iterator[Change]:
    """Each state of commit and software against the nearest earlier one on its machine, cell by cell and figure."""
    by_machine: dict[str, dict[tuple[str, bool, str], list[StoredRun]]] = {}
    for part in parts:
        states = by_machine.setdefault(part.machine_id, {})
        states.setdefault((part.commit, part.dirty, part.software_id), []).append(part)
    for states in by_machine.values():
        known = list(states.items())
        for at in range(max(1, len(known) - MOST_STATES), len(known)):
            for figure in FIGURES:
                yield from _against_earlier(known, at, figure, parts)


def _against_earlier(
    known: Sequence[tuple[tuple[str, bool, str], list[StoredRun]]],
    at: int,
    figure: str,
    parts: Sequence[StoredRun],
) -> Iterator[Change]:
    seen: set[str] = set()
    for state, earlier in reversed(known[:at]):
        names = _states_named(state, known[at][0])
        try:
            compared = compare_across(earlier, known[at][1], parts, names=names, figure=figure)
        except InconclusiveError:
            continue
        for line in compared.lines:
            name = f"{joined(line.texts)}: {line.candidate}"
            found = line.comparison
            if name not in seen and found.ratio is not None:
                seen.add(name)
                yield Change(figure, name, *names, found.ratio, found.low, found.high, found.verdict)


def _states_named(before: tuple[str, bool, str], after: tuple[str, bool, str]) -> tuple[str, str]:
    """Two states by what tells them apart: the commit, and the software where that differs too or alone."""
    names = [_commit(commit, dirty) for commit, dirty, _ in (before, after)]
    if before[2] != after[2]:
        names = [f"{name} with software {state[2][:6]}" for name, state in zip(names, (before, after), strict=True)]
    return names[0], names[1]


def _runs(cells: pd.DataFrame) -> pd.DataFrame:
    firsts = cells.sort_values("started_at", kind="stable").drop_duplicates("run_id")
    rows: list[Any] = firsts.to_dict("records")
    return pd.DataFrame(
        [
            {
                "number": at,
                "run_id": row["run_id"],
                "when": f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
                "commit": _commit(row["git_commit"], row["git_dirty"]),
                "machine": str(row["machine_id"])[:6],
                "onnxruntime": row["versions"].get("onnxruntime", "unknown"),
            }
            for at, row in enumerate(rows, start=1)
        ]
    )


def _commit(commit: Any, dirty: Any) -> str:
    return f"{commit[:7]}{'+' if dirty is True else ''}" if isinstance(commit, str) and commit else "unknown"


def _names(rows: pd.DataFrame) -> list[str]:
    """What is the same cell over runs: text, label and model, and the machine where there are several."""
    records: list[Mapping[str, Any]] = rows.to_dict("records")  # type: ignore[assignment]
    several = rows["machine_id"].nunique() > 1
    return [
        f"{row['text_preset']}, {cell_label(row)}, {row['model']}"
        + (f", machine {str(row['machine_id'])[:6]}" if several else "")
        for row in records
    ]
