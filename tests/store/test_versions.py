"""Tables as every earlier version wrote them, kept under versions/: they are read, judged, imported and added to."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from store_blocks import RECORD, block

from kokoro_lab.store import Store
from kokoro_lab.store.blocks import stored_blocks
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.schema import SCHEMA_VERSION, TABLES
from kokoro_lab.sweeps.conclude import conclude

KEPT = sorted(Path(__file__).with_name("versions").iterdir(), key=lambda folder: int(folder.name))


def test_every_earlier_version_is_kept() -> None:
    """Whoever raises the version adds what the one before wrote: `results export --format parquet`."""
    assert {int(folder.name) for folder in KEPT} >= set(range(1, SCHEMA_VERSION))


@pytest.fixture(params=KEPT, ids=lambda folder: f"version {folder.name}")
def kept(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


@pytest.fixture
def store(kept: Path, tmp_path: Path) -> Store:
    for name, schema in TABLES.items():
        if not (kept / f"{name}.parquet").is_file():
            continue  # a table that came later
        rows = pq.read_table(kept / f"{name}.parquet")
        assert set(rows["schema_version"].to_pylist()) == {int(kept.name)}
        write_deltalake(str(tmp_path / "tables" / name), rows, partition_by=list(schema.partition) or None)
    return Store(tmp_path / "tables")


def test_its_rows_read_as_current_ones(store: Store) -> None:
    for name, schema in TABLES.items():
        assert store.rows(name).schema.names == schema.columns.names
    cells, samples = store.cells(), store.samples()
    assert (len(cells), len(samples)) == (5, 12)
    assert set(samples.groupby("intra_op_threads")["total_ms"].min()) == {10.0, 12.0}
    assert sorted(cells["status"]) == ["error"] + ["ok"] * 4
    assert set(store.verdicts()["metric"]) == {"total_ms", "ttfa_ms", "rtf"}
    assert store.machines()["facts"].tolist() == [{"cpu": "x"}]
    assert set(cells["process"]) == set(samples["process"]) == {"own"} and cells["place"].isna().all()
    assert store.altered() == {}, "what a migration fills in changes no seal"


def test_its_blocks_can_be_judged_and_added_to(store: Store) -> None:
    before = stored_blocks(store, "r1")
    reference = next(found.cell for found in before if found.cell.reference)
    assert store.append_block(RECORD, block(0, of=reference)) is False
    assert store.append_block(RECORD, block(2, of=reference)) is True
    assert len(stored_blocks(store, "r1")) == len(before) + 1
    assert set(store.cells()["schema_version"]) <= {SCHEMA_VERSION, *range(1, SCHEMA_VERSION)}
    assert conclude(store, "r1", {found.cell.id for found in before}) > 0


def test_its_export_is_imported(kept: Path, store: Store, tmp_path: Path) -> None:
    imported = Store(tmp_path / "imported")
    assert import_folder(imported, kept)["cells"] == 5
    assert imported.samples().equals(store.samples())
