"""A run is removed as a whole: its rows, its folder, its report; and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from archive_mutations import listing
from store_blocks import block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.errors import BusyError, InputError
from kokoro_lab.measure.machine.lock import exclusive_measurement
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.removal import remove_run
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.conclude import conclude


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    place = Results(tmp_path / "results")
    for name in ("r1", "r2"):
        keep(Store(place.tables), name, block(0), block(0, of=cell(2, reference=True)))
        conclude(Store(place.tables), name, {cell().id, cell(2, reference=True).id})
        for folder in (place.run(name), place.report(name)):
            folder.mkdir(parents=True)
            (folder / "file").write_text(name)
    return place


def test_a_run_is_removed_from_every_table_and_folder_and_the_others_stay(place: Results) -> None:
    store = Store(place.tables)
    before, others = store.versions(), store.cells("r2")
    removed = remove_run(place, "r1")
    assert removed["cells"] == 2 and removed["samples"] == 6 and removed["verdicts"] > 0
    for name in ("cells", "samples", "verdicts", "notebooks"):
        assert store.frame(name, run_id="r1").empty
    assert store.cells("r2").equals(others) and [each["run_id"] for each in store.runs()] == ["r2"]
    assert not place.run("r1").exists() and not place.report("r1").exists()
    assert (place.run("r2") / "file").read_text() == (place.report("r2") / "file").read_text() == "r2"
    assert len(store.at(before).cells("r1")) == 2, "earlier versions keep the rows"
    keep(store, "r1", block(0))
    assert len(store.cells("r1")) == 1, "the name is free again"


def test_an_unknown_run_is_refused(place: Results) -> None:
    before = listing(place.root)
    for name in ("r3", "../r1", "latest", ""):
        with pytest.raises(InputError, match=r"run id|unknown run"):
            remove_run(place, name)
    assert listing(place.root) == before


def test_a_run_that_is_being_measured_is_refused(place: Results) -> None:
    with exclusive_measurement("run r1"), pytest.raises(BusyError, match="'r1' is being measured"):
        remove_run(place, "r1")
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()", str(place.run("r1")), "providers"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as notebook:
        try:
            with pytest.raises(BusyError):
                remove_run(place, "r1")
        finally:
            notebook.kill()
    with exclusive_measurement("run r2"):
        assert remove_run(place, "r1")["cells"] == 2, "another run is no obstacle"


def test_links_are_removed_and_not_followed(place: Results, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    for folder in (place.run("r1"), place.report("r1")):
        (folder / "file").unlink()
        (folder / "link").symlink_to(outside)
    (place.report("r1") / "link").unlink()
    place.report("r1").rmdir()
    place.report("r1").symlink_to(outside)
    remove_run(place, "r1")
    assert (outside / "mine.txt").read_text() == "mine"
    assert not place.report("r1").is_symlink() and not place.run("r1").exists()


def test_the_command_asks_unless_it_is_told_not_to(place: Results, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["results", "remove", "r1"]) == 2 and "add --yes" in capsys.readouterr().err
    assert run(["results", "remove", "r9", "--yes"]) == 2 and "nknown run 'r9'" in capsys.readouterr().err
    assert run(["results", "remove", "r1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": "r1",
        "removed": {
            "cells": 2,
            "samples": 6,
            "verdicts": len(Store(place.tables).verdicts("r2")),
            "notebooks": 0,
            "runs": 0,
        },
    }
