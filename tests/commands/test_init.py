"""What `init` creates, and from which folders a lab takes its inputs and results."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest

from kokoro_lab import paths
from kokoro_lab.cli import run
from kokoro_lab.errors import PlanError
from kokoro_lab.measure.machine.fingerprint import software
from kokoro_lab.reports.claims.claims import load_claims
from kokoro_lab.store.budgets import load_budgets
from kokoro_lab.store.layout import notebook_file, results
from kokoro_lab.sweeps.plan import load_plan
from kokoro_lab.sweeps.preset_texts import preset_names, preset_text

ROOT = Path(__file__).parents[2]
SITE = "site-packages"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KOKORO_LAB_RESULTS", raising=False)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    assert run(["init", str(tmp_path / "lab")]) == 0
    return tmp_path / "lab"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as a wheel installs it: no checkout around it, a copy of the inputs inside."""
    carried = tmp_path / SITE / "kokoro_lab" / "_lab"
    for name in ("data", "notebooks"):
        shutil.copytree(ROOT / name, carried / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path / SITE)
    monkeypatch.setattr(paths, "CARRIED", carried)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data home"))
    return carried


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for name in ("data", "notebooks")
        for path in (folder / name).rglob("*")
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }


def test_init_lays_out_every_input_and_notebook_and_marks_the_folder(lab: Path) -> None:
    assert _files(lab) == _files(ROOT)
    for name in _files(lab):
        assert (lab / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert (lab / "results").is_dir() and not list((lab / "results").iterdir())
    assert "kokoro-lab sweep" in (lab / "README.md").read_text()
    assert tomllib.loads((lab / paths.MARKER).read_text())["laid_out_by"].startswith("kokoro-lab ")


def test_init_refuses_a_folder_that_is_not_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "note.txt").write_text("mine")
    assert run(["init", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "not empty" in said and "--force" in said
    assert [path.name for path in folder.iterdir()] == ["note.txt"]


def test_init_says_where_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert run(["init", str(tmp_path / "file" / "lab")]) == 2
    assert "name another folder" in capsys.readouterr().err


def test_force_adds_what_is_missing_and_changes_nothing(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "data" / "budgets.yaml").write_text("mine")
    (lab / "data" / "texts" / "hello.txt").unlink()
    capsys.readouterr()
    assert run(["init", str(lab), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(lab), "written": ["data/texts/hello.txt"]}
    assert (lab / "data" / "budgets.yaml").read_text() == "mine"


def test_a_lab_laid_out_from_within_another_has_the_original_inputs(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab / "data" / "budgets.yaml").write_text("mine")
    monkeypatch.chdir(lab)
    assert run(["init", str(tmp_path / "second")]) == 0
    assert (tmp_path / "second" / "data" / "budgets.yaml").read_bytes() == (ROOT / "data/budgets.yaml").read_bytes()


def test_outside_of_a_lab_a_checkout_reads_its_own_folders() -> None:
    assert paths.lab_folder() is None and paths.checkout() == ROOT
    assert (paths.data_folder(), paths.notebooks_folder()) == (ROOT / "data", ROOT / "notebooks")
    assert paths.results_folder() == ROOT / "results"


def test_in_a_lab_and_below_it_every_reader_takes_the_lab_s_files(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = software().facts["g2p_sha256"]
    (lab / "data" / "texts" / "mine.txt").write_text("A text of my own.\n")
    (lab / "data" / "lexicon" / "en-us.txt").write_text("kokoro kˈOkəɹO\n")
    (lab / "data" / "budgets.yaml").write_text("budgets: [{name: quick, measure: rtf, at_most: 0.5}]\n")
    plan = (lab / "data" / "sweeps" / "ci.yaml").read_text().replace("name: ci", "name: own")
    (lab / "data" / "sweeps" / "own.yaml").write_text(plan)
    monkeypatch.chdir(lab / "notebooks")
    assert "mine" in preset_names() and preset_text("mine") == "A text of my own."
    assert [budget.name for budget in load_budgets().budgets] == ["quick"]
    assert load_plan("own").name == "own"
    assert notebook_file("index") == lab / "notebooks" / "index.ipynb"
    assert software().facts["g2p_sha256"] != before
    (lab / "data" / "claims.yaml").write_text("nonsense")
    with pytest.raises(PlanError, match=r"claims\.yaml"):
        load_claims()


def test_results_go_to_the_lab_unless_the_variable_names_a_folder(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab / "data")
    assert results().root == lab / "results"
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(lab.parent / "named"))
    assert results().root == lab.parent / "named"


def test_a_lab_without_one_of_the_folders_reads_that_of_the_package(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(lab / "notebooks")
    monkeypatch.chdir(lab)
    assert (paths.data_folder(), paths.notebooks_folder()) == (lab / "data", ROOT / "notebooks")


def test_an_installed_package_reads_its_copy_and_keeps_results_for_the_user(installed: Path, tmp_path: Path) -> None:
    assert paths.checkout() is None
    assert (paths.data_folder(), paths.notebooks_folder()) == (installed / "data", installed / "notebooks")
    assert "short" in preset_names() and load_plan("ci").name == "ci"
    assert paths.results_folder() == tmp_path / "data home" / "kokoro-lab" / "results"


def test_init_lays_out_the_copy_of_an_installed_package(installed: Path, tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "lab")]) == 0
    assert _files(tmp_path / "lab") == _files(installed)


def test_the_lexicon_has_one_sum_wherever_it_is(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_copy = software().facts
    monkeypatch.setattr(paths, "ROOT", ROOT)
    in_a_checkout = software().facts
    assert in_a_copy["g2p_sha256"] == in_a_checkout["g2p_sha256"]
    assert in_a_copy["constraints_sha256"] is None and in_a_checkout["constraints_sha256"] is not None


def test_a_working_directory_that_is_gone_is_in_no_lab(elsewhere: Path) -> None:
    elsewhere.rmdir()
    try:
        assert paths.lab_folder() is None
        assert paths.data_folder() == ROOT / "data"
    finally:
        os.chdir(ROOT)
