"""`kokoro-lab gate`: a run against its budgets, for CI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kokoro_lab.commands.console import notice, print_json, print_markdown, print_table
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError, RegressedError
from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.budgets import BUDGETS, load_budgets
from kokoro_lab.store.compare import model_notes
from kokoro_lab.store.gate import Gated, gate_run
from kokoro_lab.store.places import results

__all__ = ["gate"]

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
    """Hold a run, the newest when none is named, against a file of budgets.

    Raises:
        InputError: the budgets hold mistakes.
        RegressedError: a budget failed.
        NothingMeasuredError: there is no such run, or a budget has no trials.
        InconclusiveError: a budget cannot be told.
    """
    if as_json and as_markdown:
        raise InputError("Give --json or --markdown, not both.")
    budgets = load_budgets(path or BUDGETS)
    place = results()
    store = Store(place.tables)
    chosen = run_id or store.latest_run()
    blocks = stored_blocks(store, chosen) if chosen else []
    if chosen is None or not blocks:
        what = f"of a run {chosen!r}" if chosen else f"under {place.root}"
        raise NothingMeasuredError(f"There are no rows {what} to gate: see `kokoro-lab results list`.")
    held = gate_run(blocks, budgets, place.run(chosen), only=only, use_contaminated=use_contaminated)
    rows = [item.as_dict() for item in held]
    notes = model_notes(blocks) + (["Contaminated blocks are used, too."] if use_contaminated else [])
    title = f"Run {chosen} against its budgets"
    if as_json:
        print_json({"run_id": chosen, "rows": rows, "notes": notes, "passed": not _open(held)})
    elif as_markdown:
        print_markdown(rows, COLUMNS, title=title, notes=notes)
    else:
        print_table(rows, COLUMNS, title=title)
    for note in notes:
        notice(note)
    _conclude(chosen, held)


def _open(held: Sequence[Gated]) -> list[Gated]:
    """What keeps the gate from being passed."""
    return [item for item in held if item.status not in ("passed", "not judged")]


def _conclude(run_id: str, held: Sequence[Gated]) -> None:
    """Raise the worst that is to be said."""
    for status, error in (
        ("failed", RegressedError),
        ("not measured", NothingMeasuredError),
        ("inconclusive", InconclusiveError),
    ):
        found = [item for item in held if item.status == status]
        if found:
            words = "; ".join(f"{item.budget.name}: {item.reason or item.budget.limit}" for item in found)
            raise error(f"Of {len(held)} budgets {len(found)} {status}: {words}.")
    if not any(item.status == "passed" for item in held):
        raise NothingMeasuredError(f"Run {run_id} has nothing that these budgets can judge: measure the whole model.")
    counts = Counter(item.status for item in held)
    notice(f"Run {run_id}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
