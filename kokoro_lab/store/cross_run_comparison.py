"""Comparison of cells from different runs, by their ratios to a reference cell that both runs have.

Figures of two runs cannot be compared directly, because the machine's state differed. But each run has a reference cell
that was interleaved with the others. So a run is reduced to one number per cell, the ratio of the cell to its reference
over pairs of blocks, and the run becomes the unit: the variance of such ratios between runs of the same commit on the
same machine is estimated from all runs of the store, and included in every interval.

A change that affects all cells equally, including the reference, cannot be detected in this way.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kokoro_lab.errors import InconclusiveError, InputError
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.records.identity import CONTENT, PARTS
from kokoro_lab.measure.records.readings import GateVerdict, worst_verdict
from kokoro_lab.measure.statistics.between_runs import BetweenRuns, RunRatio, between_runs, compare_runs, run_ratio
from kokoro_lab.measure.statistics.comparison import pair_up
from kokoro_lab.measure.statistics.same_bytes import differences, parts_of_block, values_by_cell
from kokoro_lab.measure.statistics.verdicts import counterparts, why_invalid, worst_gate
from kokoro_lab.store.cell_selectors import Selector, cell_words
from kokoro_lab.store.run_comparison import ComparisonLine, ComparisonReport, model_notes
from kokoro_lab.store.sides import StoredRun

__all__ = ["NOT_INTERLEAVED", "SeriesKey", "compare_across", "series_of_runs"]

NOT_INTERLEAVED = "not interleaved"
"""The label of every comparison across runs."""


@dataclass(frozen=True)
class _CellOfRun:
    """One cell of one run over the reference cell of that run."""

    cell: Cell
    reference: Cell
    ratio: RunRatio
    gate: GateVerdict
    invalid: str
    cell_parts: Mapping[str, str]
    """Part of the identity -> sum of what the blocks of the cell measured."""
    reference_parts: Mapping[str, str]

    def differing(self, other: _CellOfRun) -> tuple[str, ...]:
        """The parts in which the cell, or its reference, is known to have measured other bytes in another run."""
        found = {
            *differences(self.cell_parts, other.cell_parts),
            *differences(self.reference_parts, other.reference_parts),
        }
        return tuple(part for part in PARTS if part in found)


@dataclass(frozen=True)
class _Key:
    """What must be equal on both sides: the cell, its reference, the reference's model file, and the machine."""

    cell_id: str
    reference_id: str
    reference_model: str
    machine_id: str


def compare_across(
    base: Sequence[StoredRun],
    candidate: Sequence[StoredRun],
    history: Iterable[StoredRun],
    *,
    names: tuple[str, str],
    figure: str = "total_ms",
    only: Selector | None = None,
    use_contaminated: bool = False,
) -> ComparisonReport:
    """Compare each cell that both sides have, by its ratios to their shared reference cell.

    Args:
        base: runs of one side.
        candidate: runs of the other.
        history: all runs from which the variance between runs is estimated; those of the two sides are added.
        names: the user's names of the sides.
        figure: a numeric field of Repeat.
        only: the cells to compare (default: all that both sides have).
        use_contaminated: whether contaminated blocks are used.

    Raises:
        InputError: a run is on both sides.
        InconclusiveError: the sides share no cell with the same reference on the same machine.
    """
    twice = sorted({run.run_id for run in base} & {run.run_id for run in candidate})
    if twice:
        raise InputError(f"run {twice[0]} is on both sides; compare its cells with --run {twice[0]} instead")
    sides = [_by_key(runs, figure, use_contaminated) for runs in (base, candidate)]
    notes = [note for side, name in zip(sides, names, strict=True) for note in _of_one_content(side, name)]
    machines = {run.machine_id for run in base} & {run.machine_id for run in candidate}
    known = {(run.run_id, run.commit, run.machine_id): run for run in (*history, *base, *candidate)}
    known = {key: run for key, run in known.items() if run.machine_id in machines}
    between = _between(list(known.values()), figure, use_contaminated)
    shared = [key for key in sides[0] if key in sides[1]]
    if only is not None:
        shared = [key for key in shared if only.matches(sides[0][key][0].cell)]
    if not shared:
        raise InconclusiveError(_why_nothing_shared(base, candidate, sides, names, only))
    lines = _judged(shared, sides[0], sides[1], between)
    notes = [*_notes(base, candidate, between, figure), *notes, *_said_differences(lines)]
    return ComparisonReport(figure, tuple(lines), False, *names, notes=tuple(notes))


