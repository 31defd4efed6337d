"""Which rows a report takes, and what it says when there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from report_blocks import RUN, as_reference, block, cell, repeated, stored

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.cell import Block
from kokoro_lab.reports.evidence import Evidence
from kokoro_lab.reports.intervals import failure_bound, interval, ratio
from kokoro_lab.reports.noise import noise_lines
from kokoro_lab.reports.summary import best, cell_figures, number

Load = Callable[[Sequence[Block]], Evidence]


def test_no_tables_no_run_and_no_calls_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasuredError, match="no rows"):
        Evidence.load(tmp_path / "none")
    tables = stored(tmp_path, [block(cell(), status="error", error="It broke.")])
    with pytest.raises(NothingMeasuredError, match="No run is called 'other': the latest are made-run"):
        Evidence.load(tables, "other")
    with pytest.raises(NothingMeasuredError, match=r"completed no call.*It broke\.") as caught:
        Evidence.load(tables, RUN)
    assert caught.value.exit_code == 4


def test_the_newest_run_is_taken_when_none_is_named(tmp_path: Path) -> None:
    stored(tmp_path, [block(cell(), 0)], "older")
    tables = stored(tmp_path, [block(cell(), 5)], "newer")
    assert Evidence.load(tables).run_id == "newer"


def test_cited_versions_give_the_same_rows_after_more_were_written(tmp_path: Path) -> None:
    tables = stored(tmp_path, repeated(as_reference(cell()), (100.0, 101.0)))
    before = Evidence.load(tables)
    stored(tmp_path, [block(cell(), 7, (500.0,))])
    again = Evidence.load(tables, RUN, before.versions)
    assert again.samples.equals(before.samples) and again.cells.equals(before.cells)
    assert len(Evidence.load(tables).samples) > len(before.samples)


def test_replicas_of_a_cell_make_one_figure_and_show_the_noise(of_blocks: Load) -> None:
    one, two = as_reference(cell()), cell(replica=1)
    evidence = of_blocks([*repeated(one, (100.0, 102.0)), *repeated(two, (101.0, 103.0))])
    (figure,) = cell_figures(evidence, "total_ms")
    assert figure.measured.blocks == 4
    (line,) = noise_lines(evidence)
    assert line.twins is not None and line.twins.median == pytest.approx(1.01, abs=0.002)
    assert line.spread is not None and 0.005 < line.spread < 0.03 and line.detectable is None


def test_a_figure_that_is_not_ranked_says_why(of_blocks: Load) -> None:
    blocks = [
        *repeated(as_reference(cell()), (100.0, 101.0)),
        *repeated(cell(threads=1), (50.0, 51.0), gate="different"),
        *repeated(cell(threads=3), (60.0, 61.0), contaminated=True),
        *repeated(cell(threads=4, provider="openvino"), (70.0, 71.0), status="partial", share=0.42),
    ]
    figures = {figure.label: figure for figure in cell_figures(of_blocks(blocks), "total_ms")}
    assert {label: figure.note for label, figure in figures.items()} == {
        "cpu, 2 threads": "",
        "cpu, 1 thread": "audio differs",
        "cpu, 3 threads": "disturbed",
        "openvino on 42 % of nodes, 4 threads": "ran in part",
    }
    chosen = best(list(figures.values()), "short")
    assert chosen is not None and chosen.label == "cpu, 2 threads"


def test_a_label_names_what_is_not_at_its_default(of_blocks: Load) -> None:
    of = cell(threads=0, delivery="stream", graph_level="basic", voice="am_michael")
    assert of_blocks([block(of)]).samples["label"].iloc[0] == (
        "cpu, default threads, graph level basic, delivery stream, voice am_michael"
    )


def test_an_interval_counts_blocks_and_never_repeats() -> None:
    few = interval([[100.0] * 50, [110.0] * 50])
    assert few.blocks == 2 and few.low is not None and few.low < 90
    assert not interval([[1.0, 2.0, 3.0]]).known
    with pytest.raises(ValueError, match="at least one block"):
        interval([[1.0], []])


def test_a_ratio_holds_one_for_equal_sides() -> None:
    same = ratio([[100.0], [102.0], [98.0]], [[101.0], [99.0], [100.0]])
    assert (same.low or 9) < 1 < (same.high or 0)


def test_a_bound_of_failures_covers_more_than_was_seen() -> None:
    assert failure_bound(0, 299)[1] == pytest.approx(0.01, abs=2e-4)
    low, high = failure_bound(5, 100)
    assert low < 0.05 < high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.33814, "0.338"),
        (26.14, "26.1"),
        (1449.98, "1\u202f450"),
        (999.6, "1\u202f000"),
        (-2.5, "\u22122.50"),
    ],
)
def test_numbers_have_three_digits_and_are_whole_above_a_thousand(value: float, text: str) -> None:
    assert number(value) == text
