"""What makes a row readable: every value that its readers rely on, and nothing that leads elsewhere."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from store_blocks import RECORD, block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.errors import StoreError
from kokoro_lab.measure.machine.fingerprint import Fingerprint
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.row_checks import Flaw, checked_rows, flaws
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES
from kokoro_lab.store.table import arrow_rows


def cells(count: int = 3) -> pa.Table:
    return arrow_rows(TABLES["cells"], [cell_row(RECORD, block(number)) for number in range(count)])


def with_value(rows: pa.Table, column: str, value: Any, at: int = 1) -> pa.Table:
    """The rows with one value replaced, of any kind that Parquet could hold there."""
    place = rows.column_names.index(column)
    kind = rows.schema.field(column).type
    values = [value if row == at else old for row, old in enumerate(rows[column].to_pylist())]
    if isinstance(value, bytes):
        encoded = [each.encode() if isinstance(each, str) else each for each in values]
        return rows.set_column(place, column, pa.array(encoded, pa.binary()).view(pa.string()))
    if isinstance(value, int) and pa.types.is_timestamp(kind):
        raw = [value if row == at else old for row, old in enumerate(rows[column].cast(pa.int64()).to_pylist())]
        return rows.set_column(place, column, pa.array(raw, pa.int64()).cast(kind))
    return rows.set_column(place, column, pa.array(values, kind))


def test_rows_of_ours_have_no_flaw() -> None:
    assert flaws(cells(), TABLES["cells"]) == {}
    samples = arrow_rows(TABLES["samples"], sample_rows(RECORD, block(0)))
    assert flaws(samples, TABLES["samples"]) == {}
    assert flaws(TABLES["cells"].columns.empty_table(), TABLES["cells"]) == {}


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("run_id", "../../../x", "is not the id of a run"),
        ("run_id", "/tmp/x", "is not the id of a run"),
        ("run_id", "latest", "is not the id of a run"),
        ("run_id", "r1\n", "is not the id of a run"),
        ("run_id", None, "has no value"),
        ("cell_id", "xyz", "is not the id of a cell"),
        ("cell_id", "0123456789ab", "is not the hash of the cell's configuration"),
        ("configuration", '{"model": "tiny", "text": "Other"}', ""),
        ("configuration", '{"model": 3}', ""),
        ("details", "{not json", "is not JSON"),
        ("details", "[" * 50_000, "is not JSON"),
        ("details", "[]", "is not the details of a block"),
        ("details", None, "has no value"),
        ("durations", '["a"]', "is not a list of counts"),
        ("error", b"\xff\xfe", "is not UTF-8 text"),
        ("run_id", b"\xff\xfe", "is not UTF-8 text"),
        ("plan", "\x1b[2J", "has control characters"),
        ("notebook", "../x", "is not the name of a notebook"),
        ("notebook", '"><script>', "is not the name of a notebook"),
        ("audio_path", "../../secret.npy", "leads out of the results folder"),
        ("audio_path", "/secret.npy", "leads out of the results folder"),
        ("status", "fine", "is none of"),
        ("state", "", "is none of"),
        ("wall_s", float("nan"), "is not a finite number"),
        ("speed", 0.0, "is not above 0"),
        ("block", -1, "is below 0"),
        ("samples", -5, "is below 0"),
        ("rss_peak_mb", float("inf"), "is not a finite number"),
        ("started_at", -(2**60), "is not a time from 1970"),
        ("started_at", 2**62, "is not a time from 1970"),
        ("schema_version", None, "is not the number of a version"),
        ("schema_version", -1, "is not the number of a version"),
    ],
)
def test_a_row_with_a_value_that_no_reader_can_use_is_left_out_and_the_others_stay(
    column: str, value: Any, problem: str
) -> None:
    rows, found = checked_rows(with_value(cells(), column, value), TABLES["cells"])
    assert list(found) == [1] and rows["block"].to_pylist() == [0, 2]
    assert rows.schema.equals(TABLES["cells"].columns)
    if problem:
        assert found[1].column == column and problem in found[1].problem
    else:
        assert found[1] == Flaw("cell_id", "is not the hash of the cell's configuration")


def test_flaws_are_numbered_as_the_rows_were_written_whatever_their_versions() -> None:
    rows = cells(6)
    versions = pa.array([3, 1, 2, 1, 3, 2], pa.int32())
    rows = rows.set_column(0, "schema_version", versions)
    rows = with_value(with_value(rows, "plan", "\x07", at=3), "status", "fine", at=5)
    readable, found = checked_rows(rows, TABLES["cells"])
    assert set(found) == {3, 5} and sorted(readable["block"].to_pylist()) == [0, 1, 2, 4]


def test_a_column_that_an_old_version_cannot_lack_makes_its_rows_unreadable() -> None:
    rows = with_value(cells(1), "text", None, at=0)
    readable, found = checked_rows(rows, TABLES["cells"])
    assert readable.num_rows == 0 and found[0].column == "text"


def test_rows_of_a_newer_version_are_not_called_damaged() -> None:
    with pytest.raises(StoreError, match="upgrade kokoro-lab"):
        checked_rows(with_value(cells(), "schema_version", SCHEMA_VERSION + 1), TABLES["cells"])


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with two good runs and rows in every table that nobody can read, as an earlier import left them."""
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    store = Store(tmp_path / "results" / "tables")
    keep(store, "r1", block(0), block(0, of=cell(2, reference=True)))
    keep(store, "r2", block(1), block(1, of=cell(2, reference=True)))
    store.append_machine(Fingerprint({"cpu": "x"}, "m"), Fingerprint({"python": "3"}, "s"))
    bad = with_value(with_value(cells(1), "details", "{not json", at=0), "run_id", "r3", at=0)
    store._tables["cells"].append(bad)
    samples = arrow_rows(TABLES["samples"], sample_rows(RECORD, block(0))[:1])
    store._tables["samples"].append(with_value(with_value(samples, "engine_settings", "[", at=0), "run_id", "r2", at=0))
    moment = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    machine = {"machine_id": "x", "software_id": "y", "first_seen_at": moment, "facts": {}, "software": {}}
    rows = arrow_rows(TABLES["machines"], [machine])
    store._tables["machines"].append(with_value(rows, "facts", "{", at=0))
    return store


