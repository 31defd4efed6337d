"""`results check` finds what is unreadable, lost or left over; a repair moves it out and loses nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from archive_mutations import listing
from pyarrow import parquet
from store_blocks import RECORD, block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.store import Store
from kokoro_lab.store.integrity import results_check
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.layout import Results
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    place = Results(tmp_path / "results")
    keep(Store(place.tables), "r1", block(0), block(0, of=cell(2, reference=True)))
    keep(Store(place.tables), "r2", block(1))
    return place


def put(rows: pa.Table, **values: Any) -> pa.Table:
    for column, value in values.items():
        at = rows.column_names.index(column)
        rows = rows.set_column(at, column, pa.array([value] * rows.num_rows, rows.schema.field(column).type))
    return rows


def bad_cell(**values: Any) -> pa.Table:
    return put(arrow_rows(TABLES["cells"], [cell_row(RECORD, block(9))]), **values)


def problems(place: Results) -> list[str]:
    return [finding.problem for finding in check_results(place)]


def test_a_store_in_order_has_no_findings_and_the_check_changes_nothing(place: Results) -> None:
    before = listing(place.root)
    assert check_results(place) == []
    assert listing(place.root) == before
    assert check_results(Results(place.root / "nowhere")) == []
    assert run(["results", "check"]) == 0


def test_unreadable_rows_are_counted_and_moved_out_as_they_are(place: Results) -> None:
    store = Store(place.tables)
    store._tables["cells"].append(bad_cell(details="{not json", run_id="r9"))
    store._tables["cells"].append(bad_cell(run_id="../../x"))
    store._tables["cells"].append(bad_cell(run_id=None))
    found = check_results(place)
    assert len(found) == 3 and {finding.where for finding in found} == {"tables/cells"}
    assert any("details is not JSON (the first is run_id 'r9'" in finding.problem for finding in found)
    before = store.cells()
    repaired = check_results(place, repair=True)
    assert all(finding.repaired for finding in repaired) and check_results(place) == []
    assert store.cells().equals(before)
    (kept,) = place.quarantine.glob("*/cells.parquet")
    rows = parquet.read_table(kept)
    assert sorted(rows["run_id"].to_pylist(), key=str) == [b"../../x", None, b"r9"] or rows.num_rows == 3
    assert b"{not json" in rows["details"].to_pylist()
    reasons = [json.loads(line) for line in kept.with_suffix(".jsonl").read_text().splitlines()]
    assert len(reasons) == 3 and all(each["problem"] for each in reasons)


def test_rows_of_a_killed_writer_and_doubled_rows_are_moved_out(place: Results) -> None:
    store = Store(place.tables)
    left = put(arrow_rows(TABLES["samples"], sample_rows(RECORD, block(5))), run_id="r2")
    store._tables["samples"].append(left)
    store._tables["cells"].append(store._tables["cells"].raw([("run_id", "=", "r2")]))
    assert any("3 rows: its block was never finished" in problem for problem in problems(place))
    assert any("1 row: stored twice" in problem for problem in problems(place))
    check_results(place, repair=True)
    assert check_results(place) == [] and len(store.cells()) == 3 and len(store.samples()) == 9


@pytest.mark.parametrize("damage", ["lost", "damaged", "truncated"])
def test_a_table_that_lost_a_file_is_readable_again_after_a_repair(place: Results, damage: str) -> None:
    (file,) = (place.tables / "cells").glob("run_id=r2/*.parquet")
    data = file.read_bytes()
    if damage == "lost":
        file.unlink()
    else:
        file.write_bytes(b"not parquet" if damage == "damaged" else data[: len(data) // 2])
    assert run(["results", "list"]) == 5, "the whole table is unreadable"
    assert run(["results", "check"]) == 1
    assert any(f"this data file of the table is {damage[:4]}" in each or "damaged" in each for each in problems(place))
    assert run(["results", "check", "--repair"]) == 0
    assert [each["run_id"] for each in Store(place.tables).runs()] == ["r1"]
    assert run(["results", "check"]) == 0
    if damage != "lost":
        (kept,) = place.quarantine.glob("*/tables/cells/run_id=r2/*.parquet")
        assert kept.read_bytes() in (b"not parquet", data[: len(data) // 2])


def test_lost_and_damaged_recordings_are_found_and_stay_found(place: Results) -> None:
    store, folder = Store(place.tables), place.run("r5") / "audio"
    folder.mkdir(parents=True)
    np.save(folder / "good.npy", np.zeros(24, np.float32))
    (folder / "bad.npy").write_bytes(b"x")
    for number, name in enumerate(("good", "bad", "lost")):
        row = put(bad_cell(block=number), run_id="r5", schema_version=3)  # from before seals
        store._tables["cells"].append(put(row, audio_path=f"audio/{name}.npy"))
    found = check_results(place, repair=True)
    assert [finding.where for finding in found] == ["runs/r5/audio/bad.npy", "runs/r5/audio/lost.npy"]
    assert not any(finding.repaired for finding in found) and run(["results", "check", "--repair"]) == 1


def test_recordings_of_an_imported_run_were_never_here(place: Results) -> None:
    store = Store(place.tables)
    store._tables["cells"].append(
        bad_cell(run_id="r6", schema_version=3, audio_path="audio/x.npy", origin='{"folder": "x"}')
    )
    assert check_results(place) == []


def test_damaged_files_of_a_run_are_moved_out(place: Results) -> None:
    folder = place.run("r1")
    folder.mkdir(parents=True)
    for name, text in {"plan.json": "{", "a.ipynb": "[" * 30_000, "b.job.json": "3", "c.outcome.json": "{}"}.items():
        (folder / name).write_text(text)
    assert sorted(finding.where for finding in check_results(place)) == [
        "runs/r1/a.ipynb", "runs/r1/b.job.json", "runs/r1/plan.json",
    ]  # fmt: skip
    check_results(place, repair=True)
    assert [path.name for path in folder.iterdir()] == ["c.outcome.json"]
    (kept,) = place.quarantine.glob("*/runs/r1/plan.json")
    assert kept.read_text() == "{"


def test_what_killed_processes_left_is_removed_but_not_while_a_run_is_measured(place: Results) -> None:
    folder = place.run("r1")
    (folder / "block-abc").mkdir(parents=True)
    (folder / "block-abc" / "audio.npy").write_bytes(b"x")
    (folder / "old.part").write_text("")
    os.utime(folder / "old.part", (time.time() - 7200, time.time() - 7200))
    (folder / "new.part").write_text("")
    (folder / ".index.html.a1b2c3d4.part").write_text("")
    with exclusive_measurement("run r1"):
        assert check_results(place, repair=True) == []
    names = ["runs/r1/.index.html.a1b2c3d4.part", "runs/r1/block-abc", "runs/r1/old.part"]
    assert sorted(finding.where for finding in check_results(place)) == names
    assert sorted(finding.where for finding in check_results(place, repair=True)) == names
    assert [path.name for path in folder.iterdir()] == ["new.part"]


def test_a_new_kind_of_check_is_a_function_in_a_list(place: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(name: str, raw: pa.Table, examination: Any) -> dict[int, str]:
        return {0: "too slow"} if name == "machines" or name == "cells" else {}

    monkeypatch.setattr(results_check, "ROW_CHECKS", (*results_check.ROW_CHECKS, slow))
    assert [problem.partition(" (")[0] for problem in problems(place)] == ["1 row: too slow"]


def test_the_findings_are_one_json_document(place: Results, capsys: pytest.CaptureFixture[str]) -> None:
    Store(place.tables)._tables["cells"].append(bad_cell(run_id="../x"))
    assert run(["results", "check", "--json"]) == 1
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["remaining"] == 1 and document["findings"][0]["where"] == "tables/cells"
    assert "add --repair" in said.err
    assert run(["results", "check", "--json", "--repair"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["repaired"].startswith("moved to quarantine/")
