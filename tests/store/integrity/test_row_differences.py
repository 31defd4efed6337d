"""An import that differs from what is stored is refused, with the first difference."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from store_blocks import block, cell, keep

from kokoro_lab.errors import StoreError
from kokoro_lab.store import Store
from kokoro_lab.store.exporting import export
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.row_differences import first_difference
from kokoro_lab.store.integrity.seals import START, sealed
from kokoro_lab.store.schema import TABLES
from kokoro_lab.sweeps.conclude import conclude


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "tables")
    keep(store, "r1", block(0), block(0, of=cell(2, reference=True)))
    conclude(store, "r1", {cell().id, cell(2, reference=True).id})
    return store


def put(table: pa.Table, column: str, value: object) -> pa.Table:
    at = table.column_names.index(column)
    values = [value, *table[column].to_pylist()[1:]]
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def rewritten(store: Store, folder: Path, name: str, column: str, value: object, *, reseal: bool = False) -> Path:
    """An export with one other value and a manifest that agrees; with other seals too, when asked."""
    export(store, folder, "parquet")
    tables = {table: parquet.read_table(folder / f"{table}.parquet") for table in TABLES}
    tables[name] = put(tables[name], column, value)
    if reseal:
        cells, _ = sealed(tables["cells"].cast(TABLES["cells"].columns), tables["samples"], START)
        tables["cells"] = cells
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("seals")
    for table, rows in tables.items():
        parquet.write_table(rows, folder / f"{table}.parquet")
        manifest["tables"][table]["sha256"] = hashlib.sha256((folder / f"{table}.parquet").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_an_import_of_what_is_here_changes_nothing(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "csv")
    versions = store.versions()
    assert set(import_folder(store, tmp_path / "out").values()) == {0} and store.versions() == versions


@pytest.mark.parametrize(("name", "column", "value"), [("samples", "total_ms", 0.5), ("cells", "wall_s", 0.5)])
def test_an_altered_export_is_refused_by_its_seals(
    store: Store, tmp_path: Path, name: str, column: str, value: object
) -> None:
    folder = rewritten(store, tmp_path / "out", name, column, value)
    for home in (store, Store(tmp_path / "other")):
        with pytest.raises(StoreError, match="its values were changed after it was stored"):
            import_folder(home, folder)


def test_one_with_new_seals_is_refused_where_the_run_is_known_with_both_values(store: Store, tmp_path: Path) -> None:
    tables = {name: store.rows(name) for name in TABLES}
    other = {**tables, "samples": put(tables["samples"], "total_ms", 0.5)}
    difference = first_difference(tables, other)
    assert difference is not None and difference[0] == "r1"
    assert difference[2:] == ("total_ms", "10.0", "0.5")
    shorter = {**tables, "samples": tables["samples"].slice(1)}
    assert (first_difference(tables, shorter) or ())[2:] == ("number of samples", "3", "2")
    with pytest.raises(StoreError, match=r"has total_ms 10.0 here and 0.5 there"):
        store.merge({"cells": tables["cells"], "samples": other["samples"]})


def test_an_edited_verdict_is_refused(store: Store, tmp_path: Path) -> None:
    folder = rewritten(store, tmp_path / "out", "verdicts", "verdict", "faster")
    with pytest.raises(StoreError, match=r"verdict on cell .* was changed after it was stored"):
        import_folder(store, folder)
    verdicts = {"verdicts": put(store.rows("verdicts"), "reason", "better")}
    with pytest.raises(StoreError, match=r"has reason .* here and better there"):
        store.merge(verdicts)


def test_an_export_that_lacks_a_block_is_refused(store: Store, tmp_path: Path) -> None:
    keep(store, "r2", block(0), block(1), block(2))
    export(store, tmp_path / "out", "parquet", run_id="r2")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    for name in ("cells", "samples"):
        path = tmp_path / "out" / f"{name}.parquet"
        rows = parquet.read_table(path)
        parquet.write_table(rows.filter(pa.compute.not_equal(rows["block"], 1)), path)
        manifest["tables"][name] |= {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "rows": parquet.read_metadata(path).num_rows,
        }
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="lacks the block that was stored as link 1 of run r2"):
        import_folder(Store(tmp_path / "other"), tmp_path / "out")