@dataclass(frozen=True)
class SeriesKey:
    """What one series of the history is about: a cell over its reference, on one machine."""

    key: Hashable
    name: str
    """The text, the cell and its reference, in words."""
    machine_id: str


def series_of_runs(
    runs: Iterable[StoredRun], figure: str = "total_ms"
) -> dict[SeriesKey, list[tuple[StoredRun, RunRatio]]]:
    """Each cell with a reference -> the runs that have it, in their order, with its ratio to the reference.

    Runs in which the cell or its reference measured another model, text or voice are a series of their own, and its
    name says so. A cell whose speech may not be ranked, or that ran elsewhere than it says, is left out of its run.
    """
    series: dict[SeriesKey, list[tuple[StoredRun, RunRatio]]] = {}
    contents: dict[_Key, list[_CellOfRun]] = {}
    for run in runs:
        for key, measured in _ratios(run, figure, False):
            if measured.invalid:
                continue
            known = contents.setdefault(key, [])
            number = next((at for at, other in enumerate(known) if not _other_content(measured, other)), len(known))
            if number == len(known):
                known.append(measured)
            text = measured.cell.text_preset or measured.cell.text
            name = f"{text}: {cell_words(measured.cell)} / {cell_words(measured.reference)}"
            if number:
                name += f", with another {' and '.join(_other_content(measured, known[number - 1]))}"
            series.setdefault(SeriesKey((key, number), name, run.machine_id), []).append((run, measured.ratio))
    return series


def _other_content(cell: _CellOfRun, other: _CellOfRun) -> list[str]:
    """Which of model, text and voice are not the same in two runs."""
    return [part for part in cell.differing(other) if part in CONTENT]


def _by_key(runs: Iterable[StoredRun], figure: str, use_contaminated: bool) -> dict[_Key, list[_CellOfRun]]:
    by_key: dict[_Key, list[_CellOfRun]] = {}
    for run in runs:
        for key, ratio in _ratios(run, figure, use_contaminated):
            by_key.setdefault(key, []).append(ratio)
    return by_key


def _ratios(run: StoredRun, figure: str, use_contaminated: bool) -> Iterable[tuple[_Key, _CellOfRun]]:
    """Every cell of a run that has a reference and a pair with it; none when the machine is unknown."""
    by_cell: dict[Cell, list[Block]] = {}
    for block in run.blocks:
        by_cell.setdefault(block.cell, []).append(block)
    values = values_by_cell(run.blocks, figure)
    for cell, reference in counterparts(by_cell).items():
        pairs = pair_up(values[reference], values[cell], use_contaminated=use_contaminated).pairs
        models = [block.result.model.sha256 for block in by_cell[reference] if block.result.model]
        if not pairs or not models or not run.machine_id:
            continue
        invalid = why_invalid(by_cell[cell]) or why_invalid(by_cell[reference])
        parts = [_parts(by_cell[side]) for side in (cell, reference)]
        yield (
            _Key(cell.id, reference.id, models[0], run.machine_id),
            _CellOfRun(cell, reference, run_ratio(pairs), worst_gate(by_cell[cell]), invalid, *parts),
        )


def _parts(blocks: Iterable[Block]) -> dict[str, str]:
    """What the blocks of one cell in one run measured: those that are pooled have measured the same."""
    return next(parts_of_block(block.result) for block in blocks if block.result.repeats)


def _of_one_content(side: dict[_Key, list[_CellOfRun]], name: str) -> Iterable[str]:
    """Leave in each cell of a side only the runs of the same model, text and voice as its last run; yields notes."""
    left_out: dict[str, int] = {}
    for key, cells in side.items():
        differing = [_other_content(cell, cells[-1]) for cell in cells]
        for wrong in filter(None, differing):
            left_out[" and ".join(wrong)] = left_out.get(" and ".join(wrong), 0) + 1
        side[key] = [cell for cell, wrong in zip(cells, differing, strict=True) if not wrong]
    for parts, count in left_out.items():
        yield f"{name}: {count} ratios are left out: their runs measured another {parts} than its last run"