def test_one_bad_row_disables_nothing_and_is_told_once(damaged: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [each["run_id"] for each in damaged.runs()] == ["r1", "r2"]
        assert damaged.latest_run() in ("r1", "r2")
        assert len(damaged.cells()) == 4 and len(damaged.samples()) == 12 and len(damaged.machines()) == 1
        damaged.runs()
    told = [record.message for record in caplog.records]
    assert len(told) == 3 and all("kokoro-lab results check" in words for words in told)
    assert damaged.append_block(RECORD, block(7)) is True


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        (("results", "list"), {0}),
        (("results", "show", "cells"), {0}),
        (("results", "show", "samples", "--json"), {0}),
        (("results", "history", "cells"), {0}),
        (("results", "show", "cells", "--run", "r3"), {4}),
        (("gate",), {0, 1, 3, 4}),
        (("compare", "run:r1", "run:r2"), {0, 1, 3}),
        (("compare", "reference", "intra_op_threads=1"), {0, 1, 3}),
        (("results", "check"), {1}),
    ],
)
def test_every_command_still_works_beside_a_bad_row(
    damaged: Store, command: tuple[str, ...], codes: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(list(command)) in codes
    assert "nexpected" not in capsys.readouterr().err


def test_what_is_exported_beside_a_bad_row_can_be_imported(damaged: Store, tmp_path: Path) -> None:
    assert run(["results", "export", str(tmp_path / "out")]) == 0
    (tmp_path / "results").rename(tmp_path / "damaged")
    assert run(["results", "import", str(tmp_path / "out")]) == 0
    assert len(Store(tmp_path / "results" / "tables").cells()) == 4


def test_a_row_of_ours_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    for value in ("../x", "", "latest", "a" * 81):
        with pytest.raises(StoreError, match="run_id is not the id of a run"):
            store.append_block(RECORD.__class__(run_id=value), block(0))
    assert not (tmp_path / "tables" / "cells").exists()
