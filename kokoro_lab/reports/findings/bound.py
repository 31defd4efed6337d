"""The bound of each cell: the multiplications that its model executes, at the peak rate measured on this machine.

The zero-overhead total adds the stages outside the model to the bound. The rest of the total time is unattributed: no
stage accounts for it. No cell can be faster than its bound: a cell that is shows that the peak was measured too low, or
that multiplications were counted that are not executed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.measure.ceiling.operation_count import OperationCount
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.rows.evidence import Evidence, matching, plain
from kokoro_lab.reports.rows.frame_statistics import by_block, rows_interval
from kokoro_lab.store.schema import STAGES

__all__ = ["Bound", "bound_of", "bounds", "peak_rates"]

SLACK = 0.97
"""A cell is faster than its bound when its time is below this share of it, the same tolerance as for a target ratio."""

INFER = "infer_ms"


@dataclass(frozen=True)
class Bound:
    """The breakdown of one warm cell's time; milliseconds."""

    text_preset: str
    characters: int
    label: str
    model: str
    cell_id: str
    products: Mapping[str, float]
    """Multiplications of one call, by precision."""
    bound_ms: float
    """The time of all multiplications at the peak rate of their precision."""
    stages_ms: Mapping[str, float]
    """Median of each stage except the model's."""
    measured: Interval
    """Total time of the call."""
    infer_ms: float

    @property
    def zero_overhead_ms(self) -> float:
        """The bound plus the other stages as measured: the total time if the model only multiplied."""
        return self.bound_ms + sum(self.stages_ms.values())

    @property
    def unattributed_ms(self) -> float:
        """Total time that neither the multiplications nor a stage outside the model account for."""
        return self.measured.center - self.zero_overhead_ms

    @property
    def gap(self) -> Interval:
        """Total time over bound; 1 would be perfect."""
        return self.measured.scaled(1 / self.bound_ms)

    @property
    def below_bound(self) -> bool:
        """Whether the cell is faster than its bound, which means that a measurement is wrong."""
        return self.measured.center < SLACK * self.bound_ms


def bounds(evidence: Evidence) -> list[Bound]:
    """Bounds of all warm full-architecture CPU cells with default engine settings, by text length and label."""
    rates, work = peak_rates(evidence), _work(evidence)
    rows = matching(plain(evidence.samples), {"state": "warm", "counts": True, "architecture": "full"})
    rows = rows[rows["provider"] == "cpu"]
    if not rates or not work or rows.empty:
        return []
    cells = {str(row["cell_id"]): row for row in evidence.cells[evidence.cells["samples"] > 0].to_dict("records")}
    cell_bounds = []
    for cell_id, group in rows.groupby("cell_id", sort=False):
        cell = cells[str(cell_id)]
        own = work.get(str(cell["model_sha256"]))
        durations = cell["durations"]
        if own is None or not isinstance(durations, list) or not durations:
            continue
        products = {kind: work_of_kind.of(len(durations), sum(durations)) for kind, work_of_kind in own.items()}
        bound_ms = 1e3 * sum(
            count / _rate(rates, int(cell["intra_op_threads"]), kind) for kind, count in products.items()
        )
        medians = {name: _median(group, name) for name in STAGES}
        cell_bounds.append(
            Bound(
                text_preset=str(cell["text_preset"]),
                characters=int(cell["characters"]),
                label=str(cell["label"]),
                model=str(cell["model"]),
                cell_id=str(cell_id),
                products=products,
                bound_ms=bound_ms,
                stages_ms={name: value for name, value in medians.items() if name != INFER},
                measured=rows_interval(group.assign(value=group["total_ms"])),
                infer_ms=medians[INFER],
            )
        )
    return sorted(cell_bounds, key=lambda work_of_kind: (work_of_kind.characters, work_of_kind.label))


def bound_of(cell_bounds: Sequence[Bound], cell_id: str) -> Bound | None:
    """The bound of one cell, None when it has none."""
    return next((bound for bound in cell_bounds if bound.cell_id == cell_id), None)


def peak_rates(evidence: Evidence) -> dict[int, dict[str, float]]:
    """Threads -> precision -> multiplications per second, as measured in the run."""
    return {
        int(details["threads"]): {str(kind): float(rate) for kind, rate in details["rates"].items()}
        for details in _details(evidence, "peak")
    }


def _work(evidence: Evidence) -> dict[str, dict[str, OperationCount]]:
    return {
        str(details["sha256"]): {str(kind): OperationCount(**terms) for kind, terms in details["work"].items()}
        for details in _details(evidence, "work")
    }


def _details(evidence: Evidence, kind: str) -> list[Mapping[str, Any]]:
    if evidence.verdicts.empty:
        return []
    return [details for details in evidence.verdicts["details"] if details.get("kind") == kind]


def _rate(rates: Mapping[int, Mapping[str, float]], threads: int, kind: str) -> float:
    """The peak rate with `threads` threads (0: the most measured); the highest rate where the precision is missing."""
    own = rates.get(threads) or rates[max(rates)]
    return own.get(kind) or max(own.values())


def _median(group: pd.DataFrame, name: str) -> float:
    return statistics.median(map(statistics.median, by_block(group.assign(value=group[name]))))
