"""An import is marked with its origin, mixes with nothing that was measured here, and is never the default."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
from store_blocks import block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.errors import InputError, NothingMeasuredError, PlanError, StoreError
from kokoro_lab.measure.machine.fingerprint import Fingerprint
from kokoro_lab.reports.rows.evidence import Evidence
from kokoro_lab.store import Store
from kokoro_lab.store.exporting import export
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.plan import load_plan
from kokoro_lab.sweeps.preparation import prepare

LATER = {"started_at": "2027-01-01T00:00:00+00:00"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An exported run that says of itself that it is newer than anything."""
    there = Store(tmp_path / "there")
    reference = cell(2, reference=True)
    keep(there, "foreign", dataclasses.replace(block(0), **LATER), dataclasses.replace(block(0, of=reference), **LATER))
    there.append_machine(Fingerprint({"cpu": "x"}, "m"), Fingerprint({"python": "3.11"}, "s"))
    conclude(there, "foreign", {cell().id, reference.id})
    export(there, tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    return Store(tmp_path / "results" / "tables")


def test_an_import_says_where_it_comes_from(store: Store, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_folder(store, archive)
    origin = store.origin("foreign")
    assert origin is not None and origin["folder"] == str(archive) and len(origin["manifest_sha256"]) == 64
    assert origin["imported_at"].startswith("20") and origin["exported_by"] == origin["imported_by"]
    assert run(["results", "list"]) == 0
    assert f"from {archive}" in " ".join(capsys.readouterr().out.split())
    assert run(["results", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["imported"] == origin
    assert any(commit.get("imported") == str(archive) for commit in store.history("cells"))


def test_an_import_is_never_the_newest_run_by_itself(
    store: Store, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_folder(store, archive)
    assert store.latest_run() is None
    with pytest.raises(NothingMeasuredError, match="were imported, and none is the default; name one, such as foreign"):
        Evidence.load(store.root)
    assert run(["gate"]) == 4 and "name one, such as foreign" in capsys.readouterr().err
    assert run(["compare", "reference", "intra_op_threads=1"]) == 4
    keep(store, "mine", block(0), block(0, of=cell(2, reference=True)))
    assert store.latest_run() == "mine" and Evidence.load(store.root).run_id == "mine"
    assert Evidence.load(store.root, "foreign").run_id == "foreign", "named, it can be shown"


def test_an_import_of_an_import_keeps_the_earlier_origin(store: Store, archive: Path, tmp_path: Path) -> None:
    import_folder(store, archive)
    export(store, tmp_path / "again", "parquet")
    third = Store(tmp_path / "third")
    import_folder(third, tmp_path / "again")
    origin = third.origin("foreign")
    assert origin is not None and origin["folder"] == str(tmp_path / "again")
    assert origin["earlier"]["folder"] == str(archive)


def test_the_export_of_a_run_of_this_store_changes_nothing_here(store: Store, tmp_path: Path) -> None:
    keep(store, "mine", block(0))
    export(store, tmp_path / "out")
    versions = store.versions()
    assert set(import_folder(store, tmp_path / "out").values()) == {0}
    assert store.versions() == versions and store.origin("mine") is None and store.latest_run() == "mine"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_nothing_is_added_to_a_run_that_was_measured_here(store: Store, tmp_path: Path, form: str) -> None:
    keep(store, "r1", block(0))
    there = Store(tmp_path / "there")
    keep(there, "r1", block(0), block(1, of=cell(2)))
    export(there, tmp_path / "out", form)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="run 'r1' was measured here, and the archive has other cells of it"):
        import_folder(store, tmp_path / "out")
    again = Store(tmp_path / "again")
    keep(again, "r1", block(0))
    again.store_verdicts("r1", [_verdict("faster")])
    export(again, tmp_path / "verdicts", form)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="other verdicts of it"):
        import_folder(store, tmp_path / "verdicts")
    assert len(store.cells()) == 1 and store.verdicts().empty


def _verdict(word: str) -> dict[str, object]:
    cells = {"base_cell": cell().id, "candidate_cell": cell().id, "metric": "rtf", "verdict": word}
    figures = {"minimum_effect": 0.05, "margin": 0.05, "pairs": 3, "reason": "", "details": {"kind": "cell"}}
    return {"run_id": "r1", "made_at": 0, **cells, **figures}


def test_no_attempt_is_added_to_a_run_that_was_measured_here(store: Store, tmp_path: Path) -> None:
    keep(store, "r1", block(0))
    there = Store(tmp_path / "there")
    keep(there, "r1", block(0))
    attempt = {"base_cell": "a", "candidate_cell": "b", "machine_id": "m", "measured_models": "x", "attempt": 9}
    there.append_attempts([{"run_id": "r1", "started_at": 0, **attempt}])
    export(there, tmp_path / "out")
    with pytest.raises(StoreError, match="other attempts of it"):
        import_folder(store, tmp_path / "out")


def test_a_run_that_lost_a_block_is_imported_and_the_gap_stays_known(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Store(tmp_path / "there" / "tables")
    keep(there, "r1", block(0), block(1), block(2))
    for name in ("cells", "samples"):
        rows = there._tables[name].read()
        there._tables[name].overwrite(rows.filter(pc.not_equal(rows["block"], 1)))
    export(there, tmp_path / "out")
    import_folder(store, tmp_path / "out")
    assert "1 block of run 'r1' was lost" in caplog.text
    assert store.origin("r1")["missing"] == {"r1": [1]}  # type: ignore[index]
    assert store.seals()["r1"].missing == 1 and len(store.cells()) == 2
    assert check_results(Results(store.root.parent)) == [], "nothing is lost that was not lost before"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    manifest["seals"]["r1"]["missing"] = 0
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="lacks the block that was stored as link 1"):
        import_folder(Store(tmp_path / "other"), tmp_path / "out")


def test_facts_of_a_machine_of_this_store_are_not_replaced(store: Store, archive: Path) -> None:
    store.append_machine(Fingerprint({"cpu": "other"}, "m"), Fingerprint({"python": "3.12"}, "s2"))
    with pytest.raises(StoreError, match="other facts of machine_id m"):
        import_folder(store, archive)
    assert store.cells().empty


def test_an_imported_run_is_not_measured_further(store: Store, archive: Path) -> None:
    import_folder(store, archive)
    for resume in (False, True):
        with pytest.raises(PlanError, match="was imported and cannot be measured further"):
            prepare(load_plan("quick"), Results(store.root.parent), run_id="foreign", resume=resume)


def test_a_folder_without_a_manifest_is_compared_but_not_imported(store: Store, archive: Path) -> None:
    (archive / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        import_folder(store, archive)
    keep(store, "mine", block(0), block(0, of=cell(2, reference=True)))
    assert run(["compare", str(archive), "run:mine"]) in (0, 1, 3)
