"""What the store keeps and gives back."""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path

import pyarrow as pa
import pytest
from store_blocks import MODEL, RECORD, block, cell, failed

from kokoro_lab.errors import StoreError
from kokoro_lab.measure.machine.fingerprint import Fingerprint
from kokoro_lab.measure.records.cell import Cell, LoadReading, QuietReading, Repeat
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.migrations import Migration, current_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES
from kokoro_lab.store.table import Table, arrow_rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


def test_reading_an_empty_store_gives_no_rows_and_creates_nothing(store: Store) -> None:
    for name in TABLES:
        assert store.frame(name).empty
        assert store.history(name) == []
    assert store.runs() == [] and store.latest_run() is None and store.done("r1") == set()
    assert set(store.versions().values()) == {None}
    assert not store.root.exists()


def test_a_block_comes_back_as_one_cell_row_and_one_row_a_repeat(store: Store) -> None:
    assert store.append_block(RECORD, block(0, repeats=3, total_ms=12.5))
    samples, cells = store.samples("r1"), store.cells("r1")
    assert list(samples["repeat"]) == [0, 1, 2]
    assert set(samples["total_ms"]) == {12.5}
    row = cells.iloc[0]
    assert (row["status"], row["samples"], row["weights"], row["architecture"]) == ("ok", 3, "stand-in", "tiny")
    assert row["configuration"] == cell().as_dict()
    assert row["nodes"] == {"cpu": 7} and row["durations"] == [1, 2, 3] and row["load_ms"] == {"import": 100.0}
    assert row["gate"] == "equivalent" and row["other_cpu_share"] == 0.01
    assert math.isnan(row["steal_share"])
    assert store.done("r1") == {(cell().id, 0)}
    assert store.done("another") == set()


def test_repeating_an_append_changes_nothing_not_even_a_version(store: Store) -> None:
    store.append_block(RECORD, block(0, total_ms=1.0))
    before = store.versions()
    assert store.append_block(RECORD, block(0, total_ms=2.0)) is False
    assert store.versions() == before
    assert set(store.samples()["total_ms"]) == {1.0}


def test_a_failed_block_has_a_row_with_its_error_and_what_would_have_run(store: Store) -> None:
    store.append_block(RECORD, failed(status="unavailable"))
    row = store.cells().iloc[0]
    assert (row["status"], row["error"], row["samples"]) == ("unavailable", "The provider is not in this build.", 0)
    assert (row["weights"], row["model_sha256"], row["effective_provider"]) == ("stand-in", "ab" * 32, "")
    assert store.samples().empty
    assert store.done("r1") == {(cell(provider="cuda").id, 0)}


def test_numbers_that_must_be_there_are_refused_when_missing_or_not_finite(store: Store) -> None:
    with pytest.raises(StoreError, match="nan in total_ms"):
        store.append_block(RECORD, block(0, total_ms=math.nan))
    assert store.done("r1") == set() and store.samples().empty


def test_rows_with_unknown_columns_or_wrong_kinds_are_refused() -> None:
    with pytest.raises(StoreError, match="no column colour"):
        arrow_rows(TABLES["machines"], [{"colour": "red"}])
    with pytest.raises(StoreError, match="does not fit"):
        arrow_rows(TABLES["notebooks"], [{**dict.fromkeys(TABLES["notebooks"].columns.names, "x")}])


def test_earlier_versions_read_as_they_were(store: Store) -> None:
    store.append_block(RECORD, block(0))
    cited = store.versions()
    store.append_block(RECORD, block(1))
    store.append_block(RECORD, failed())
    then = store.at(cited)
    assert list(then.samples()["block"].unique()) == [0] and len(then.cells()) == 1
    assert then.versions() == cited
    assert len(store.samples(version=cited["samples"])) == 3
    assert not hasattr(then, "append_block"), "earlier versions are read only"
    with pytest.raises(StoreError, match="version 99"):
        store.samples(version=99)
    with pytest.raises(StoreError, match="no version 3"):
        store.verdicts(version=3)


def test_a_version_cited_before_a_table_was_made_stays_empty(store: Store) -> None:
    cited = store.versions()
    store.append_block(RECORD, block(0))
    assert store.at(cited).samples().empty and store.at(cited).cells().empty


def test_history_says_which_block_each_commit_brought(store: Store) -> None:
    store.append_block(RECORD, block(4))
    newest, *_, first = store.history("samples")
    assert (newest["block"], newest["run_id"], newest["rows_added"]) == ("4", "r1", 3)
    assert newest["schema_version"] == str(SCHEMA_VERSION)
    assert first["version"] == 0 and first["operation"] == "CREATE TABLE"


def test_runs_count_blocks_by_status(store: Store) -> None:
    store.append_block(RECORD, block(0))
    store.append_block(RECORD, block(1))
    store.append_block(RECORD, failed(status="unavailable"))
    (run,) = store.runs()
    assert (run["run_id"], run["blocks"], run["ok"], run["unavailable"], run["samples"]) == ("r1", 3, 2, 1, 6)
    assert run["cells"] == 2 and run["weights"] == ["stand-in"] and run["architectures"] == ["tiny"]
    assert store.latest_run() == "r1"


def test_a_machine_is_kept_once_and_again_when_its_software_changed(store: Store) -> None:
    machine, software = Fingerprint({"cpu": "x"}, "m1"), Fingerprint({"python": "3.11"}, "s1")
    assert store.append_machine(machine, software)
    assert not store.append_machine(machine, software)
    assert store.append_machine(machine, Fingerprint({"python": "3.12"}, "s2"))
    assert list(store.machines()["facts"]) == [{"cpu": "x"}, {"cpu": "x"}]


