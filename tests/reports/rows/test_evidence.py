"""Which rows a report takes, and what it says when there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from report_blocks import RUN, as_reference, block, cell, repeated, stored

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.reports.findings.noise_floor import noise_lines
from kokoro_lab.reports.rows.cell_summary import best, cell_figures, number
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.reports.rows.frame_statistics import rows_interval, rows_ratio, share_a_round

Load = Callable[[Sequence[Block]], Evidence]


def test_no_tables_no_run_and_no_calls_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NothingMeasuredError, match="no stored runs"):
        Evidence.load(tmp_path / "none")
    tables = stored(tmp_path, [block(cell(), status="error", error="It broke.")])
    with pytest.raises(NothingMeasuredError, match="unknown run 'other'; choose one of the latest: made-run"):
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


def test_a_replica_is_not_pooled_with_its_cell_and_shows_the_noise(of_blocks: Load) -> None:
    one, two = as_reference(cell()), cell(replica=1)
    evidence = of_blocks([*repeated(one, (100.0, 102.0)), *repeated(two, (101.0, 103.0))])
    (figure,) = cell_figures(evidence, "total_ms")
    assert (figure.measured.count, figure.cell_id) == (2, one.id)
    (line,) = noise_lines(evidence)
    assert line.twins is not None and line.twins.center == pytest.approx(1.01, abs=0.002)
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
        "openvino on 42 % of nodes, 4 threads": "ran partially",
    }
    chosen = best(list(figures.values()), "short")
    assert chosen is not None and chosen.label == "cpu, 2 threads"


def test_a_label_names_what_is_not_at_its_default(of_blocks: Load) -> None:
    of = cell(threads=0, delivery="stream", graph_level="basic", voice="am_michael")
    assert of_blocks([block(of)]).samples["label"].iloc[0] == (
        "cpu, default threads, graph level basic, delivery stream, voice am_michael"
    )


def test_a_ratio_is_of_pairs_wherever_a_round_has_both_sides_and_knows_the_drift_of_rounds(of_blocks: Load) -> None:
    drift = (100.0, 120.0, 90.0, 150.0, 80.0, 130.0, 110.0)
    slow = repeated(as_reference(cell()), drift)
    fast = repeated(cell(threads=1), [0.8 * value for value in drift])
    values = of_blocks([*slow, *fast]).values("total_ms")
    sides = [values[values["intra_op_threads"] == threads] for threads in (1, 2)]
    paired, apart = rows_ratio(*sides), rows_ratio(sides[0].assign(round=sides[0]["round"] + 100), sides[1])
    assert share_a_round(*sides) and paired is not None and apart is not None
    assert paired.low == pytest.approx(0.8) and paired.high == pytest.approx(0.8) and paired.count == 7
    assert apart.center == pytest.approx(0.8) and (apart.low or 1) < 0.7 < 0.9 < (apart.high or 0)


def test_rounds_of_different_notebooks_are_not_pairs(of_blocks: Load) -> None:
    values = of_blocks(repeated(as_reference(cell()), (100.0,) * 6)).values("total_ms")
    assert not share_a_round(values, values.assign(notebook="other"))


def test_what_has_no_value_above_zero_has_no_ratio(of_blocks: Load) -> None:
    values = of_blocks(repeated(as_reference(cell()), (100.0,) * 6)).values("total_ms")
    assert rows_ratio(values, values.assign(value=0.0)) is None
    assert rows_ratio(values, values.head(0)) is None
    assert rows_interval(values).count == 6


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
