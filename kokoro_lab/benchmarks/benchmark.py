"""A benchmark: contestants, each one cell, and targets that their figures have to reach.

Benchmarks measure as sweeps do (interleaved fresh processes, every block in the store), with the intervals of
`measure.statistics`. A target on a time is met when the median ratio reaches it and the unfavorable end of its
confidence interval is within 3 % of it: for a speed, the lower end is at least 0.97 of the target.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kokoro_lab.benchmarks.figures import BenchmarkFigure, value_of
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.comparison import BlockValue, Comparison, Pairing, compare_all, pair_up
from kokoro_lab.measure.statistics.same_bytes import poolable, was_not_cold
from kokoro_lab.measure.statistics.verdicts import worst_gate
from kokoro_lab.store.layout import check_run_id, results
from kokoro_lab.sweeps.cell_job import CellJob, measure_cells, noticed
from kokoro_lab.sweeps.job import PlannedCell

__all__ = [
    "ALLOWANCE",
    "Benchmark",
    "BenchmarkRow",
    "Contestant",
    "State",
    "Target",
    "judge",
    "run_benchmark",
    "state_of",
]

ALLOWANCE = 0.97
"""Share of a target on a time that the unfavorable end of the confidence interval must reach."""

PLAN = "bench"
"""The plan of every benchmark's run, in the tables."""

State = Literal["met", "missed", "undecided", ""]
"""State of a target; empty for a figure without a target."""


@dataclass(frozen=True)
class Contestant:
    """One cell of a benchmark."""

    name: str
    """Name of an engine, model or variant."""
    case: str
    """Name of the task; contestants with the same case are compared."""
    cell: Cell
    blocks: int | None = None
    """Fresh processes; None: the benchmark's number."""


@dataclass(frozen=True)
class Target:
    """A figure of a contestant, and the bound that it has to reach."""

    figure: BenchmarkFigure
    contestant: str
    cases: tuple[str, ...]
    """Cases in which it is measured; several are texts of one comparison."""
    base: str = ""
    """The contestant it is compared with by pairs of blocks; empty: the figure of the worst block counts."""
    bound: float | None = None
    """None: the figure is shown without a target."""
    speed: bool = False
    """True: the ratio is base over contestant (2.0: twice as fast), and `bound` its minimum; False: the ratio is
    contestant over base, and `bound` its maximum."""
    least: bool = False
    """Without a base: whether `bound` is the minimum, not the maximum."""
    label: str = ""
    """Name of the cases together; empty: the names of the cases."""


@dataclass(frozen=True)
class Benchmark:
    """The contestants and targets of a benchmark."""

    name: str
    contestants: tuple[Contestant, ...]
    targets: tuple[Target, ...]
    reference: str
    """The contestant whose audio is the reference of the others: its first cell of each text."""
    blocks: int
    retries: int = 0
    """How often a contaminated block is measured again."""
    use_contaminated: bool = True
    """Whether contaminated blocks count, as both sides of a pair ran in turn."""
    corrected: bool = False
    """Whether the verdicts of a figure are corrected for the number of contestants, as a ranking needs."""

    def planned(self) -> tuple[PlannedCell, ...]:
        """The cells with their numbers of blocks: each cell once, and one reference for each text."""
        references: dict[object, str] = {}
        for contestant in self.contestants:
            if contestant.name == self.reference:
                references.setdefault(contestant.cell.gate_key, contestant.cell.id)
        items: dict[str, PlannedCell] = {}
        for contestant in self.contestants:
            is_reference = references.get(contestant.cell.gate_key) == contestant.cell.id
            cell = replace(contestant.cell, reference=is_reference)
            items.setdefault(cell.id, PlannedCell(cell, contestant.blocks or self.blocks))
        return tuple(items.values())


