"""`kokoro-lab compare`: two kinds of cells of one run, or what two runs, versions, commits or folders share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kokoro_lab.commands.console import notice, print_json, print_markdown, print_table
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError, RegressedError
from kokoro_lab.store import Store
from kokoro_lab.store.across import NOT_INTERLEAVED, compare_across
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.compare import FIGURES, Compared, compare_within
from kokoro_lab.store.places import results
from kokoro_lab.store.selectors import parse_selector
from kokoro_lab.store.sides import history, side

__all__ = ["compare", "conclude"]

COLUMNS = ("base", "candidate", "texts", "ratio", "low", "high", "verdict", "pairs", "runs", "gate", "reason")
ACROSS = ("candidate", "texts", "ratio", "low", "high", "verdict", "pairs", "runs", "gate", "reason")
"""Across runs a line is one cell, which is the same on both sides."""


def compare(
    base: str,
    candidate: str,
    *,
    run_id: str | None,
    figure: str,
    only: str | None,
    use_contaminated: bool,
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Compare, show the lines, and raise what the exit code has to say.

    Raises:
        InputError: the arguments name nothing, or not two of a kind.
        RegressedError: a line is slower, or its audio is different.
        InconclusiveError: a line cannot be decided, or there is no shared cell and fingerprint.
        NothingMeasuredError: there are no rows.
    """
    if figure not in FIGURES:
        raise InputError(f"There is no figure {figure!r}: there are {', '.join(FIGURES)}.")
    if as_json and as_markdown:
        raise InputError("Give --json or --markdown, not both.")
    store = Store(results().tables)
    sides = [side(store, text) for text in (base, candidate)] if run_id is None else [None, None]
    if (sides[0] is None) != (sides[1] is None):
        one, other = (base, candidate) if sides[0] is None else (candidate, base)
        raise InputError(f"{one!r} names cells and {other!r} names runs: give two of a kind.")
    if sides[0] is not None and sides[1] is not None:
        found = compare_across(
            sides[0],
            sides[1],
            history(store),
            names=(base, candidate),
            figure=figure,
            only=None if only is None else parse_selector(only),
            use_contaminated=use_contaminated,
        )
    else:
        if only is not None:
            raise InputError("--cell chooses cells of a comparison across runs: within a run BASE and CANDIDATE do.")
        found = _within(store, base, candidate, run_id, figure, use_contaminated)
    _show(found, as_json=as_json, as_markdown=as_markdown)
    conclude(found)


def _within(
    store: Store, base: str, candidate: str, run_id: str | None, figure: str, use_contaminated: bool
) -> Compared:
    selectors = [parse_selector(text) for text in (base, candidate)]
    chosen = run_id or store.latest_run()
    if chosen is None:
        raise NothingMeasuredError("There are no runs to compare in: start one with `kokoro-lab sweep quick`.")
    notice(f"Within run {chosen}")
    return compare_within(
        stored_blocks(store, chosen),
        *selectors,
        figure=figure,
        use_contaminated=use_contaminated,
        run_id=chosen,
    )


def _show(found: Compared, *, as_json: bool, as_markdown: bool) -> None:
    rows = [line.as_dict() for line in found.lines]
    title = f"{found.candidate} over {found.base}: {found.figure}" + (
        "" if found.interleaved else f" ({NOT_INTERLEAVED})"
    )
    if as_json:
        print_json(
            {
                "rows": rows,
                "figure": found.figure,
                "base": found.base,
                "candidate": found.candidate,
                "interleaved": found.interleaved,
                "outcome": found.outcome,
                "notes": list(found.notes),
            }
        )
    elif as_markdown:
        print_markdown(rows, _columns(found), title=title, notes=found.notes)
    else:
        print_table(_short(rows), _columns(found), title=title)
    for note in found.notes:
        notice(note)


def _columns(found: Compared) -> tuple[str, ...]:
    return COLUMNS if found.interleaved else ACROSS


def _short(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "runs": " / ".join(str(count) for count in row["runs"])} for row in rows]


def conclude(found: Compared) -> None:
    """Raise what stands against saying that nothing regressed."""
    told = {line.comparison.verdict for line in found.lines}
    if found.outcome == "nothing measured":
        reasons = sorted({line.comparison.reason for line in found.lines})
        raise NothingMeasuredError(f"There is not one pair of blocks to compare: {' '.join(reasons)}")
    if found.outcome == "regressed":
        slower = sum(line.comparison.verdict == "slower" for line in found.lines)
        different = sum(line.gate == "different" for line in found.lines)
        words = [f"{slower} slower"] * bool(slower) + [f"{different} with different audio"] * bool(different)
        raise RegressedError(f"Of {len(found.lines)} comparisons {' and '.join(words)}.")
    if found.outcome == "inconclusive":
        open_ = sum(line.comparison.verdict in ("inconclusive", "invalid") for line in found.lines)
        raise InconclusiveError(f"The evidence does not decide {open_} of {len(found.lines)} comparisons.")
    notice(f"No regression: {', '.join(sorted(told))}")
