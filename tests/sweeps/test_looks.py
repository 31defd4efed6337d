"""Decided comparisons leave at the looks, and a run with looks is as seldom wrong as one without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from store_blocks import REFERENCE, SLOWER, cell, keep, rounds

from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.store import Store
from kokoro_lab.sweeps.conclude import conclude, verdict_rows
from kokoro_lab.sweeps.current_verdicts import judged_again
from kokoro_lab.sweeps.looks import DECIDED, Looks, decisive_figure

TWIN = replace(REFERENCE, reference=False, replica=1)
SAME = cell(3)
OTHER_TEXT = Cell("tiny", "Something else.", text_preset="medium", reference=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


def measured(*noisy: Cell, count: int = 12) -> list[Block]:
    """Rounds of a reference, a cell twice as slow, an A/A twin, a text without comparisons, and noisy cells."""
    blocks = rounds(REFERENCE, 10.0, count) + rounds(SLOWER, 20.0, count) + rounds(TWIN, 10.0, count)
    blocks += rounds(OTHER_TEXT, 30.0, count)
    for of in noisy:
        blocks += rounds(of, 10.0, count, spread=0.2)
    return blocks


def test_it_looks_only_after_the_rounds_that_were_fixed_before(store: Store) -> None:
    looks = Looks(store, "r1", [9], measured())
    assert [number for number in range(1, 13) if looks.leaving(number)] == [9]


def test_decided_comparisons_leave_with_their_reference_and_their_twins(store: Store) -> None:
    assert Looks(store, "r1", [9], measured()).leaving(9) == {REFERENCE.id, SLOWER.id, TWIN.id}


def test_the_reference_stays_as_long_as_a_comparison_needs_it(store: Store) -> None:
    looks = Looks(store, "r1", [9], measured(SAME))
    assert looks.undecided() == {SAME.id}
    assert looks.leaving(9) == {SLOWER.id, TWIN.id}


def test_a_look_sees_the_rounds_before_it_and_no_later_ones(store: Store) -> None:
    late = [replace(block, round=block.round + 20, block=block.block + 20) for block in measured(SAME)]
    early = measured(SAME)
    assert Looks(store, "r1", [9], early + late).leaving(9) == Looks(store, "r1", [9], early).leaving(9)


def test_a_comparison_that_can_never_be_judged_leaves_too(store: Store) -> None:
    wrong = [replace(block, gate=replace(block.gate, verdict="different")) for block in rounds(SAME, 9.0) if block.gate]
    looks = Looks(store, "r1", [9], measured() + wrong)
    assert SAME.id in looks.leaving(9)


def test_each_look_has_its_share_of_the_level() -> None:
    blocks = rounds(REFERENCE, 10.0, 6) + rounds(SLOWER, 20.0, 6)
    once, twice = (verdict_rows("r1", blocks, looks=looks) for looks in (1, 2))
    assert {row["verdict"] for row in once if row["details"]["kind"] == "cell"} == {"slower"}
    judged = [row for row in twice if row["details"]["kind"] == "cell"]
    assert {row["verdict"] for row in judged} == {"inconclusive"} and "at least 7" in judged[0]["reason"]
    assert {row["details"]["looks"] for row in judged} == {2}
    assert {row["details"]["confidence"] for row in judged} == {0.975}


def test_what_is_judged_again_has_the_level_of_its_looks(store: Store) -> None:
    blocks = rounds(REFERENCE, 10.0, 6) + rounds(SLOWER, 20.0, 6)
    keep(store, "r1", *blocks)
    conclude(store, "r1", {REFERENCE.id, SLOWER.id}, looks=2)
    again = judged_again(store.rows("verdicts"), store.rows("cells"), store.rows("samples")).to_pylist()
    assert {row["verdict"] for row in again if json.loads(row["details"])["kind"] == "cell"} == {"inconclusive"}


def test_a_stream_is_decided_by_its_first_audio() -> None:
    assert decisive_figure(cell(delivery="stream")) == "ttfa_ms"
    assert decisive_figure(cell()) == "total_ms"
    assert "inconclusive" not in DECIDED