def _said_differences(lines: Iterable[ComparisonLine]) -> Iterable[str]:
    """In which bytes the two sides differ."""
    found = {part for line in lines for part in line.differing}
    if found:
        yield f"the sides measured different bytes: {', '.join(part for part in PARTS if part in found)}"


def _between(runs: Sequence[StoredRun], figure: str, use_contaminated: bool) -> BetweenRuns:
    """Pooled over cells, within runs of one commit (and one state of its working tree), one machine and the same
    bytes."""
    groups: dict[Hashable, dict[_Key, list[RunRatio]]] = {}
    for run in runs:
        state = (run.commit, run.dirty, run.software_id, run.machine_id)
        for key, cell in _ratios(run, figure, use_contaminated):
            same = (*state, tuple(cell.cell_parts.values()), tuple(cell.reference_parts.values()))
            groups.setdefault(same, {}).setdefault(key, []).append(cell.ratio)
    return between_runs(groups)


def _judged(
    keys: Sequence[_Key],
    base: Mapping[_Key, Sequence[_CellOfRun]],
    candidate: Mapping[_Key, Sequence[_CellOfRun]],
    between: BetweenRuns,
) -> list[ComparisonLine]:
    cells = {key: (*candidate[key], *base[key]) for key in keys}
    reasons = {key: next((cell.invalid for cell in cells[key] if cell.invalid), "") for key in keys}
    for key in keys:
        wrong = differences(candidate[key][-1].reference_parts, base[key][-1].reference_parts)
        if content := [part for part in wrong if part in CONTENT]:
            reasons[key] = reasons[key] or f"Its reference measured another {' and '.join(content)} on the other side."
    judged = compare_runs(
        {key: ([cell.ratio for cell in base[key]], [cell.ratio for cell in candidate[key]]) for key in keys},
        between,
        invalid={key: reason for key, reason in reasons.items() if reason},
    )
    lines = []
    for key in keys:
        first = candidate[key][0]
        words = f"{cell_words(first.cell)} / {cell_words(first.reference)}"
        lines.append(
            ComparisonLine(
                base=words,
                candidate=words,
                texts=(first.cell.text_preset or first.cell.text,),
                gate=worst_verdict(cell.gate for cell in cells[key]),
                comparison=judged[key],
                runs=(len(base[key]), len(candidate[key])),
                differing=candidate[key][-1].differing(base[key][-1]),
            )
        )
    return lines


def _why_nothing_shared(
    base: Sequence[StoredRun],
    candidate: Sequence[StoredRun],
    sides: Sequence[Mapping[_Key, Sequence[_CellOfRun]]],
    names: tuple[str, str],
    only: Selector | None,
) -> str:
    machines = [{run.machine_id for run in runs} - {""} for runs in (base, candidate)]
    if not machines[0] & machines[1]:
        return f"{names[0]} and {names[1]} were measured on different machines; compare runs of the same machine"
    for name, side in zip(names, sides, strict=True):
        if not side:
            return f"{name} has no uncontaminated pair of a cell and its reference; measure more blocks"
    which = f" matching {only.text!r}" if only else ""
    shared = f"{names[0]} and {names[1]} share no cell{which} with the same reference cell and model file"
    return f"{shared}; compare runs of the same plan"


def _notes(
    base: Sequence[StoredRun], candidate: Sequence[StoredRun], between: BetweenRuns, figure: str
) -> Iterable[str]:
    yield f"{NOT_INTERLEAVED}: {figure} of each cell over its run's reference cell; a change of both cannot be seen"
    if between.known:
        yield (
            f"between runs of the same commit these ratios vary by {math.sqrt(between.variance):.1%} "
            f"({between.degrees} repeated runs); every interval includes this"
        )
    if {run.software_id for run in base} != {run.software_id for run in candidate}:
        yield "the software differs; see `kokoro-lab results show machines`"
    if any(run.dirty for run in (*base, *candidate)):
        yield "some rows were recorded with uncommitted changes; their commit does not identify the code"
    yield from model_notes([block for run in (*base, *candidate) for block in run.blocks])
