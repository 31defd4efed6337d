"""Two runs side by side: the same cells, both values, and the factor between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_blocks import RUN, as_reference, cell, evidence_of, repeated, stored

from kokoro_lab.cli import run
from kokoro_lab.errors import NothingMeasuredError
from kokoro_lab.reports.page.publish import compare_published
from kokoro_lab.reports.page.side_by_side import change_rows, side_by_side

BASE, OTHER = as_reference(cell()), cell(threads=1)


def test_two_runs_are_compared_cell_by_cell() -> None:
    earlier = evidence_of([*repeated(BASE, (100.0,) * 8), *repeated(OTHER, (190.0,) * 8)])
    later = evidence_of([*repeated(BASE, (50.0,) * 8), *repeated(OTHER, (190.0,) * 8)])
    changes = compare_published(earlier, later, ("total_ms",))
    rows = change_rows(changes)
    assert [(row.verdict, row.words) for row in rows] == [("faster", "2.00x faster"), ("undecided", "1.00x faster")]
    text = side_by_side(changes, "before", "after")
    assert "100 ms" in text and "50.0 ms" in text and "after beside before" in text
    assert "not in alternation" in text and "<script src" not in text


def test_runs_without_a_common_cell_have_nothing_to_compare() -> None:
    one, other = evidence_of(repeated(BASE, (100.0,) * 6)), evidence_of(repeated(OTHER, (100.0,) * 6))
    with pytest.raises(NothingMeasuredError, match=f"run {RUN} shares no undisturbed cell"):
        compare_published(one, other)


def test_a_name_that_is_neither_a_report_nor_a_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path, repeated(BASE, (100.0, 101.0)))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    assert run(["report", "--against", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