def test_each_execution_of_a_notebook_is_an_attempt_of_its_own(store: Store) -> None:
    ending = {"run_id": "r1", "notebook": "providers", "plan": "quick", "executed": "providers.ipynb", "wall_s": 2.0}
    moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    assert store.append_notebook(NotebookRun(**ending, status="error", error="boom", started_at=moment)) == 0
    assert store.append_notebook(NotebookRun(**ending, status="ok", error="", started_at=moment)) == 1
    assert sorted(store.notebooks("r1")["attempt"]) == [0, 1]


def test_an_unknown_table_is_named_with_those_there_are(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no table 'sample'.*samples, cells"):
        store.history("sample")


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "tables").append_block(RECORD, block(0))


def test_damaged_files_are_a_store_error_that_names_the_table(store: Store) -> None:
    store.append_block(RECORD, block(0))
    for path in (store.root / "samples").rglob("*.parquet"):
        path.write_bytes(b"not parquet")
    with pytest.raises(StoreError, match=r"samples .*cannot be read"):
        store.samples()


def older(rows: pa.Table, version: int) -> pa.Table:
    index = rows.column_names.index("schema_version")
    return rows.set_column(index, "schema_version", pa.array([version] * rows.num_rows, pa.int32()))


def test_rows_of_several_versions_are_read_as_the_current_one() -> None:
    table = TABLES["notebooks"]
    row = dict.fromkeys(table.columns.names, "") | {"attempt": 0, "wall_s": 1.5, "started_at": 0, "run_id": "r1"}
    rows = arrow_rows(table, [row])
    seconds = older(rows, 1).rename_columns(["duration_s" if n == "wall_s" else n for n in rows.column_names])
    rename = Migration(
        2,
        "duration_s becomes wall_s",
        frozenset({"notebooks"}),
        lambda old: old.append_column("wall_s", old["duration_s"]).drop_columns(["duration_s"]),
    )
    both = pa.concat_tables([seconds, older(rows, 2)], promote_options="default")
    read = current_rows(both, table, migrations=[rename], version=2)
    assert read["wall_s"].to_pylist() == [1.5, 1.5]
    assert read.schema.equals(table.columns)


@pytest.mark.parametrize("name", ["samples", "cells"])
def test_rows_of_version_1_do_not_say_which_variant_ran(store: Store, name: str) -> None:
    opened = dataclasses.replace(MODEL, variant="kernels-fp32", kernels="v4", preoptimized=True)
    plain = block(0)
    store.append_block(RECORD, dataclasses.replace(plain, result=dataclasses.replace(plain.result, model=opened)))
    rows = Table(store.root / name, TABLES[name]).read()
    run_id = rows["run_id"][0].as_py()
    new = ["variant", "kernels", "preoptimized"]
    assert [rows[column][0].as_py() for column in new] == ["kernels-fp32", "v4", True]
    both = pa.concat_tables([older(rows.drop_columns(new), 1), rows], promote_options="default")
    read = current_rows(both, TABLES[name])
    for column in new:
        assert read[column].to_pylist() == [None] * rows.num_rows + rows[column].to_pylist()
    assert stored_blocks(store, run_id)[0].result.model == opened


def test_rows_of_a_newer_version_and_foreign_tables_are_refused() -> None:
    table = TABLES["machines"]
    row = {"machine_id": "m", "software_id": "s", "first_seen_at": 0, "facts": {}, "software": {}}
    rows = arrow_rows(table, [row])
    with pytest.raises(StoreError, match="upgrade kokoro-lab"):
        current_rows(older(rows, SCHEMA_VERSION + 1), table)
    with pytest.raises(StoreError, match="lacks the columns facts"):
        current_rows(rows.drop_columns(["facts"]), table)


def test_every_factor_and_every_figure_has_a_column() -> None:
    samples, cells = (set(TABLES[name].columns.names) for name in ("samples", "cells"))
    factors = {field.name for field in dataclasses.fields(Cell)} - {"text", "repeats", "warmup_cap"}
    assert factors <= samples & cells
    assert {field.name for field in dataclasses.fields(Repeat)} <= samples
    assert {field.name for field in dataclasses.fields(QuietReading)} - {"reason"} <= cells


def test_what_a_load_and_a_stream_tell_is_kept(store: Store) -> None:
    load = LoadReading(3, 0, "", 2.0, scheduled_s=(0.0, 0.5, 1.0), waited_ms=(0.0, 1.0, 2.0))
    plain = block(0, of=cell(delivery="stream", arrivals="closed", clients=2))
    store.append_block(RECORD, dataclasses.replace(plain, result=dataclasses.replace(plain.result, load=load)))
    samples = store.samples()
    assert list(samples["scheduled_s"]) == [0.0, 0.5, 1.0] and list(samples["waited_ms"]) == [0.0, 1.0, 2.0]
    assert set(samples["arrivals"]) == {"closed"} and set(samples["clients"]) == {2}
    assert store.cells()["details"].iloc[0]["load"] == load.as_dict()


def test_compaction_changes_no_row_and_no_earlier_version(store: Store) -> None:
    for number in range(12):
        store.append_block(RECORD, block(number))
    before, cited = store.samples(), store.versions()
    files = len(list((store.root / "samples").rglob("*.parquet")))
    store.compact("r1")
    assert store.versions() != cited
    assert store.samples().equals(before) and store.at(cited).samples().equals(before)
    assert len(list((store.root / "samples").rglob("*.parquet"))) == files + 1, "nothing is deleted"
    assert store.append_block(RECORD, block(3)) is False and store.append_block(RECORD, block(12))


def test_a_writer_sees_what_another_has_written_since(store: Store) -> None:
    store.append_block(RECORD, block(0))
    assert Store(store.root).append_block(RECORD, block(1))
    assert store.append_block(RECORD, block(1)) is False
    assert len(store.samples()) == 6
