"""Cells that were measured in different runs, compared by their ratios to a reference cell that both runs have.

Figures of two runs must not be compared as they are: the machine was in another mood. But each run has its reference
cell, measured in turns with the others. So a run is reduced to one number a cell, the ratio of the cell to its
reference over pairs of blocks, and the run is the unit from there on: how much such ratios differ between runs of one
commit on one machine is learned from every run of the store, and enters every interval.

What changes all cells alike, the reference too, cannot be seen in this way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kokoro_lab.errors import InconclusiveError, InputError
from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.signflip import shift
from kokoro_lab.measure.statistics import ALPHA, MARGIN, Comparison, Verdict, block_value, holm, pair_up
from kokoro_lab.measure.verdicts import GateVerdict, counterparts, why_invalid, worst_gate
from kokoro_lab.store.compare import Compared, Line, model_notes
from kokoro_lab.store.selectors import Selector, cell_words
from kokoro_lab.store.sides import StoredRun

__all__ = ["NOT_INTERLEAVED", "Between", "compare_across"]

NOT_INTERLEAVED = "not interleaved"
"""What every comparison across runs is printed with."""


@dataclass(frozen=True)
class _Ratio:
    """One cell of one run over the reference cell of that run."""

    cell: Cell
    reference: Cell
    log: float
    variance: float
    """Of `log`, from its pairs; not a number with one pair."""
    pairs: int
    gate: GateVerdict
    invalid: str


@dataclass(frozen=True)
class _Key:
    """What must be the same on both sides: the cell, its reference and that one's model file, and the machine."""

    cell_id: str
    reference_id: str
    reference_model: str
    machine_id: str


@dataclass(frozen=True)
class Between:
    """How much the ratio of a cell to its reference differs from run to run of one commit on one machine."""

    variance: float
    """Of the logarithm; not a number without repeated runs."""
    degrees: int
    """Runs beyond the first of each commit and machine: cells of one run share a reference, and count once."""


def compare_across(
    base: Sequence[StoredRun],
    candidate: Sequence[StoredRun],
    history: Iterable[StoredRun],
    *,
    names: tuple[str, str],
    figure: str = "total_ms",
    only: Selector | None = None,
    use_contaminated: bool = False,
) -> Compared:
    """Compare each cell that both sides have, by its ratios to their shared reference cell.

    Args:
        base: runs of one side.
        candidate: runs of the other.
        history: all runs from which the variance between runs is learned; those of the two sides are added.
        names: what the user called the sides.
        figure: a numeric field of Repeat.
        only: the cells to compare (default: all that both sides have).
        use_contaminated: whether blocks of a machine that was not quiet count.

    Raises:
        InputError: a run is on both sides.
        InconclusiveError: there is no cell with a shared reference on one machine.
    """
    twice = sorted({run.run_id for run in base} & {run.run_id for run in candidate})
    if twice:
        raise InputError(f"Run {twice[0]} is on both sides: compare its cells with --run {twice[0]} instead.")
    sides = [_by_key(runs, figure, use_contaminated) for runs in (base, candidate)]
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
    return Compared(figure, tuple(lines), False, *names, notes=tuple(_notes(base, candidate, between, figure)))


def _by_key(runs: Iterable[StoredRun], figure: str, use_contaminated: bool) -> dict[_Key, list[_Ratio]]:
    found: dict[_Key, list[_Ratio]] = {}
    for run in runs:
        for key, ratio in _ratios(run, figure, use_contaminated):
            found.setdefault(key, []).append(ratio)
    return found


def _ratios(run: StoredRun, figure: str, use_contaminated: bool) -> Iterable[tuple[_Key, _Ratio]]:
    """Every cell of a run that has a reference and a pair with it; none when the machine is not known."""
    by_cell: dict[Cell, list[Block]] = {}
    for block in run.blocks:
        by_cell.setdefault(block.cell, []).append(block)
    for cell, reference in counterparts(by_cell).items():
        values = [[v for block in by_cell[side] if (v := block_value(block, figure))] for side in (reference, cell)]
        pairs = pair_up(values[0], values[1], use_contaminated=use_contaminated).pairs
        models = {block.result.model.sha256 for block in by_cell[reference] if block.result.model}
        if not pairs or len(models) != 1 or not run.machine_id:
            continue
        logs = [pair.log_ratio for pair in pairs]
        spread = float(np.var(logs, ddof=1)) / len(logs) if len(logs) > 1 else math.nan
        invalid = why_invalid(by_cell[cell]) or why_invalid(by_cell[reference])
        yield (
            _Key(cell.id, reference.id, models.pop(), run.machine_id),
            _Ratio(cell, reference, shift(logs).estimate, spread, len(logs), worst_gate(by_cell[cell]), invalid),
        )


def _between(runs: Sequence[StoredRun], figure: str, use_contaminated: bool) -> Between:
    """Pooled over cells, within runs of one commit (and one state of its working tree) and one machine."""
    groups: dict[tuple[str, bool, str, _Key], list[float]] = {}
    for run in runs:
        for key, ratio in _ratios(run, figure, use_contaminated):
            groups.setdefault((run.commit, run.dirty, run.software_id, key), []).append(ratio.log)
    squares, weights = 0.0, 0
    degrees: dict[tuple[str, bool, str], int] = {}
    for (*code, key), logs in groups.items():
        if len(logs) > 1:
            squares += float(((np.array(logs) - np.mean(logs)) ** 2).sum())
            weights += len(logs) - 1
            place = (str(code[0]), bool(code[1]), f"{code[2]} {key.machine_id}")
            degrees[place] = max(degrees.get(place, 0), len(logs) - 1)
    return Between(squares / weights, sum(degrees.values())) if weights else Between(math.nan, 0)


