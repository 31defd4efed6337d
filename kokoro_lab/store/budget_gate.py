"""Check a run against its performance budgets: passed, failed or inconclusive.

A budget without any matching call in the run has not passed: it was not measured. Times of the tiny model are shown and
never judged.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.same_bytes import poolable, was_not_cold
from kokoro_lab.measure.statistics.verdicts import worst_gate
from kokoro_lab.store.budgets import Budget, Budgets
from kokoro_lab.store.cell_selectors import cell_words
from kokoro_lab.store.gauges import (
    Gauge,
    audio_gauge,
    drift_gauge,
    figure_gauge,
    memory_gauge,
    underrun_gauge,
)

__all__ = ["BudgetResult", "BudgetStatus", "gate_run"]

BudgetStatus = Literal["passed", "failed", "inconclusive", "not measured", "not judged"]
PLAIN = ("environment", "engine_settings", "arrivals")
"""These must be empty for a cell to represent the engine with its defaults, unless the budget names them."""

TINY = "figures of the tiny model are not representative"


OF_THE_PROCESS = frozenset({"memory", "rss_mb"})
"""Measures of a process as a whole: one that several cells shared gives none."""


@dataclass(frozen=True)
class BudgetResult:
    """A budget and its result."""

    budget: Budget
    status: BudgetStatus
    reason: str
    gauge: Gauge
    cell: str = ""
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: a row of a table."""
        figures = dataclasses.asdict(self.gauge)
        figures.pop("reason")
        figures.pop("certainly_above")
        return {
            "budget": self.budget.name,
            "about": self.budget.about,
            "measure": self.budget.measure,
            "statistic": self.budget.statistic,
            "limit": self.budget.limit,
            "status": self.status,
            "reason": self.reason,
            "text": self.text,
            "cell": self.cell,
            **figures,
        }


def gate_run(
    blocks: Sequence[Block],
    budgets: Budgets,
    run_dir: Path,
    *,
    only: Sequence[str] = (),
    use_contaminated: bool = False,
) -> list[BudgetResult]:
    """Check every budget, or those named, against the blocks of one run; its audio is in `run_dir`."""
    replaced = {(block.cell.id, block.replaces) for block in blocks if block.replaces is not None}
    current = [block for block in blocks if block.key not in replaced]
    rows = []
    for budget in budgets.only(only):
        if budget.measure == "correct":
            rows.append(_correct(budget, [block for block in current if budget.matches(block.cell)], budgets.trials))
        else:
            rows.append(_checked(budget, current, budgets, run_dir, use_contaminated))
    return rows


def _correct(budget: Budget, blocks: Sequence[Block], trials: int) -> BudgetResult:
    """Errors, partial providers and different audio fail; blocks of unavailable providers are ignored."""
    tried = [block for block in blocks if block.result.status != "unavailable"]
    calls = sum(len(block.result.repeats) for block in tried)
    failed_calls = sum(block.result.load.failed for block in tried if block.result.load)
    wrong = {
        "failed": sum(block.result.status == "error" for block in tried),
        "ran only partly on their provider": sum(block.result.status == "partial" for block in tried),
        "have different audio": sum(block.gate is not None and block.gate.verdict == "different" for block in tried),
        "loaded modules that do not belong to the engine": sum(bool(block.result.foreign_modules) for block in tried),
    }
    problems = [f"{count} of {len(tried)} blocks {words}" for words, count in wrong.items() if count]
    problems += [f"{failed_calls} calls under load failed"] * bool(failed_calls)
    gauge = Gauge(None, None, None, calls, len(tried))
    if problems:
        return BudgetResult(budget, "failed", "; ".join(problems), gauge)
    if not calls:
        return BudgetResult(budget, "not measured", "no call was completed", gauge)
    if not any(block.gate for block in tried):
        return BudgetResult(budget, "inconclusive", "no audio was compared with a reference", gauge)
    if calls < trials:
        return BudgetResult(budget, "inconclusive", f"{calls} calls; at least {trials} are required", gauge)
    return BudgetResult(budget, "passed", "", gauge)


