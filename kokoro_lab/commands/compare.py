"""`kokoro-lab compare`: cells of one run, or the cells that two runs, versions, commits or folders share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kokoro_lab.commands.console import notice, print_json, print_markdown, print_table
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError, RegressedError
from kokoro_lab.store import StoreReader
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.cell_selectors import parse_selector
from kokoro_lab.store.cross_run_comparison import NOT_INTERLEAVED, compare_across
from kokoro_lab.store.layout import results
from kokoro_lab.store.run_comparison import FIGURES, ComparisonReport, compare_within
from kokoro_lab.store.run_facts.run_labels import chosen_run
from kokoro_lab.store.sides import history, side
from kokoro_lab.store.store_reader import nothing_measured

__all__ = ["compare", "conclude"]

COLUMNS = ("base", "candidate", "texts", "ratio", "low", "high", "verdict", "pairs", "runs", "gate", "reason")
ACROSS = ("candidate", "texts", "ratio", "low", "high", "verdict", "pairs", "runs", "gate", "reason")
"""Columns across runs, where a line is one cell that both sides have."""


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
    """Compare, show the lines, and raise the error whose exit code says how the comparison ended.

    Raises:
        InputError: an argument matches nothing, or the two sides are of different kinds.
        RegressedError: a line is slower, or its audio is different.
        InconclusiveError: a line is undecided, or the sides share no cell on one machine.
        NothingMeasuredError: there are no rows.
    """
    if figure not in FIGURES:
        raise InputError(f"unknown figure {figure!r}; choose one of {', '.join(FIGURES)}")
    if as_json and as_markdown:
        raise InputError("--json and --markdown exclude each other; choose one of them")
    store = StoreReader(results().tables)
    sides = [side(store, text) for text in (base, candidate)] if run_id is None else [None, None]
    if (sides[0] is None) != (sides[1] is None):
        cells, runs = (base, candidate) if sides[0] is None else (candidate, base)
        raise InputError(f"{cells!r} names cells, but {runs!r} names a run; name two cells, or two runs")
    if sides[0] is not None and sides[1] is not None:
        comparison = compare_across(
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
            raise InputError("--cell applies to comparisons across runs; name the cells with BASE and CANDIDATE")
        comparison = _within(store, base, candidate, run_id, figure, use_contaminated)
    _show(comparison, as_json=as_json, as_markdown=as_markdown)
    conclude(comparison)


def _within(
    store: StoreReader, base: str, candidate: str, run_id: str | None, figure: str, use_contaminated: bool
) -> ComparisonReport:
    selectors = [parse_selector(text) for text in (base, candidate)]
    chosen = chosen_run(store, run_id)
    if chosen is None:
        raise NothingMeasuredError(nothing_measured(store))
    notice(f"comparing cells of run {chosen}")
    return compare_within(
        stored_blocks(store, chosen),
        *selectors,
        figure=figure,
        use_contaminated=use_contaminated,
        run_id=chosen,
    )


def _show(comparison: ComparisonReport, *, as_json: bool, as_markdown: bool) -> None:
    rows = [line.as_dict() for line in comparison.lines]
    title = f"{comparison.figure}: ratio of {comparison.candidate} to {comparison.base}" + (
        "" if comparison.interleaved else f" ({NOT_INTERLEAVED})"
    )
    if as_json:
        print_json(
            {
                "rows": rows,
                "figure": comparison.figure,
                "base": comparison.base,
                "candidate": comparison.candidate,
                "interleaved": comparison.interleaved,
                "outcome": comparison.outcome,
                "notes": list(comparison.notes),
            }
        )
    elif as_markdown:
        print_markdown(rows, _columns(comparison), title=title, notes=comparison.notes)
    else:
        print_table(_short(rows), _columns(comparison), title=title)
    for note in comparison.notes:
        notice(note)


def _columns(comparison: ComparisonReport) -> tuple[str, ...]:
    return COLUMNS if comparison.interleaved else ACROSS


def _short(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with both numbers of runs as one text."""
    return [{**row, "runs": " / ".join(str(count) for count in row["runs"])} for row in rows]


def conclude(comparison: ComparisonReport) -> None:
    """Print that nothing regressed, or raise the error that says otherwise."""
    verdicts = {line.comparison.verdict for line in comparison.lines}
    if comparison.outcome == "nothing measured":
        reasons = sorted({line.comparison.reason for line in comparison.lines})
        causes = ", ".join(reason.rstrip(".") for reason in reasons)
        raise NothingMeasuredError(f"no pairs of blocks to compare ({causes}); choose sides that share clean blocks")
    if comparison.outcome == "regressed":
        slower = sum(line.comparison.verdict == "slower" for line in comparison.lines)
        different = sum(line.gate == "different" for line in comparison.lines)
        words = [f"{slower} slower"] * bool(slower) + [f"{different} with different audio"] * bool(different)
        raise RegressedError(f"{' and '.join(words)}, of {len(comparison.lines)} comparisons; see the table for which")
    if comparison.outcome == "inconclusive":
        open_ = sum(line.comparison.verdict in ("inconclusive", "invalid") for line in comparison.lines)
        raise InconclusiveError(
            f"{open_} of {len(comparison.lines)} comparisons are undecided; the table has the reasons"
        )
    notice(f"no regression: {', '.join(sorted(verdicts))}")