def _judged(
    keys: Sequence[_Key],
    base: Mapping[_Key, Sequence[_Ratio]],
    candidate: Mapping[_Key, Sequence[_Ratio]],
    between: Between,
) -> list[Line]:
    from scipy import stats

    invalid = {key: next((r.invalid for r in (*candidate[key], *base[key]) if r.invalid), "") for key in keys}
    tested = [key for key in keys if not invalid[key]]
    number = max(1, len(tested))
    confidence = 1.0 - ALPHA / number
    bound = math.log1p(MARGIN)
    estimate = {key: _mean(candidate[key]) - _mean(base[key]) for key in keys}
    error = {key: _error(base[key], candidate[key], between) for key in keys}
    known = between.degrees > 0
    freedom = max(1, between.degrees)

    def tail(distance: float, width: float) -> float:
        """One-sided p of a distance; without any spread it is certain."""
        return float(stats.t.sf(distance / width, freedom)) if width > 0 else float(distance <= 0)

    raw = [min(1.0, 2 * tail(abs(estimate[key]), error[key])) if known else 1.0 for key in tested]
    raw_equal = [tail(bound - abs(estimate[key]), error[key]) if known else 1.0 for key in tested]
    p = dict(zip(tested, holm(raw), strict=True))
    equal = dict(zip(tested, holm(raw_equal), strict=True))
    reach = float(stats.t.ppf((1.0 + confidence) / 2.0, freedom))
    lines = []
    for key in keys:
        middle, width = estimate[key], reach * error[key]
        verdict: Verdict = "invalid"
        reason = invalid[key]
        if not reason:
            counts = (len(base[key]), len(candidate[key]))
            verdict, reason = _verdict(middle, p[key], equal[key], bound, between, counts)
        first = candidate[key][0]
        gates = [ratio.gate for ratio in (*candidate[key], *base[key])]
        comparison = Comparison(
            verdict=verdict,
            reason=reason,
            ratio=math.exp(middle),
            low=math.exp(middle - width) if known else None,
            high=math.exp(middle + width) if known else None,
            confidence=confidence,
            p=p.get(key, 1.0),
            p_equivalence=equal.get(key, 1.0),
            superiority=None,
            pairs=sum(ratio.pairs for ratio in (*candidate[key], *base[key])),
            texts=1,
            margin=MARGIN,
            comparisons=number,
        )
        words = f"{cell_words(first.cell)} / {cell_words(first.reference)}"
        lines.append(
            Line(
                base=words,
                candidate=words,
                texts=(first.cell.text_preset or first.cell.text,),
                gate=next(gate for gate in ("different", "close", "none", "equivalent") if gate in gates),
                comparison=comparison,
                runs=(len(base[key]), len(candidate[key])),
            )
        )
    return lines


def _mean(ratios: Sequence[_Ratio]) -> float:
    return float(np.mean([ratio.log for ratio in ratios]))


def _error(base: Sequence[_Ratio], candidate: Sequence[_Ratio], between: Between) -> float:
    """Standard error of the difference: the variance between runs, or that of the pairs where it is larger."""
    if between.degrees == 0:
        return math.nan
    variance = 0.0
    for ratios in (base, candidate):
        within = [ratio.variance for ratio in ratios if math.isfinite(ratio.variance)]
        variance += max(between.variance, float(np.mean(within)) if within else 0.0) / len(ratios)
    return math.sqrt(variance)


def _verdict(
    estimate: float, p: float, equal: float, bound: float, between: Between, counts: tuple[int, int]
) -> tuple[Verdict, str]:
    runs = f"{counts[0]} and {counts[1]} runs"
    if between.degrees == 0:
        return "inconclusive", "How much runs differ is not known here: repeat a run of one commit on this machine."
    if p <= ALPHA and abs(estimate) >= bound:
        side: Verdict = "faster" if estimate < 0 else "slower"
        return side, f"Relative to the reference the ratio is {math.exp(estimate):.3f}, over {runs}."
    if equal <= ALPHA:
        return (
            "equivalent",
            f"Relative to the reference the ratio lies within {math.expm1(bound):.0%} of 1, over {runs}.",
        )
    return "inconclusive", f"With {between.degrees} repeated runs to judge by, {runs} do not decide."


def _why_nothing_shared(
    base: Sequence[StoredRun],
    candidate: Sequence[StoredRun],
    sides: Sequence[Mapping[_Key, Sequence[_Ratio]]],
    names: tuple[str, str],
    only: Selector | None,
) -> str:
    machines = [{run.machine_id for run in runs} - {""} for runs in (base, candidate)]
    if not machines[0] & machines[1]:
        return f"{names[0]} and {names[1]} were measured on different machines, so their ratios tell nothing."
    for name, side in zip(names, sides, strict=True):
        if not side:
            return f"{name} has no cell with an undisturbed pair of blocks with its reference."
    which = f" that is {only.text!r}" if only else ""
    return f"{names[0]} and {names[1]} share no cell{which} with the same reference cell and model file."


def _notes(base: Sequence[StoredRun], candidate: Sequence[StoredRun], between: Between, figure: str) -> Iterable[str]:
    yield f"{NOT_INTERLEAVED}: {figure} of each cell over its run's reference cell; what changes both is not seen."
    if between.degrees:
        yield (
            f"Between runs of one commit such ratios vary by {math.sqrt(between.variance):.1%} "
            f"({between.degrees} repeated runs); that is in every interval."
        )
    if {run.software_id for run in base} != {run.software_id for run in candidate}:
        yield "The software differs: `results show machines` says how."
    if any(run.dirty for run in (*base, *candidate)):
        yield "Some rows were recorded with uncommitted changes: their commit does not say what ran."
    yield from model_notes([block for run in (*base, *candidate) for block in run.blocks])
