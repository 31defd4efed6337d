"""`kokoro-lab gate`: check a run against its performance budgets, for CI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kokoro_lab.commands.console import notice, print_json, print_markdown, print_table
from kokoro_lab.commands.waiting import measuring
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError, RegressedError
from kokoro_lab.measure.machine.instruction_counter import available_counter
from kokoro_lab.store import StoreReader
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.budget_gate import BudgetResult, gate_run
from kokoro_lab.store.budgets import load_budgets
from kokoro_lab.store.layout import results
from kokoro_lab.store.run_comparison import model_notes
from kokoro_lab.store.run_facts.run_labels import chosen_run
from kokoro_lab.store.store_reader import nothing_measured
from kokoro_lab.store.witness.instruction_gauge import LIMIT, count_instructions, witnessed

__all__ = ["gate", "witness_gate"]

WITNESS = "instructions"

COLUMNS = (
    *("budget", "status", "limit", "value", "low", "high", "p50", "p50_low", "p50_high"),
    *("p95_text", "samples", "blocks", "text", "cell", "reason"),
)


def gate(
    *,
    run_id: str | None,
    path: Path | None,
    only: Sequence[str],
    use_contaminated: bool,
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Check a run, by default the newest, against a file of budgets.

    Raises:
        InputError: the budgets have mistakes.
        RegressedError: a budget failed.
        NothingMeasuredError: there is no such run, or a budget has no trials.
        InconclusiveError: a budget is undecided.
    """
    if as_json and as_markdown:
        raise InputError("--json and --markdown exclude each other; choose one of them")
    budgets = load_budgets(path)
    place = results()
    store = StoreReader(place.tables)
    chosen = chosen_run(store, run_id)
    blocks = stored_blocks(store, chosen) if chosen else []
    if chosen is None or not blocks:
        missing = f"there are no rows of run {chosen!r}; see the stored runs with `kokoro-lab results list`"
        raise NothingMeasuredError(missing if chosen else nothing_measured(store))
    outcomes = gate_run(blocks, budgets, place.run(chosen), only=only, use_contaminated=use_contaminated)
    rows = [item.as_dict() for item in outcomes]
    notes = model_notes(blocks) + (["Contaminated blocks are included."] if use_contaminated else [])
    title = f"Run {chosen} against its budgets"
    if as_json:
        print_json({"run_id": chosen, "rows": rows, "notes": notes, "passed": not _open(outcomes)})
    elif as_markdown:
        print_markdown(rows, COLUMNS, title=title, notes=notes)
    else:
        print_table(rows, COLUMNS, title=title)
    for note in notes:
        notice(note)
    _conclude(chosen, outcomes)


def witness_gate(witness: str, *, accept: bool, as_json: bool, wait_s: float = 0.0) -> None:
    """Count the instructions of a call of the tiny model, store the count, and hold it against its baseline.

    Raises:
        InputError: unknown witness.
        NothingMeasuredError: this machine counts no instructions.
        RegressedError: the count exceeds its baseline by more than the limit.
        BusyError: another run has been measuring for longer than `wait_s` seconds.
        InconclusiveError: there is no baseline, or the speech has another length than the baseline's.
    """
    if witness != WITNESS:
        raise InputError(f"unknown witness {witness!r}; choose {WITNESS}")
    counter = available_counter()
    if counter == "valgrind":
        notice("valgrind counts the instructions of a few calls of the tiny model, which takes some minutes")
    with measuring("a count of instructions", wait_s):
        counted = count_instructions(counter)
    result = witnessed(results().root, counted, accept=accept)
    if as_json:
        base = None if result.baseline is None else asdict(result.baseline)
        document = {"rows": [asdict(result.row)], "baseline": base, "ratio": result.gauge.value, "limit": 1 + LIMIT}
        print_json({**document, "status": result.status, "passed": result.status == "passed" or accept})
    if accept or result.status == "passed":
        notice(f"{result.words}; the count is the baseline now" if accept else result.words)
    elif result.status == "failed":
        raise RegressedError(
            f"{result.words}, more than {LIMIT:.0%} above it; find the change that caused it, or add --accept"
        )
    elif result.status == "undecided":
        raise InconclusiveError(f"{result.words}, but {result.gauge.reason}; count again on a quieter machine")
    elif result.status == "no baseline":
        raise InconclusiveError(f"{result.words.replace(';', ',')}; it is stored as one, run the gate after a change")
    else:
        raise InconclusiveError(f"{result.gauge.reason}; listen to the speech, then add --accept")


def _open(outcomes: Sequence[BudgetResult]) -> list[BudgetResult]:
    """The results that keep the run from passing."""
    return [item for item in outcomes if item.status not in ("passed", "not judged")]


def _conclude(run_id: str, outcomes: Sequence[BudgetResult]) -> None:
    """Print that the run passed, or raise the error for its worst result."""
    for status, error, advice in (
        ("failed", RegressedError, "find the change that caused it, or correct the budget"),
        ("not measured", NothingMeasuredError, "measure these cells, or check the other budgets with --only"),
        ("inconclusive", InconclusiveError, "measure more blocks on a quiet machine"),
    ):
        affected = [item for item in outcomes if item.status == status]
        if affected:
            words = ", ".join(
                f"{item.budget.name}: {(item.reason or item.budget.limit).rstrip('.')}" for item in affected
            )
            raise error(f"{len(affected)} of {len(outcomes)} budgets {status} ({words}); {advice}")
    if not any(item.status == "passed" for item in outcomes):
        raise NothingMeasuredError(f"none of these budgets applies to run {run_id}; measure the full-size model")
    counts = Counter(item.status for item in outcomes)
    notice(f"run {run_id}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
