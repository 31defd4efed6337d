"""Tables of words on a page: each line has the figures of its bound, verdict, advice or notebook, and nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_blocks import as_reference, block, cell, evidence_of, repeated

from kokoro_lab.measure.statistics.intervals import Interval
from kokoro_lab.reports.findings.bound import Bound
from kokoro_lab.reports.page.sections import (
    BELOW_BOUND,
    advice_table,
    bound_table,
    cell_table,
    comparison_table,
    notebook_links,
)
from kokoro_lab.reports.rows.evidence import Evidence

BASE, OTHER = as_reference(cell()), cell(threads=1)
BOUND = Bound(
    text_preset="short",
    characters=61,
    label="cpu, 2 threads",
    model="stand-in",
    cell_id=BASE.id,
    products={"fp32": 3e9, "int8": 40e9},
    bound_ms=40.0,
    stages_ms={"phonemise_ms": 7.0, "post_process_ms": 3.0},
    measured=Interval(100.0, 98.0, 102.0, 8, 0.95),
    infer_ms=90.0,
)


def lines(html: str) -> list[list[str]]:
    """The text of every cell of a table's body, line by line."""
    body = html[html.index("<tbody>") :]
    return [
        [
            re.sub(r"<[^>]+>", "", cell).replace("\u00a0", " ")
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        ]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.S)
    ]


def with_verdicts(*rows: dict[str, Any]) -> Evidence:
    told = {"base_cell": BASE.id, "metric": "total_ms", "reason": "", "pairs": 8, "candidate_cell": OTHER.id}
    figures = {"ratio": 1.25, "ratio_low": 1.2, "ratio_high": 1.3, "verdict": "slower", "details": {"kind": "cell"}}
    frame = pd.DataFrame([{**told, **figures, **row} for row in rows])
    return dataclasses.replace(evidence_of([block(BASE), block(OTHER, 1)]), verdicts=frame)


def test_a_bound_takes_the_call_apart_into_parts_that_add_up() -> None:
    (line,) = lines(bound_table([BOUND]).text)
    cell_name, measured, products, bound, stages, zero, unexplained, gap = line
    assert "short" in cell_name and "cpu, 2 threads" in cell_name
    assert measured.startswith("100 ms") and "98" in measured and "102" in measured
    assert "3.00 G fp32" in products and "40.0 G int8" in products
    assert (bound, stages, zero) == ("40.0 ms", "10.0 ms", "50.0 ms")
    assert "50.0 ms" in unexplained and "50 %" in unexplained
    assert "2.50" in gap


def test_a_cell_that_beats_its_bound_has_no_gap_but_a_warning() -> None:
    (line,) = lines(bound_table([dataclasses.replace(BOUND, bound_ms=120.0)]).text)
    assert line[-1] == BELOW_BOUND


def test_comparisons_show_the_ratio_with_its_pairs_and_verdict() -> None:
    (line,) = lines(comparison_table(with_verdicts({"reason": "It says why."})).text)
    assert "cpu, 1 thread" in line[0] and line[1] == "cpu, 2 threads"
    assert "1.25" in line[3] and "1.20" in line[3] and "1.30" in line[3]
    assert line[4:] == ["8", "slower", "It says why."]


def test_a_comparison_without_pairs_shows_no_number() -> None:
    missing = {"ratio": None, "ratio_low": None, "ratio_high": None, "pairs": 0, "verdict": "inconclusive"}
    (line,) = lines(comparison_table(with_verdicts(missing)).text)
    assert not any(letter.isdigit() for letter in line[3] + line[4]) and line[5] == "inconclusive"


def test_cells_and_twins_are_compared_in_times_and_the_ratio_of_work_is_not_repeated() -> None:
    told = with_verdicts(
        {"metric": "total_ms"},
        {"metric": "ttfa_ms", "details": {"kind": "twin"}},
        {"metric": "rtf"},
        {"details": {"kind": "placebo"}},
    )
    whole, first = lines(comparison_table(told).text)
    assert whole[0] != first[0] and first[0].startswith(whole[0]), "a twin is marked as one"
    assert whole[2] != first[2]


def test_nothing_concluded_and_nothing_recommended_are_notes_and_no_empty_tables() -> None:
    nothing = evidence_of([block(BASE, architecture="tiny")])
    for shown in (comparison_table(nothing), advice_table(nothing, []), notebook_links(nothing)):
        assert "<table" not in shown.text and "kl-note" in shown.text


@pytest.fixture
def executed(tmp_path: Path) -> Evidence:
    """A run in which one notebook failed and then ended well, and another one failed and left no file."""
    (tmp_path / "warmup.ipynb").write_text("{}")
    known = {"wall_s": 12.4, "error": ""}
    rows = (
        {**known, "notebook": "warmup", "attempt": 2, "status": "ok"},
        {**known, "notebook": "caching", "attempt": 1, "status": "failed", "error": "a <b> & c"},
        {**known, "notebook": "warmup", "attempt": 1, "status": "failed", "error": "It broke."},
    )
    return dataclasses.replace(evidence_of([block(BASE)]), notebooks=rows, run_dir=tmp_path)


def test_each_notebook_is_listed_once_as_its_last_attempt_ended(executed: Evidence) -> None:
    by_name = {line[0]: line[1:] for line in lines(notebook_links(executed).text)}
    assert set(by_name) == {"warmup", "caching"}
    assert by_name["warmup"][:2] == ["ok", "12 s"] and by_name["caching"][0] == "failed"
    assert "It broke." not in str(by_name)


def test_only_a_notebook_that_is_there_is_linked_and_its_error_is_no_markup(executed: Evidence) -> None:
    text = notebook_links(executed).text
    assert re.findall(r'href="([^"]+)"', text) == ["warmup.html"]
    assert "&lt;b&gt; &amp; c" in text


def test_every_cell_has_a_row_with_an_anchor_and_numbers_that_sort() -> None:
    absent = cell("short", provider="coreml")
    blocks = [
        *repeated(BASE, (1450.0,) * 6),
        block(absent, 9, status="unavailable", error="It is not here.", share=0.0),
    ]
    text = cell_table(evidence_of(blocks)).text
    assert set(re.findall(r'<tr id="cell-([^"]+)"', text)) == {absent.id, BASE.id}
    here, gone = sorted(lines(text), key=lambda line: "unavailable" in line)
    assert here[7] == "1\u202f450" and 'data-sort="1450.0"' in text
    assert "unavailable" in gone and gone[7:] == ["–"] * 8
    assert "kl-data" in text and "<caption>" in text
