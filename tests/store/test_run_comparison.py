"""Cells of one run, compared by pairs: what a selector names, and what the lines come to."""

from __future__ import annotations

import pytest
from store_blocks import REFERENCE, SLOWER, cell, failed, judged, rounds

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.measure.records.cell import Block, QuietReading
from kokoro_lab.store.cell_selectors import parse_selector
from kokoro_lab.store.run_comparison import ComparisonReport, compare_within

LONGER = {"text": "Hello world, once more!", "text_preset": "medium"}


def compared(blocks: list[Block], base: str, candidate: str, **how: object) -> ComparisonReport:
    return compare_within(blocks, parse_selector(base), parse_selector(candidate), **how)


@pytest.mark.parametrize(
    ("base", "candidate"),
    [
        ("intra_op_threads=2", "intra_op_threads=1"),
        ("reference", "intra_op_threads=1"),
        (REFERENCE.id, SLOWER.id),
        (REFERENCE.id[:8], "intra_op_threads=1,text=short"),
    ],
)
def test_cells_may_be_named_by_levels_by_id_or_as_the_reference(base: str, candidate: str) -> None:
    found = compared(rounds(REFERENCE, 100.0) + rounds(SLOWER, 120.0), base, candidate)
    (line,) = found.lines
    assert (line.comparison.verdict, line.comparison.pairs, line.texts) == ("slower", 12, ("short",))
    assert line.comparison.low is not None and line.comparison.low < 1.2 < (line.comparison.high or 0)
    assert found.outcome == "regressed" and found.interleaved
    assert "intra_op_threads=1" in line.candidate


def test_the_other_way_round_it_is_faster_and_no_regression() -> None:
    found = compared(rounds(REFERENCE, 100.0) + rounds(SLOWER, 120.0), "intra_op_threads=1", "intra_op_threads=2")
    assert found.lines[0].comparison.verdict == "faster" and found.outcome == "no regression"


def test_texts_are_strata_of_one_comparison_and_states_are_comparisons_of_their_own() -> None:
    blocks = []
    for factors in ({}, LONGER, {"state": "cold"}):
        blocks += rounds(cell(2, reference="state" not in factors, **factors), 100.0, 6)
        blocks += rounds(cell(1, **factors), 120.0, 6)
    found = compared(blocks, "intra_op_threads=2", "intra_op_threads=1")
    assert sorted((line.texts, line.comparison.pairs) for line in found.lines) == [
        (("short",), 6),
        (("short", "medium"), 12),
    ]
    assert {line.comparison.comparisons for line in found.lines} == {2}
    only = compared(blocks, "intra_op_threads=2,state=cold", "intra_op_threads=1,state=cold")
    assert [line.texts for line in only.lines] == [("short",)]


def test_settings_and_options_can_be_named() -> None:
    small, large = (cell(2, engine_settings=[["chunk_ms", size]]) for size in (50, 80))
    found = compared(
        rounds(REFERENCE, 90.0) + rounds(small, 100.0) + rounds(large, 110.0),
        "engine_settings.chunk_ms=50",
        "engine_settings.chunk_ms=80",
    )
    assert [line.comparison.verdict for line in found.lines] == ["slower"]
    assert "chunk_ms=80" in found.lines[0].candidate


def test_twins_are_compared_only_when_they_are_named() -> None:
    twin = cell(2, replica=1)
    blocks = rounds(REFERENCE, 100.0) + rounds(twin, 100.1) + rounds(SLOWER, 120.0)
    assert len(compared(blocks, "intra_op_threads=2", "intra_op_threads=1").lines) == 1
    (line,) = compared(blocks, "replica=0,intra_op_threads=2", "replica=1,intra_op_threads=2").lines
    assert line.comparison.verdict == "equivalent"


def test_few_pairs_are_inconclusive_and_different_audio_is_a_regression_however_fast() -> None:
    assert compared(rounds(REFERENCE, 100.0, 3) + rounds(SLOWER, 120.0, 3), "reference", SLOWER.id).outcome == (
        "inconclusive"
    )
    wrong = rounds(SLOWER, 50.0, gate=judged("different"))
    found = compared(rounds(REFERENCE, 100.0) + wrong, "reference", SLOWER.id)
    assert found.lines[0].comparison.verdict == "invalid" and found.outcome == "regressed"


def test_contaminated_blocks_count_only_when_it_is_asked_for_and_then_it_is_said() -> None:
    dirty = rounds(SLOWER, 120.0, quiet=QuietReading(True, "busy", 0.5))
    blocks = rounds(REFERENCE, 100.0) + dirty
    found = compared(blocks, "reference", SLOWER.id)
    assert found.outcome == "nothing measured" and found.lines[0].comparison.left_out == {"contaminated": 12}
    used = compared(blocks, "reference", SLOWER.id, use_contaminated=True)
    assert used.outcome == "regressed" and any("ontaminated" in note for note in used.notes)


def test_what_was_never_measured_is_not_compared() -> None:
    unavailable = cell(2, provider="cuda")
    found = compared([*rounds(REFERENCE, 100.0), failed(of=unavailable)], "reference", "provider=cuda")
    assert found.outcome == "nothing measured"
    with pytest.raises(NothingMeasuredError, match="'r9'"):
        compared([], "reference", "provider=cuda", run_id="r9")


def test_the_tiny_architecture_is_named_beside_its_figures() -> None:
    assert "tiny" in compared(rounds(REFERENCE, 100.0) + rounds(SLOWER, 120.0), "reference", SLOWER.id).notes[0]


@pytest.mark.parametrize(
    ("base", "candidate", "words"),
    [
        ("intra_op_threads=9", "intra_op_threads=1", "no cell of the run matches 'intra_op_threads=9'"),
        ("delivery=whole", "intra_op_threads=1", "matches several cells"),
        ("intra_op_threads=2", "intra_op_threads=2,delivery=whole", "share no text"),
        ("intra_op_threads=1", "reference", "as the base"),
        ("reference", "intra_op_threads=2", "is the reference itself"),
        ("colour=red", "reference", "no factor 'colour'"),
        ("yesterday", "reference", "matches no measured cell"),
    ],
)
def test_a_selector_that_says_too_little_or_nothing_is_refused(base: str, candidate: str, words: str) -> None:
    blocks = [item for threads in (1, 2, 3) for item in rounds(cell(threads, reference=threads == 2), 100.0, 2)]
    with pytest.raises(InputError, match=words):
        compared(blocks, base, candidate)
