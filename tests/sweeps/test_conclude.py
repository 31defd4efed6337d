"""What a run says at its end: verdict rows from made-up blocks, written once whatever happens in between."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, GateReading, ModelReading, QuietReading, Repeat
from kokoro_lab.store import RunRecord, Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.sweeps.conclude import FIGURES, conclude, verdict_rows

REFERENCE = Cell("tiny", "Hello world!", text_preset="short", intra_op_threads=2, reference=True)
SLOWER = dataclasses.replace(REFERENCE, intra_op_threads=1, reference=False)
TWIN = dataclasses.replace(REFERENCE, replica=1, reference=False)
RECORD = RunRecord(run_id="r1", machine_id="m", software_id="s")
MODEL = ModelReading("tiny", "ab" * 32, "stand-in", "full", "fp32")


def blocks(cell: Cell, factor: float, count: int = 12, *, gate: str = "equivalent", digest: str = "") -> list[Block]:
    rng = np.random.default_rng(int(cell.id, 16) % 2**32)
    made = []
    for number in range(count):
        ms = 100.0 * factor * float(np.exp(rng.normal(0.0, 0.004)))
        repeats = tuple(Repeat(i, ms, ms + 1, 1.0, 1.0, ms / 1000, 0, 0, 0, ms, 0, 0, 50.0, True) for i in range(2))
        result = BlockResult("ok", repeats=repeats, became_steady=True, settings_digest=digest, model=MODEL)
        reading = GateReading.from_dict({"verdict": gate, "reference": REFERENCE.id, "reasons": ["why"]})
        moment = f"2026-11-20T10:{number:02d}:00+00:00"
        made.append(Block(cell, number, number, number, result, QuietReading(False), reading, started_at=moment))
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


def keep(store: Store, *found: Block) -> set[str]:
    for block in found:
        store.append_block(RECORD, block)
    return {block.cell.id for block in found}


def test_blocks_come_back_from_the_store_as_they_went_in(store: Store) -> None:
    found = blocks(REFERENCE, 1.0, 2, digest="d") + blocks(SLOWER, 1.2, 2, gate="close")
    retry = dataclasses.replace(found[0], block=10_000, attempt=1, replaces=0, quiet=QuietReading(True, "busy", 0.2))
    cells = keep(store, *found, retry)
    read = sorted(stored_blocks(store, "r1"), key=lambda block: block.key)
    assert read == sorted([*found, retry], key=lambda block: block.key)
    assert {block.cell.id for block in stored_blocks(store, "r1", cells - {SLOWER.id})} == {REFERENCE.id}


def test_every_comparison_pair_of_twins_and_text_has_a_row_a_figure(store: Store) -> None:
    cells = keep(store, *blocks(REFERENCE, 1.0), *blocks(SLOWER, 1.2), *blocks(TWIN, 1.0))
    assert conclude(store, "r1", cells) == 3 * len(FIGURES)
    rows = store.verdicts("r1")
    total = rows[rows["metric"] == "total_ms"]
    total = total.set_index(total["details"].map(lambda details: details["kind"]))
    slower = total.loc["cell"]
    assert (slower["verdict"], slower["base_cell"], slower["candidate_cell"]) == ("slower", REFERENCE.id, SLOWER.id)
    assert slower["ratio_low"] < 1.2 < slower["ratio_high"] and slower["pairs"] == 12
    assert (slower["margin"], slower["minimum_effect"], slower["details"]["gate"]) == (0.03, 0.03, "equivalent")
    assert total.loc["twin"]["details"]["sound"] and total.loc["twin"]["verdict"] != "slower"
    assert 0 < total.loc["noise"]["details"]["floor"] < total.loc["noise"]["details"]["detectable"] < 0.05
    assert "short" in total.loc["noise"]["reason"]
    needed = total.loc["noise"]["details"]["blocks_needed"]
    assert 6 <= needed <= 8 and f"{needed} blocks per cell detect an effect of 5%" in total.loc["noise"]["reason"]


def test_concluding_again_changes_nothing_and_more_blocks_replace_what_was_said(store: Store) -> None:
    cells = keep(store, *blocks(REFERENCE, 1.0, 4), *blocks(SLOWER, 1.2, 4))
    conclude(store, "r1", cells)
    keep(store, *[dataclasses.replace(block) for block in blocks(REFERENCE, 1.0, 4)])
    before, versions = store.verdicts(), store.versions()
    assert conclude(store, "r1", cells) == 0
    assert store.versions() == versions
    assert set(before.loc[before["verdict"] != "noise", "verdict"]) == {"inconclusive"}
    keep(store, *blocks(REFERENCE, 1.0), *blocks(SLOWER, 1.2))
    assert conclude(store, "r1", cells) == len(before)
    after = store.verdicts("r1")
    assert len(after) == len(before) and not after.duplicated(["base_cell", "candidate_cell", "metric"]).any()
    assert set(after.loc[after["verdict"] != "noise", "verdict"]) == {"slower"}
    assert store.at(versions).verdicts().equals(before)


def test_a_verdict_of_another_job_of_the_run_stays(store: Store) -> None:
    other = dataclasses.replace(REFERENCE, text="Another text", text_preset="medium")
    first, second = (keep(store, *blocks(cell, 1.0, 2)) for cell in (REFERENCE, other))
    conclude(store, "r1", first)
    conclude(store, "r1", second)
    keep(store, *blocks(REFERENCE, 1.0, 5))
    conclude(store, "r1", first)
    assert set(store.verdicts("r1")["base_cell"]) == {REFERENCE.id, other.id}


def test_different_audio_is_invalid_and_a_placebo_is_called_one() -> None:
    wrong = blocks(SLOWER, 0.5, gate="different")
    rows = verdict_rows("r1", blocks(REFERENCE, 1.0) + wrong)
    (total,) = [row for row in rows if row["metric"] == "total_ms" and row["details"]["kind"] == "cell"]
    assert total["verdict"] == "invalid" and "audio" in total["reason"]
    same = verdict_rows("r1", blocks(REFERENCE, 1.0, digest="d") + blocks(SLOWER, 1.0, digest="d"))
    (placebo,) = [row for row in same if row["verdict"] == "placebo"]
    assert placebo["details"]["factor"] == "intra_op_threads" and placebo["details"]["levels"] == [2, 1]
    assert not [row for row in rows if row["verdict"] == "placebo"]


def test_nothing_is_said_of_a_run_that_completed_no_call() -> None:
    failed = dataclasses.replace(blocks(REFERENCE, 1.0, 1)[0], result=BlockResult("error", "it broke"))
    assert verdict_rows("r1", [failed]) == []
