"""The bound of each cell: the multiplications that its model really executes, at the peak measured on this machine.

Beside it stands the zero-overhead sum of stages: what is left when only the model's own time counts. What lies between
the bound and the whole call is either told by a stage or `unexplained`. No cell may beat its bound: one that does shows
that the peak was measured too low, or that work was counted which is not done.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kokoro_lab.measure.work import Work
from kokoro_lab.reports.evidence import Evidence, matching, plain
from kokoro_lab.reports.intervals import Interval, by_block, interval
from kokoro_lab.store.schema import STAGES

__all__ = ["Bound", "bound_of", "bounds", "peak_rates"]

SLACK = 0.97
"""A cell beats its bound when it takes less than this part of it: the design's own allowance for a bar on a ratio."""

INFER = "infer_ms"


@dataclass(frozen=True)
class Bound:
    """One warm cell, its time taken apart; milliseconds."""

    text_preset: str
    characters: int
    label: str
    model: str
    cell_id: str
    products: Mapping[str, float]
    """Multiplications of one call, by the precision of the products."""
    bound_ms: float
    """All of them at the peak of their precision."""
    stages_ms: Mapping[str, float]
    """Median of each stage but the model's."""
    measured: Interval
    """Of the whole call."""
    infer_ms: float

    @property
    def zero_overhead_ms(self) -> float:
        """The bound with the other stages as they were: what a model that only multiplies would leave."""
        return self.bound_ms + sum(self.stages_ms.values())

    @property
    def unexplained_ms(self) -> float:
        """What the model takes beyond its multiplications, and what no stage tells."""
        return self.measured.median - self.zero_overhead_ms

    @property
    def gap(self) -> Interval:
        """Measured over bound; 1 would be perfect."""
        return self.measured.scaled(1 / self.bound_ms)

    @property
    def beaten(self) -> bool:
        """Whether the cell is faster than can be, which means that something here is wrong."""
        return self.measured.median < SLACK * self.bound_ms


def bounds(evidence: Evidence) -> list[Bound]:
    """The bound of every warm cell of the full architecture on the CPU, with a default engine, by length and label."""
    rates, work = peak_rates(evidence), _work(evidence)
    rows = matching(plain(evidence.samples), {"state": "warm", "counts": True, "architecture": "full"})
    rows = rows[rows["provider"] == "cpu"]
    if not rates or not work or rows.empty:
        return []
    cells = {str(row["cell_id"]): row for row in evidence.cells[evidence.cells["samples"] > 0].to_dict("records")}
    found = []
    for cell_id, group in rows.groupby("cell_id", sort=False):
        cell = cells[str(cell_id)]
        own = work.get(str(cell["model_sha256"]))
        durations = cell["durations"]
        if own is None or not isinstance(durations, list) or not durations:
            continue
        products = {kind: one.of(len(durations), sum(durations)) for kind, one in own.items()}
        bound_ms = 1e3 * sum(
            count / _rate(rates, int(cell["intra_op_threads"]), kind) for kind, count in products.items()
        )
        medians = {name: _median(group, name) for name in STAGES}
        found.append(
            Bound(
                text_preset=str(cell["text_preset"]),
                characters=int(cell["characters"]),
                label=str(cell["label"]),
                model=str(cell["model"]),
                cell_id=str(cell_id),
                products=products,
                bound_ms=bound_ms,
                stages_ms={name: value for name, value in medians.items() if name != INFER},
                measured=interval(by_block(group.assign(value=group["total_ms"]))),
                infer_ms=medians[INFER],
            )
        )
    return sorted(found, key=lambda one: (one.characters, one.label))


def bound_of(found: Sequence[Bound], cell_id: str) -> Bound | None:
    """The bound of one cell, None when it has none."""
    return next((one for one in found if one.cell_id == cell_id), None)


def peak_rates(evidence: Evidence) -> dict[int, dict[str, float]]:
    """Threads -> precision -> multiplications a second, as the run measured them."""
    return {
        int(details["threads"]): {str(kind): float(rate) for kind, rate in details["rates"].items()}
        for details in _details(evidence, "peak")
    }


def _work(evidence: Evidence) -> dict[str, dict[str, Work]]:
    return {
        str(details["sha256"]): {str(kind): Work(**terms) for kind, terms in details["work"].items()}
        for details in _details(evidence, "work")
    }


def _details(evidence: Evidence, kind: str) -> list[Mapping[str, Any]]:
    if evidence.verdicts.empty:
        return []
    return [details for details in evidence.verdicts["details"] if details.get("kind") == kind]


def _rate(rates: Mapping[int, Mapping[str, float]], threads: int, kind: str) -> float:
    """The peak with so many threads (0: the most that were measured); of the widest precision where one is missing."""
    own = rates.get(threads) or rates[max(rates)]
    return own.get(kind) or max(own.values())


def _median(group: pd.DataFrame, name: str) -> float:
    return statistics.median(map(statistics.median, by_block(group.assign(value=group[name]))))
