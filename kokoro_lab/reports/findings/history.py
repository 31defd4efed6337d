"""Every cell of every run as a ratio to the reference cell of its run, and where these ratios changed.

Runs of the same commit, machine and software form a state; a change lies between two states (see `change_history`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.findings.change_history import FIGURES, ChangeHistory, change_history
from kokoro_lab.reports.rows.evidence import cell_label, other_bytes
from kokoro_lab.reports.rows.frame_statistics import rows_ratio
from kokoro_lab.store.blocks import records
from kokoro_lab.store.layout import Results
from kokoro_lab.store.sides import StoredRun
from kokoro_lab.store.sides import history as stored_runs
from kokoro_lab.store.store import Store
from kokoro_lab.sweeps.job import Job

__all__ = ["History", "by_notebook"]


@dataclass(frozen=True)
class History:
    """Every run of the store, oldest first; machines and models are never mixed."""

    runs: pd.DataFrame
    """One row per run: number (from 1), run_id, when, commit, machine, onnxruntime."""
    ratios: pd.DataFrame
    """One row per run, cell and figure: number, run_id, name ("cell / reference"), metric, and its `Interval`."""
    references: pd.DataFrame
    """One row per run, reference cell and figure: number, run_id, name, metric, value."""
    found: ChangeHistory
    """The change points of every series."""

    @classmethod
    def load(cls, job: Job) -> History:
        """Read the whole store that the job writes to.

        Raises:
            NothingMeasuredError: no run has a warm reference cell.
        """
        store = Store(Results(job.results).tables)
        samples, cells = store.samples(), store.cells()
        others = {(run_id, *key) for run_id, rows in cells.groupby("run_id") for key in other_bytes(rows)}
        keys = zip(samples["run_id"], samples["cell_id"], samples["block"].astype(int), strict=True)
        samples = samples[pd.Series([key not in others for key in keys], index=samples.index, dtype=bool)]
        runs = _runs(cells)
        used = samples[(samples["status"] == "ok") & (samples["state"] == "warm") & (samples["arrivals"] == "")]
        used = used.assign(name=_names(used))
        number_of = dict(zip(runs["run_id"], runs["number"], strict=True))
        ratios: list[dict[str, Any]] = []
        references: list[dict[str, Any]] = []
        for metric in FIGURES:
            _ratios(used.assign(value=used[metric]), metric, number_of, ratios, references)
        if not references:
            raise NothingMeasuredError("no run of this store has a warm reference cell; run a sweep first")
        columns = ["run_id", "number", "metric", "name"]
        return cls(
            runs,
            pd.DataFrame(ratios, columns=[*columns, "ratio"]).sort_values("number", kind="stable"),
            pd.DataFrame(references, columns=[*columns, "value"]).sort_values("number", kind="stable"),
            change_history(by_notebook(stored_runs(store), cells)),
        )


def _ratios(
    used: pd.DataFrame,
    metric: str,
    number_of: Mapping[str, int],
    ratios: list[dict[str, Any]],
    references: list[dict[str, Any]],
) -> None:
    """Add one figure's rows: every warm cell of a run over the reference that was measured with it."""
    # Notebooks of one run are measured one after the other, and each has a reference of its own.
    for (run_id, *_), rows in used.groupby(["run_id", "notebook", "text_preset", "model", "lang"], sort=False):
        base_rows = rows[rows["reference"].astype(bool) & (rows["replica"] == 0)]
        if base_rows.empty:
            continue
        place = {"run_id": run_id, "number": number_of[str(run_id)], "metric": metric}
        over = str(base_rows["name"].iloc[0])
        references.append({**place, "name": over, "value": float(base_rows["value"].median())})
        for name, others in rows[~rows["reference"].astype(bool)].groupby("name", sort=False):
            ratio = rows_ratio(others, base_rows)
            if ratio is not None:
                ratios.append({**place, "name": f"{name} / {over}", "ratio": ratio})


def by_notebook(runs: Sequence[StoredRun], cells: pd.DataFrame) -> list[StoredRun]:
    """Each notebook of a run as a separate run: cells share a reference only within a notebook."""
    keys = zip(cells["run_id"], cells["cell_id"], cells["block"].astype(int), strict=True)
    notebook = dict(zip(keys, cells["notebook"], strict=True))
    parts = []
    for run in runs:
        names = [notebook[run.run_id, *block.key] for block in run.blocks]
        for name in dict.fromkeys(names):
            blocks = tuple(block for block, own in zip(run.blocks, names, strict=True) if own == name)
            parts.append(replace(run, run_id=f"{run.run_id}/{name}", blocks=blocks))
    return parts


def _runs(cells: pd.DataFrame) -> pd.DataFrame:
    firsts = cells.sort_values("started_at", kind="stable").drop_duplicates("run_id")
    rows: list[Any] = firsts.to_dict("records")
    return pd.DataFrame(
        [
            {
                "number": at,
                "run_id": row["run_id"],
                "when": f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
                "commit": _commit(row["git_commit"], row["git_dirty"]) + (", imported" if row["origin"] else ""),
                "machine": str(row["machine_id"])[:6],
                "onnxruntime": row["versions"].get("onnxruntime", "unknown"),
            }
            for at, row in enumerate(rows, start=1)
        ]
    )


def _commit(commit: Any, dirty: Any) -> str:
    return f"{commit[:7]}{'+' if dirty is True else ''}" if isinstance(commit, str) and commit else "unknown"


def _names(rows: pd.DataFrame) -> list[str]:
    """Names that identify a cell across runs: text, label and model, and the machine where there are several."""
    several = rows["machine_id"].nunique() > 1
    return [
        f"{row['text_preset']}, {cell_label(row)}, {row['model']}"
        + (f", machine {str(row['machine_id'])[:6]}" if several else "")
        for row in records(rows)
    ]
