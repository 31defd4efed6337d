"""Names, tags and notes: validated, found wherever a run is named, exported and imported, and no part of any seal."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_blocks import block, cell, keep

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.store import Store, exporting
from kokoro_lab.store.integrity.importing import import_folder
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.layout import Results
from kokoro_lab.store.run_facts.completeness import NotebookEnding
from kokoro_lab.store.run_facts.run_endings import end_notebook, plan_blocks
from kokoro_lab.store.run_facts.run_labels import Labels, check_labels, chosen_run, label_run, named_run, stored_run
from kokoro_lab.store.sides import side


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("KOKORO_LAB_LOCK", str(tmp_path / "lock"))
    store = Store(tmp_path / "results" / "tables")
    keep(store, "r1", block(1))
    keep(store, "r2", block(5, of=cell(2)))
    return store


def test_labels_are_added_changed_and_removed(store: Store) -> None:
    label_run(store, "r1", add=["nightly", "ryzen-9"], note="before the upgrade")
    assert label_run(store, "r1", add=["nightly"], name="baseline").tags == ("nightly", "ryzen-9")
    assert label_run(store, "r1", remove=["nightly"], note="") == Labels("baseline", ("ryzen-9",), "")
    first, second = store.runs()
    assert (first["name"], first["tags"], first["note"]) == ("baseline", ["ryzen-9"], "")
    assert (second["name"], second["tags"], second["note"]) == ("", [], "")
    with pytest.raises(InputError, match="no tag nightly; its tags are ryzen-9"):
        label_run(store, "r1", remove=["nightly"])


@pytest.mark.parametrize("word", ["", "-x", "a b", "a/b", "../up", "ä", "x" * 41, "a_b", "a.b", "latest", "reference"])
def test_a_tag_that_could_be_mistaken_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="is invalid, use at most 40 letters, digits and dashes"):
        check_labels(Labels(tags=(word,)))


def test_every_mistake_in_labels_is_listed() -> None:
    tags = tuple(f"t{number}" for number in range(21))
    with pytest.raises(InputError) as caught:
        check_labels(Labels("a b", tags, "line\nbreak" + "x" * 500))
    for part in ("name 'a b'", "21 tags are more than 20", "510 characters, more than 500", "line breaks"):
        assert part in caught.value.message
    assert check_labels(Labels("a", ("b", "b", "c"))) == Labels("a", ("b", "c"))


def test_a_name_belongs_to_one_run_and_no_label_hides_an_id(store: Store) -> None:
    label_run(store, "r1", name="baseline", add=["nightly"])
    for labels in ({"name": "baseline"}, {"name": "nightly"}, {"add": ["r1"]}, {"add": ["baseline"]}):
        with pytest.raises(InputError, match="these labels are taken"):
            label_run(store, "r2", **labels)  # type: ignore[arg-type]
    assert label_run(store, "r2", add=["nightly"]).tags == ("nightly",)
    assert label_run(store, "r1", name="baseline").name == "baseline"


def test_an_id_a_name_or_a_tag_names_a_run(store: Store) -> None:
    label_run(store, "r1", name="baseline", add=["nightly"])
    assert [named_run(store, text) for text in ("r1", "baseline", "nightly", "r3", "../x")] == [
        *("r1", "r1", "r1", None, None)
    ]
    label_run(store, "r2", add=["nightly"])
    assert named_run(store, "nightly") == "r2", "the newest with the tag"
    plan_blocks(store, "r2", {"providers": 4})
    assert named_run(store, "nightly") == "r1", "the newest complete run with the tag"
    end_notebook(store, "r2", "providers", NotebookEnding(4, "budget"))
    assert chosen_run(store, "nightly") == chosen_run(store, "") == chosen_run(store, None) == "r2"
    assert chosen_run(store, "r3") == "r3"
    with pytest.raises(NothingMeasuredError, match="'r3' has no rows"):
        stored_run(store, "r3")


def test_a_side_of_a_comparison_may_be_a_tag(store: Store) -> None:
    label_run(store, "r1", add=["nightly"])
    for text in ("nightly", "run:nightly", "run:nightly@1"):
        runs = side(store, text)
        assert runs is not None and {run.run_id for run in runs} == {"r1"}
    assert side(store, "weekly") is None


def test_labels_change_neither_ids_nor_seals(store: Store) -> None:
    before = store.seals(), [run["run_id"] for run in store.runs()]
    label_run(store, "r1", name="baseline", add=["nightly"], note="a note")
    assert (store.seals(), [run["run_id"] for run in store.runs()]) == before
    assert list(check_results(Results(store.root.parent))) == []


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_labels_and_endings_leave_and_come_back_with_the_run(
    store: Store, tmp_path: Path, form: exporting.Format
) -> None:
    label_run(store, "r1", name="baseline", add=["nightly"], note='a "note", ja: こんにちは')
    plan_blocks(store, "r1", {"providers": 4})
    exporting.export(store, tmp_path / "out", form, run_id="r1")
    other = Store(tmp_path / "elsewhere" / "tables")
    assert import_folder(other, tmp_path / "out")["runs"] == 1
    (run,) = other.runs()
    assert (run["name"], run["tags"], run["complete"]) == ("baseline", ["nightly"], False)
    assert run["note"] == 'a "note", ja: こんにちは'

    label_run(other, "r1", add=["mine"])
    end_notebook(store, "r1", "providers", NotebookEnding(4, "complete"))
    label_run(store, "r1", note="changed there")
    exporting.export(store, tmp_path / "out", form, run_id="r1")
    assert import_folder(other, tmp_path / "out")["runs"] == 0
    (run,) = other.runs()
    assert run["complete"] and run["tags"] == ["nightly", "mine"] and run["note"].startswith("a "), "ours are kept"


def test_an_imported_name_that_two_runs_have_is_not_guessed(store: Store, tmp_path: Path) -> None:
    label_run(store, "r1", name="baseline")
    exporting.export(store, tmp_path / "out", run_id="r1")
    other = Store(tmp_path / "elsewhere" / "tables")
    keep(other, "r9", block(7))
    label_run(other, "r9", name="baseline")
    import_folder(other, tmp_path / "out")
    with pytest.raises(InputError, match="2 runs are named 'baseline'"):
        named_run(other, "baseline")
