"""Where things lie: paths that nothing creates by asking for them, the same for every process."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.store.layout import Results, notebook_file, results


def test_everything_lies_under_the_results_folder_and_nothing_is_created(tmp_path: Path) -> None:
    place = Results(tmp_path / "results")
    paths = {place.tables, place.runs, place.reports, place.published, place.run("r1")}
    assert len(paths) == 5
    assert all(path.is_relative_to(tmp_path / "results") for path in paths)
    assert place.run("r1").parent == place.runs
    assert not list(tmp_path.iterdir())


def test_a_relative_folder_is_told_to_other_processes_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOKORO_LAB_RESULTS", "mine")
    assert results().root == tmp_path / "mine"


def test_a_notebook_is_found_by_its_name() -> None:
    assert notebook_file("providers").is_file()
    assert notebook_file("providers").stem == "providers"
