"""Blocks, chains and verdicts that do not hold are findings of the check, and a repair says what it did about them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sealed_rows import Rows, put
from store_blocks import RECORD, block

from kokoro_lab.cli import run
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.integrity.seal_checks import unsealed_blocks
from kokoro_lab.store.integrity.seals import ALTERED
from kokoro_lab.store.layout import Results
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows


def test_readers_leave_an_altered_block_out_and_the_check_takes_it_out(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    place = Results(tmp_path)
    store = Store(place.tables)
    store.merge({"cells": rows[0], "samples": put(rows[1], "total_ms", 4, 1.0)})
    assert len(store.cells("r1")) == 3 and len(store.samples("r1")) == 9 and "results check" in caplog.text
    assert [ALTERED in finding.problem for finding in check_results(place)] == [True, True]
    assert run(["results", "check", "--repair"]) == 0
    assert run(["results", "check"]) == 0, "a block in quarantine is not missing"
    assert len(store.cells("r1")) == 3 and store.seals()["r1"].missing == 1


def test_blocks_that_are_gone_are_missed_until_a_repair_notes_them(rows: Rows, tmp_path: Path) -> None:
    place = Results(tmp_path)
    kept = pc.not_equal(rows[0]["link"], 1)
    Store(place.tables).merge(
        {"cells": rows[0].filter(kept), "samples": rows[1].filter(pc.not_equal(rows[1]["block"], 1))}
    )
    (finding,) = check_results(place)
    assert "1 block is missing from the chain of run 'r1' (the first was stored as link 1)" in finding.problem
    assert check_results(place, repair=True)[0].repaired and check_results(place) == []


def test_rows_from_before_seals_are_counted_and_no_finding(tmp_path: Path) -> None:
    place = Results(tmp_path)
    old = arrow_rows(TABLES["cells"], [cell_row(RECORD, block(0))])
    at = old.column_names.index("schema_version")
    old = old.set_column(at, old.schema.field(at), pa.array([3], pa.int32()))
    store = Store(place.tables)
    store._tables["samples"].append(arrow_rows(TABLES["samples"], sample_rows(RECORD, block(0))))
    store._tables["cells"].append(old)
    store.append_block(RECORD, block(1))
    assert check_results(place) == [] and unsealed_blocks(place) == 1 and len(store.cells("r1")) == 2
    assert "1 unsealed block" in store.seals("r1")["r1"].words