@dataclass(frozen=True)
class BenchmarkRow:
    """One figure of one contestant, and the state of its target."""

    contestant: str
    case: str
    figure: str
    unit: str
    value: float | None
    """Median of the blocks, or the worst block if there is a target without a base; None: not measured."""
    base: str = ""
    base_value: float | None = None
    ratio: float | None = None
    """Base over contestant for a speed, else contestant over base; None without a pair."""
    low: float | None = None
    high: float | None = None
    """Ends of the ratio's confidence interval; None with too few pairs."""
    verdict: str = ""
    pairs: int = 0
    bound: float | None = None
    state: State = ""
    gate: str = "none"
    """The worst result of the audio gate in the contestant's blocks."""
    status: str = "ok"
    """The worst status of its blocks; partial: other providers ran a part of the graph."""
    contaminated: int = 0
    """Blocks of this figure that other processes disturbed."""
    note: str = ""
    """Why there is no figure, or the reason of the verdict."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self)


def run_benchmark(
    benchmark: Benchmark, run_id: str, *, budget_s: float, notice: Callable[[str], None] | None = None
) -> list[Block]:
    """Measure the missing blocks of the run, store each finished block at once, and return all blocks of the run.

    `budget_s` limits this call, s; every cell gets at least one block.

    Raises NothingMeasuredError when no block has a figure, and the errors of `sweeps.cell_job.measure_cells`.
    """
    job = CellJob(
        run_id=check_run_id(run_id),
        notebook=f"bench_{benchmark.name.replace('-', '_')}",
        plan=PLAN,
        cells=benchmark.planned(),
        budget_s=budget_s,
        retries=benchmark.retries,
        results=results().root,
    )
    blocks = measure_cells(job, noticed(notice))
    if not any(block.result.repeats for block in blocks):
        errors = dict.fromkeys(block.result.error for block in blocks)
        reasons = ", ".join(error.rstrip(".") for error in errors) or "it has no blocks"
        raise NothingMeasuredError(
            f"run {run_id!r} measured nothing ({reasons}); correct that and start a new run under another name"
        )
    return blocks


def judge(benchmark: Benchmark, blocks: Sequence[Block]) -> list[BenchmarkRow]:
    """A row for each target, in their order; blocks of other cells are ignored, and so are those of other bytes and
    cold ones whose files were in the page cache."""
    same = poolable(blocks)
    kept = [block for block in same if not was_not_cold(block)]
    by_cell: dict[str, list[Block]] = {}
    for block in kept:
        by_cell.setdefault(block.cell.id, []).append(block)
    measured = {(each.name, each.case): by_cell.get(each.cell.id, []) for each in benchmark.contestants}
    sides = {target: _blocks(measured, target.contestant, target) for target in benchmark.targets}
    bases = {target: _blocks(measured, target.base, target) for target in benchmark.targets if target.base}
    judged = _compared(benchmark, sides, bases)
    rows = [_row(target, sides[target], bases.get(target, []), judged.get(target)) for target in benchmark.targets]
    left_out = [
        f"{count} {'block' if count == 1 else 'blocks'} of the run {why} and {'is' if count == 1 else 'are'} left out"
        for count, why in (
            (len(blocks) - len(same), "measured other bytes"),
            (len(same) - len(kept), "stayed in the page cache"),
        )
        if count
    ]
    return [dataclasses.replace(row, note="; ".join(filter(None, (row.note, *left_out)))) for row in rows]


def state_of(target: Target, row: BenchmarkRow) -> State:
    """Whether the target is met; undecided without a figure or an interval, or when the audio is different."""
    bound, reading = target.bound, row.ratio if target.base else row.value
    if bound is None:
        return ""
    if reading is None or row.gate == "different":
        return "undecided"
    if not target.base:
        return "met" if (reading >= bound if target.least else reading <= bound) else "missed"
    if reading < bound if target.speed else reading > bound:
        return "missed"
    if not target.figure.is_time:
        return "met"
    end = row.low if target.speed else row.high
    if end is None:
        return "undecided"
    return "met" if (end >= ALLOWANCE * bound if target.speed else end <= bound / ALLOWANCE) else "undecided"


def _blocks(measured: Mapping[tuple[str, str], list[Block]], name: str, target: Target) -> list[Block]:
    return [block for case in target.cases for block in measured.get((name, case), [])]


def _values(figure: BenchmarkFigure, blocks: Sequence[Block]) -> list[BlockValue]:
    return [
        BlockValue(
            block.cell.text_preset or block.cell.text, block.round, value, block.attempt, block.quiet.contaminated
        )
        for block in blocks
        if (value := value_of(figure, block)) is not None
    ]


def _compared(
    benchmark: Benchmark, sides: Mapping[Target, list[Block]], bases: Mapping[Target, list[Block]]
) -> dict[Target, Comparison]:
    """The comparison of each target that has a base: corrected within each figure of a ranking, else each alone."""
    families: dict[object, dict[str, Target]] = {}
    for target in bases:
        key = (target.figure, target.cases, target.base) if benchmark.corrected else target
        families.setdefault(key, {})[target.contestant] = target
    judged: dict[Target, Comparison] = {}
    for family in families.values():
        pairings: dict[str, Pairing] = {}
        for name, target in family.items():
            base, mine = (_positive(_values(target.figure, side)) for side in (bases[target], sides[target]))
            pairings[name] = pair_up(base, mine, use_contaminated=benchmark.use_contaminated)
        invalid = {
            name: "its audio is different"
            for name, target in family.items()
            if worst_gate(sides[target]) == "different"
        }
        comparisons = compare_all(pairings, invalid=invalid)
        judged |= {family[name]: comparison for name, comparison in comparisons.items()}
    return judged


def _positive(values: Sequence[BlockValue]) -> list[BlockValue]:
    """The values that have a logarithm."""
    return [value for value in values if value.value > 0.0]


def _row(target: Target, mine: Sequence[Block], base: Sequence[Block], judged: Comparison | None) -> BenchmarkRow:
    values = [value.value for value in _values(target.figure, mine)]
    theirs = [value.value for value in _values(target.figure, base)]
    errors = [block.result.error for block in mine if block.result.error]
    worst = min if target.least else max
    row = BenchmarkRow(
        target.contestant,
        target.label or ", ".join(target.cases),
        target.figure.name,
        target.figure.unit,
        (statistics.median(values) if target.base or target.bound is None else worst(values)) if values else None,
        base=target.base,
        base_value=statistics.median(theirs) if theirs else None,
        bound=target.bound,
        gate=worst_gate(mine),
        status=_worst(("error", "unavailable", "partial", "ok"), {block.result.status for block in mine}),
        contaminated=sum(block.quiet.contaminated for block in mine),
        note=errors[-1] if errors else judged.reason if judged else "",
    )
    if judged is not None and values:
        ratio, low, high = judged.ratio, judged.low, judged.high
        if target.speed:
            ratio, low, high = _inverse(ratio), _inverse(high), _inverse(low)
        row = replace(row, ratio=ratio, low=low, high=high, verdict=judged.verdict, pairs=judged.pairs)
    if target.bound is not None and len(values) < target.figure.processes:
        return replace(row, state="undecided", note=row.note or _too_few(len(values), target.figure.processes))
    return replace(row, state=state_of(target, row))


def _too_few(processes: int, needed: int) -> str:
    return f"{processes} process{'es' if processes != 1 else ''}; at least {needed} are required"


def _inverse(value: float | None) -> float | None:
    return None if not value else 1.0 / value


def _worst(order: Sequence[str], words: Collection[str]) -> str:
    return next((word for word in order if word in words), "none")
