"""Blocks of different bytes are never pooled, wherever blocks are pooled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_blocks import REFERENCE, SLOWER, rounds

from kokoro_lab.measure.records.cell import Block, Cell, ModelReading
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.measure.statistics.same_bytes import SameBytes, differences, parts_of, poolable, values_by_cell
from kokoro_lab.measure.statistics.verdicts import judge_run
from kokoro_lab.store.cell_selectors import parse_selector
from kokoro_lab.store.run_comparison import compare_within

SUMS = BlockIdentity(model="aa", text="bb", voice="cc", code="dd", packages="ee")


def identified(blocks: list[Block], identity: BlockIdentity | None = SUMS) -> list[Block]:
    return [replace(block, result=replace(block.result, identity=identity)) for block in blocks]


def recorded(blocks: list[Block], sha256: str) -> list[Block]:
    model = ModelReading("tiny", sha256, "stand-in", "tiny", "fp32")
    return [replace(block, result=replace(block.result, model=model)) for block in blocks]


@pytest.mark.parametrize("part", ["model", "voice", "code", "packages"])
def test_blocks_of_other_bytes_give_no_pair_and_the_reason_is_said(part: str) -> None:
    base, slower = identified(rounds(REFERENCE, 100.0, 8)), identified(rounds(SLOWER, 120.0, 8))
    (judged,) = judge_run(base + slower).cells
    assert (judged.comparison.verdict, judged.comparison.pairs) == ("slower", 8)
    other = replace(SUMS, **{part: "00"})
    mixed = base + slower[:5] + identified(slower[5:], other)
    (judged,) = judge_run(mixed).cells
    assert judged.comparison.pairs == 5
    assert judged.comparison.left_out == {f"measured other bytes ({part})": 3}
    assert len(poolable(mixed)) == 13


def test_two_files_of_one_name_are_told_apart_in_rows_from_before_identities_too() -> None:
    slower = rounds(SLOWER, 120.0, 8)
    blocks = rounds(REFERENCE, 100.0, 8) + slower[:5] + recorded(slower[5:], "cd" * 32)
    (judged,) = judge_run(blocks).cells
    assert judged.comparison.left_out == {"measured other bytes (model)": 3}
    report = compare_within(blocks, parse_selector("reference"), parse_selector(SLOWER.id))
    assert report.lines[0].comparison.pairs == 5
    assert any(note.startswith("3 of 16 blocks") for note in report.notes)
    assert any(note.startswith("unverified") for note in report.notes)


def test_an_unverified_block_and_one_with_an_identity_are_not_pooled() -> None:
    slower = rounds(SLOWER, 120.0, 4)
    values = values_by_cell(slower[:2] + identified(slower[2:]))[SLOWER]
    assert [bool(value.refused) for value in values] == [False, False, True, True]


def test_one_model_is_the_same_file_in_all_cells_and_another_model_is_another() -> None:
    seen = SameBytes(identified(rounds(REFERENCE, 100.0, 1)))
    other = replace(SUMS, model="00")
    parts = parts_of(other, "")
    assert seen.take(replace(SLOWER, repeats=7), parts) == ("model",)
    assert seen.take(replace(SLOWER, model="another"), parts) == ()
    assert seen.take(replace(SLOWER, environment="openvino"), parts_of(replace(other, code="11"), "")) == ()


def test_a_part_that_a_block_does_not_have_says_nothing_about_it() -> None:
    empty = replace(SUMS, model="", voice="")
    for first, second in ((empty, SUMS), (SUMS, empty)):
        seen = SameBytes()
        assert seen.take(SLOWER, parts_of(first, "")) == seen.take(SLOWER, parts_of(second, "")) == ()
        assert seen.take(SLOWER, parts_of(replace(SUMS, voice="00"), "")) == ("voice",)


def test_a_cold_block_whose_files_stayed_cached_decides_nothing() -> None:
    cold = Cell("tiny", "Hi", text_preset="short", state="cold", reference=True)
    blocks = identified(rounds(cold, 100.0, 4))
    for number, said in enumerate(("cold", "cold-process")):
        result = replace(blocks[number].result, cold={"measured": said, "file_cache": "dropped"})
        blocks[number] = replace(blocks[number], result=result)
    former = replace(blocks[2].result, cold={"file_cache": "not dropped: this system has no posix_fadvise"})
    blocks[2] = replace(blocks[2], result=former)
    assert [value.refused for value in values_by_cell(blocks)[cold]] == ["", "not a cold start", "not a cold start", ""]


def test_a_block_without_a_value_defines_the_bytes_all_the_same() -> None:
    blocks = identified(rounds(REFERENCE, 100.0, 3))
    first = blocks[0].result
    repeats = tuple(replace(repeat, total_ms=0.0) for repeat in first.repeats)
    blocks[0] = replace(blocks[0], result=replace(first, repeats=repeats, identity=replace(SUMS, model="00")))
    assert poolable(blocks) == blocks[:1]
    assert [value.refused for value in values_by_cell(blocks)[REFERENCE]] == ["measured other bytes (model)"] * 2


def test_across_runs_only_what_is_known_of_both_differs() -> None:
    verified, unverified = parts_of(SUMS, "aa"), parts_of(None, "aa")
    assert differences(verified, parts_of(replace(SUMS, code="00", text="11"), "aa")) == ("text", "code")
    assert differences(verified, unverified) == ()
    assert differences(unverified, parts_of(None, "bb")) == ("model",)
