"""One line a cell: which blocks make it, what it may be ranked as, and how a number is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from report_blocks import as_reference, block, cell, repeated

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.rows import cell_summary
from kokoro_lab.reports.rows.cell_summary import (
    NARROW_SPACE,
    best,
    block_points,
    cell_figures,
    number,
    span,
    spread,
    stated,
)
from kokoro_lab.reports.rows.evidence import Evidence

Load = Callable[[Sequence[Block]], Evidence]
STEADY = (99.0, 100.0, 101.0)


def test_cells_stand_in_order_of_length_then_label(of_blocks: Load) -> None:
    blocks = [
        *repeated(as_reference(cell("long")), STEADY),
        *repeated(cell("short", threads=4), STEADY),
        *repeated(as_reference(cell("short")), STEADY),
    ]
    figures = cell_figures(of_blocks(blocks), "total_ms")
    assert [figure.text_preset for figure in figures] == ["short", "short", "long"]
    assert [figure.label for figure in figures[:2]] == sorted(figure.label for figure in figures[:2])
    assert figures[0].characters == len(cell("short").text)


def test_a_disturbed_block_is_counted_and_not_in_the_figure_unless_all_were(of_blocks: Load) -> None:
    quiet = repeated(as_reference(cell()), STEADY)
    loud = repeated(cell(threads=1), (900.0, 950.0, 1000.0), contaminated=True)
    some = block(as_reference(cell()), 3, (500.0, 501.0, 502.0), contaminated=True)
    by_label = {figure.label: figure for figure in cell_figures(of_blocks([*quiet, some, *loud]), "total_ms")}
    mixed, all_disturbed = by_label["cpu, 2 threads"], by_label["cpu, 1 thread"]
    assert (mixed.measured.center, mixed.measured.count, mixed.disturbed) == (pytest.approx(100.0), 3, 1)
    assert mixed.ranked == "equivalent" and mixed.note == ""
    assert (all_disturbed.measured.center, all_disturbed.disturbed) == (pytest.approx(950.0), 3)
    assert all_disturbed.ranked == "" and all_disturbed.note


@pytest.mark.parametrize(
    ("changed", "ranked"),
    [({"gate": "close"}, "close"), ({"gate": "different"}, ""), ({"gate": "none"}, ""), ({"status": "partial"}, "")],
)
def test_what_a_cell_is_ranked_as_follows_its_gate_and_its_provider(
    of_blocks: Load, changed: dict[str, str], ranked: str
) -> None:
    blocks = [*repeated(as_reference(cell()), STEADY), *repeated(cell(threads=1), (10.0, 10.0, 10.0), **changed)]
    (other,) = (figure for figure in cell_figures(of_blocks(blocks), "total_ms") if "1 thread" in figure.label)
    assert other.ranked == ranked
    assert bool(other.note) == (not ranked)


def test_the_worst_gate_of_a_cells_blocks_is_the_cells(of_blocks: Load) -> None:
    mixed = [*repeated(cell(threads=1), (10.0, 10.0)), block(cell(threads=1), 2, (10.0,), gate="close")]
    figures = cell_figures(of_blocks([*repeated(as_reference(cell()), STEADY), *mixed]), "total_ms")
    assert {figure.label: figure.ranked for figure in figures}["cpu, 1 thread"] == "close"


def test_the_best_of_a_text_is_the_lowest_that_is_equivalent(of_blocks: Load) -> None:
    blocks = [
        *repeated(as_reference(cell()), STEADY),
        *repeated(cell(threads=1), (80.0, 81.0, 82.0)),
        *repeated(cell(threads=4), (10.0, 10.0, 10.0), gate="close"),
    ]
    figures = cell_figures(of_blocks(blocks), "total_ms")
    chosen = best(figures, "short")
    assert chosen is not None and chosen.label == "cpu, 1 thread"
    assert best(figures, "long") is None


def test_points_are_one_a_block_and_know_which_were_disturbed(of_blocks: Load) -> None:
    blocks = repeated(as_reference(cell()), STEADY)
    points = block_points(of_blocks([*blocks, block(as_reference(cell()), 3, (7.0,), contaminated=True)]), "total_ms")
    assert sorted(points["value"].round(6)) == [7.0, 99.0, 100.0, 101.0]
    assert list(points.loc[points["value"] == 7.0, "contaminated"]) == [True]
    assert not points.loc[points["value"] > 7.0, "contaminated"].any()


def test_a_spread_has_its_interval_where_there_is_one() -> None:
    known = spread(Interval(1450.0, 1402.0, 1507.0, 8), "ms").replace(NARROW_SPACE, "")
    assert known == "1450 ms (1402 to 1507)"
    few = spread(Interval(0.338, 0.33, 0.35, 4, None))
    assert few.startswith("0.338 (") and "range" in few


def test_a_negative_number_has_a_minus_and_not_a_hyphen() -> None:
    assert number(-12.34) == "\u221212.3"
    assert number(0) == "0"


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (Interval(442.0, 430.0, 450.0, 8), "442 ms"),
        (Interval(442.0, None, None, 1, None), "442 ms (one block, no interval)"),
        (Interval(442.0, 430.0, 450.0, 4, None), "442 ms (range of 4: 430 to 450)"),
    ],
)
def test_a_stated_figure_says_what_it_lacks(measured: Interval, words: str) -> None:
    assert stated(measured, "ms") == words


def test_a_span_says_when_an_end_has_too_few_blocks() -> None:
    well, once = Interval(1.0, 0.9, 1.1, 8), Interval(3.0, None, None, 1, None)
    assert span([well, Interval(2.0, 1.9, 2.1, 8)], "s") == "1.00 to 2.00 s"
    assert "one block" in span([well, once], "s")


def test_the_title_of_a_chart_states_no_bare_value() -> None:
    """A figure in a title goes through `stated`, `span` or `spread`, which say what it lacks."""
    charts = Path(cell_summary.__file__).parents[1] / "figures"
    bare = {path.name for path in charts.glob("*.py") if re.search(r"number\([^()]*\.center", path.read_text())}
    assert bare == set()


def test_cells_with_one_label_are_told_apart_and_never_pooled(of_blocks: Load) -> None:
    one, two = as_reference(cell()), cell(repeats=9)
    figures = cell_figures(of_blocks([*repeated(one, STEADY), *repeated(two, (900.0, 901.0, 902.0))]), "total_ms")
    assert {figure.cell_id for figure in figures} == {one.id, two.id}
    assert len({figure.label for figure in figures}) == 2 and all("cell" in figure.label for figure in figures)
    assert sorted(round(figure.measured.center) for figure in figures) == [100, 901]
