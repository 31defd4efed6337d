"""What a measuring notebook arranges: its own job's cells, in the job's order, from blocks that nothing disturbed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from report_blocks import RUN, as_reference, block, cell, evidence_of, repeated, stored

from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.rows.cell_summary import number
from kokoro_lab.reports.rows.workbook import NotebookAnswer, arrange, joined, own_rows, setting, speed, whole
from kokoro_lab.sweeps.job import Job


def threads(row: Mapping[str, Any]) -> str:
    return str(row["intra_op_threads"])


def test_only_the_jobs_own_cells_are_shown_and_in_the_jobs_order(tmp_path: Path) -> None:
    groups = [{"text": "short", "intra_op_threads": [2, 4, 1]}]
    job = Job(run_id=RUN, notebook="made", groups=groups, budget_s=9, results=tmp_path / "results", model="stand-in")
    planned = [item.cell for item in job.planned()]
    foreign = cell("long", threads=8)
    stored(tmp_path, [block(of, number) for number, of in enumerate([foreign, *reversed(planned)])])
    rows = own_rows(job)
    assert list(dict.fromkeys(rows.samples["cell_id"])) == [of.id for of in planned]
    assert list(rows.cells["cell_id"]) == [of.id for of in planned]


def test_a_job_of_which_no_call_was_completed_says_why(tmp_path: Path) -> None:
    job = Job(
        run_id=RUN,
        notebook="made",
        groups=[{"text": "short"}],
        budget_s=9,
        results=tmp_path / "results",
        model="stand-in",
    )
    (planned,) = (item.cell for item in job.planned())
    stored(tmp_path, [block(cell("long")), block(planned, 1, status="error", error="It broke.")])
    with pytest.raises(NothingMeasuredError, match=r"made.*It broke"):
        own_rows(job)


def test_a_disturbed_block_is_a_point_and_moves_no_figure_and_no_ratio() -> None:
    base, other = as_reference(cell()), cell(threads=1)
    blocks = [*repeated(base, (100.0, 101.0, 102.0)), *repeated(other, (200.0, 202.0, 204.0))]
    blocks += [block(of, 9, (900.0, 900.0, 900.0), contaminated=True) for of in (base, other)]
    arranged = arrange(evidence_of(blocks), "total_ms", label=threads)
    figure, ratio = arranged.find("short", "2"), arranged.ratio("short", "1", "2")
    assert figure is not None and figure.measured.center == pytest.approx(101.0) and figure.measured.count == 3
    assert ratio is not None and ratio.center == pytest.approx(2.0) and ratio.count == 3
    points = arranged.points
    assert sorted(points.loc[points["label"] == "2", "value"]) == [100.0, 101.0, 102.0, 900.0]


def test_a_cell_of_which_every_block_was_disturbed_keeps_its_figure() -> None:
    blocks = [
        *repeated(as_reference(cell()), (100.0,) * 3),
        *repeated(cell(threads=1), (200.0,) * 3, contaminated=True),
    ]
    figure = arrange(evidence_of(blocks), "total_ms", label=threads).find("short", "1")
    assert figure is not None and figure.measured.center == pytest.approx(200.0) and not figure.ranked


def test_ratios_stay_under_one_heading_and_are_none_where_a_side_is_missing() -> None:
    blocks = [
        *repeated(as_reference(cell()), (100.0, 102.0, 98.0)),
        *repeated(cell(threads=1), (200.0, 204.0, 196.0)),
        *repeated(as_reference(cell("long")), (900.0, 901.0)),
    ]
    arranged = arrange(evidence_of(blocks), "total_ms", label=threads)
    assert sorted(arranged.headings) == ["long", "short"]
    ratio = arranged.ratio("short", "1", "2")
    assert ratio is not None and ratio.center == pytest.approx(2.0)
    assert arranged.ratio("long", "1", "2") is None and arranged.find("long", "1") is None


def test_cells_stand_under_the_heading_that_the_notebook_gives_them() -> None:
    evidence = evidence_of([block(as_reference(cell())), block(cell("long"), 1)])
    arranged = arrange(evidence, "total_ms", label=lambda row: str(row["text_preset"]), heading=threads)
    assert arranged.headings == ["2"] and {figure.label for figure in arranged.figures} == {"short", "long"}


def test_a_figure_that_no_cell_has_is_named() -> None:
    evidence = evidence_of([block(as_reference(cell()), audio_path="")])
    with pytest.raises(NothingMeasuredError, match="lufs"):
        arrange(evidence, "lufs", label=threads)


def test_an_answer_adds_disturbed_failed_and_tiny_rows_to_its_own_lines() -> None:
    of = as_reference(cell())
    clean = NotebookAnswer.of(evidence_of([block(of)]), ["Said."])
    assert clean.lines == ("Said.",)


def test_an_answer_counts_what_was_disturbed_and_names_what_failed() -> None:
    of = as_reference(cell())
    blocks = [
        *repeated(of, (100.0, 101.0), architecture="tiny"),
        block(of, 5, contaminated=True, architecture="tiny"),
        block(cell(threads=7), 6, status="error", error="It broke."),
    ]
    first, *rest = NotebookAnswer.of(evidence_of(blocks), ["Said."]).lines
    assert first == "Said." and len(rest) == 3
    assert "1 of 4" in rest[0]
    assert "cpu, 7 threads" in rest[1] and "It broke." in rest[1]
    assert "tiny" in rest[2]


@pytest.mark.parametrize(
    ("interval", "decided"),
    [
        (Interval(1.24, 1.20, 1.29, 8, 0.95), True),
        (Interval(0.8, 0.7, 0.9, 8, 0.95), True),
        (Interval(1.01, 0.98, 1.04, 8, 0.95), False),
        (Interval(1.5, 1.4, 1.6, 3, None), False),
        (Interval(1.5, None, None, 1), False),
    ],
    ids=["longer", "shorter", "both sides of 1", "a range", "one value"],
)
def test_a_ratio_stands_beside_its_bare_interval_only_where_that_decides(interval: Interval, decided: bool) -> None:
    words = speed(interval, "one thread")
    slower = interval.center > 1
    factor = interval.center if slower else 1 / interval.center
    assert words.startswith(f"{number(factor)}x {'slower' if slower else 'faster'} than one thread"), words
    assert "None" not in words
    assert words.endswith(")") == decided, words
    assert ("too few" in words) == (not interval.known), words


def test_a_ratio_that_was_not_measured_has_no_number() -> None:
    assert not any(letter.isdigit() for letter in speed(None, "one thread"))


def test_settings_counts_and_lists_as_a_reader_expects_them() -> None:
    row = {"engine_settings": {"chunk_ms": 80}}
    assert (setting(row, "chunk_ms", 50), setting(row, "prebuffer", 2), setting({}, "chunk_ms", 50)) == (80, 2, 50)
    assert setting({"engine_settings": None}, "chunk_ms", 50) == 50
    assert (whole(999), whole(1234567.4)) == ("999", "1\u202f234\u202f567")
    assert (joined([]), joined(["a"]), joined(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_an_answer_says_how_many_blocks_its_comparisons_would_take() -> None:
    base, *others = as_reference(cell()), cell(threads=1), cell(threads=4)
    few = [each for of in (base, *others) for each in repeated(of, (100.0, 101.0))]
    (_, words) = NotebookAnswer.of(evidence_of(few), ["Said."]).lines
    assert words.startswith("Verdicts on 2 comparisons would take at least 7 blocks per cell: set `blocks` to 7 and ")
    assert re.search(r"\(about \d+ (s|min \d+ s) more\)\.$", words)
    one = [each for of in (base, others[0]) for each in repeated(of, (100.0, 101.0))]
    assert NotebookAnswer.of(evidence_of(one), []).lines[0].startswith("A verdict would take at least 6 blocks")
    twin = [*one, *repeated(cell(replica=1), (100.0, 101.0))]
    assert NotebookAnswer.of(evidence_of(twin), []).lines[0].startswith("A verdict would take at least 6 blocks")
    enough = [each for of in (base, others[0]) for each in repeated(of, (100.0,) * 6)]
    assert NotebookAnswer.of(evidence_of(enough), []).lines == ()
