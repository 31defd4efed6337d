"""Tables as files: the same rows back, once, from files that nobody changed on the way."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

import pytest
from store_blocks import RECORD, block, cell, failed

from kokoro_lab.errors import InputError, StoreError
from kokoro_lab.measure.machine.fingerprint import Fingerprint
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.exporting import Format, export
from kokoro_lab.store.integrity.archives import read_folder
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.schema import TABLES

HOSTILE = 'Line one,\n"quoted", and\r\nnull "" é'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "tables")
    store.append_machine(Fingerprint({"cpu": "x"}, "m"), Fingerprint({"python": "3.11"}, "s"))
    store.append_block(RECORD, block(0, total_ms=0.1 + 0.2))
    store.append_block(RECORD, block(1, of=cell(text=HOSTILE, text_preset="")))
    store.append_block(RECORD, failed())
    store.append_block(dataclasses.replace(RECORD, run_id="r2", machine_id="other"), block(0))
    moment = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
    store.append_notebook(NotebookRun("r1", "providers", "p", "ok", "", "x.ipynb", moment, 2.5))
    return store


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_is_exported_comes_back_the_same_and_only_once(store: Store, tmp_path: Path, form: Format) -> None:
    manifest = export(store, tmp_path / "out", form)
    other = Store(tmp_path / "other")
    added = import_folder(other, tmp_path / "out")
    assert added == {name: told["rows"] for name, told in manifest["tables"].items()}
    assert added["samples"] == 9 and added["cells"] == 4
    for name in TABLES:
        columns = [(key, "ascending") for key in TABLES[name].columns.names if key in (*TABLES[name].key, "repeat")]
        here, there = (each.rows(name).sort_by(columns) for each in (store, other))
        if name == "cells":
            assert all(json.loads(origin)["manifest_sha256"] for origin in there["origin"].to_pylist())
            here, there = here.drop_columns(["origin"]), there.drop_columns(["origin"])
        assert there.equals(here), name
    versions = other.versions()
    assert set(import_folder(other, tmp_path / "out").values()) == {0}
    assert other.versions() == versions, "a repeated import changes nothing"


def test_the_same_rows_give_the_same_bytes_and_the_manifest_says_which_version(store: Store, tmp_path: Path) -> None:
    first, second = export(store, tmp_path / "a"), export(store, tmp_path / "b")
    assert first["tables"] == second["tables"]
    assert first["tables"]["cells"]["table_version"] == store.versions()["cells"]
    assert (tmp_path / "a" / "cells.csv").read_bytes() == (tmp_path / "b" / "cells.csv").read_bytes()


def test_one_run_can_be_exported_alone_with_its_machine(store: Store, tmp_path: Path) -> None:
    manifest = export(store, tmp_path / "out", run_id="r1")
    assert {name: told["rows"] for name, told in manifest["tables"].items()} == {
        "samples": 6, "cells": 3, "machines": 1, "verdicts": 0, "notebooks": 1, "attempts": 0, "runs": 0,
    }  # fmt: skip
    export(store, tmp_path / "out", "parquet", run_id="r2")
    assert not (tmp_path / "out" / "cells.csv").exists(), "an earlier export is replaced"
    assert set(read_folder(tmp_path / "out")["cells"]["run_id"].to_pylist()) == {"r2"}


def test_a_file_that_was_changed_or_lost_is_refused_and_nothing_is_imported(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out")
    path = tmp_path / "out" / "samples.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("0.3000", "0.2000"), encoding="utf-8")
    other = Store(tmp_path / "other")
    with pytest.raises(InputError, match="SHA-256"):
        import_folder(other, tmp_path / "out")
    path.unlink()
    with pytest.raises(InputError, match=r"samples\.csv of the manifest is missing"):
        import_folder(other, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        import_folder(other, tmp_path / "out")
    assert not other.root.exists()


def test_a_manifest_does_not_lead_out_of_its_folder(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    (tmp_path / "secret.csv").write_bytes((tmp_path / "out" / "cells.csv").read_bytes())
    manifest["tables"]["cells"]["file"] = "../secret.csv"
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"names '../secret.csv' as the file of table cells"):
        read_folder(tmp_path / "out")


def test_another_run_of_the_same_name_is_not_mixed_in(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out")
    other = Store(tmp_path / "other")
    other.append_block(RECORD, dataclasses.replace(block(0), started_at="2025-01-01T00:00:00+00:00"))
    with pytest.raises(StoreError, match="the store has a different run 'r1'"):
        import_folder(other, tmp_path / "out")
    assert len(other.cells()) == 1 and other.machines().empty


def test_an_import_that_was_killed_before_its_mark_is_completed_by_the_next(store: Store, tmp_path: Path) -> None:
    tables = read_folder_of(store, tmp_path)
    other = Store(tmp_path / "other")
    other.merge({"samples": tables["samples"], "cells": tables["cells"].slice(0, 0)})
    assert other.samples().empty
    # What a writer leaves that dies between the two commits: samples without their mark.
    Store(tmp_path / "other")._tables["samples"].append(tables["samples"].slice(0, 2))
    assert other.merge(tables)["samples"] == 9
    assert len(other.samples()) == 9 and not other.samples().duplicated(["run_id", "cell_id", "block", "repeat"]).any()


def read_folder_of(store: Store, tmp_path: Path) -> dict[str, object]:
    export(store, tmp_path / "out")
    return read_folder(tmp_path / "out")


def test_a_folder_with_other_things_in_it_is_not_written_to(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.doc"):
        export(store, tmp_path / "out")
    with pytest.raises(InputError, match="not a folder"):
        export(store, tmp_path / "out" / "thesis.doc")
    with pytest.raises(InputError, match="no table samples"):
        read_folder(tmp_path / "out")