def _checked(
    budget: Budget, blocks: Sequence[Block], budgets: Budgets, run_dir: Path, use_contaminated: bool
) -> BudgetResult:
    nothing = Gauge(None, None, None, 0, 0)
    completed = [block for block in poolable(blocks) if block.result.repeats and not was_not_cold(block)]
    tiny = bool(completed) and all(_architecture(block) == "tiny" for block in completed)
    matching = [
        block
        for block in completed
        if budget.matches(block.cell)
        and _is_plain(block.cell, budget)
        and (tiny or _architecture(block) == "full")
        and (block.cell.process == "own" or budget.measure not in OF_THE_PROCESS)
    ]
    usable: dict[Cell, list[Block]] = {}
    for block in matching:
        if block.result.status == "ok" and (use_contaminated or not block.quiet.contaminated):
            usable.setdefault(block.cell, []).append(block)
    usable = {cell: group for cell, group in usable.items() if worst_gate(group) == "equivalent"}
    if not usable:
        if tiny:
            return BudgetResult(budget, "not judged", TINY, nothing)
        if not matching:
            return BudgetResult(budget, "not measured", "no completed call of the run matches it", nothing)
        return BudgetResult(budget, "inconclusive", _why_unusable(matching), nothing)
    cell = _best(usable, budget)
    gauge = _gauge(budget, usable[cell], budgets, run_dir)
    status: BudgetStatus = "not judged"
    reason = TINY
    if not tiny:
        status, reason = _judged(budget, gauge, budgets)
    return BudgetResult(
        budget, status, reason, gauge, cell_words(cell, ("intra_op_threads",)), cell.text_preset or cell.text
    )


def _judged(budget: Budget, gauge: Gauge, budgets: Budgets) -> tuple[BudgetStatus, str]:
    if gauge.certainly_above is not None:
        return "failed", gauge.reason
    if gauge.samples == 0:
        return "not measured", gauge.reason
    if gauge.samples < budgets.trials:
        return "inconclusive", f"{gauge.samples} trials; at least {budgets.trials} are required"
    if gauge.value is None or gauge.low is None or gauge.high is None:
        return "inconclusive", gauge.reason
    if budget.keeps(gauge.low) and budget.keeps(gauge.high):
        return "passed", gauge.reason
    beyond_both = not budget.keeps(gauge.low) and not budget.keeps(gauge.high)
    one_side = budget.within is None or (gauge.low > budget.within[1]) == (gauge.high > budget.within[1])
    if beyond_both and one_side:
        return "failed", gauge.reason
    return "inconclusive", gauge.reason or "the confidence interval includes the limit"


def _gauge(budget: Budget, blocks: Sequence[Block], budgets: Budgets, run_dir: Path) -> Gauge:
    match budget.measure:
        case "memory":
            return memory_gauge(blocks)
        case "underruns":
            return underrun_gauge(blocks, budgets.player)
        case "drift":
            return drift_gauge(blocks)
        case "loudness" | "true_peak":
            return audio_gauge(blocks, run_dir, budget.measure)
        case figure:
            return figure_gauge(blocks, figure, budget.statistic, budget.at_most)


def _best(usable: Mapping[Cell, Sequence[Block]], budget: Budget) -> Cell:
    """The cell with the lowest median of block medians, of the figure or otherwise of the real-time factor; ties go to
    the lower id."""
    figure = budget.measure if budget.measure.endswith(("_ms", "rtf")) else "rtf"

    def rank(cell: Cell) -> tuple[float, str]:
        medians = [statistics.median(getattr(r, figure) for r in block.result.repeats) for block in usable[cell]]
        return statistics.median(medians), cell.id

    return min(usable, key=rank)


def _is_plain(cell: Cell, budget: Budget) -> bool:
    return cell.replica == 0 and all(not getattr(cell, name) or _names(budget, name) for name in PLAIN)


def _names(budget: Budget, factor: str) -> bool:
    return any(name.partition(".")[0] == factor for name in budget.where)


def _architecture(block: Block) -> str:
    return block.result.model.architecture if block.result.model else ""


def _why_unusable(blocks: Sequence[Block]) -> str:
    if all(block.quiet.contaminated for block in blocks):
        return f"other processes disturbed all {len(blocks)} blocks"
    if all(block.result.status != "ok" for block in blocks):
        return "its provider did not run the whole graph"
    return "no undisturbed block has equivalent audio"
