"""What is planned is stored before it is measured, and an ending replaces it; nothing is written twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.store import Store
from kokoro_lab.store.run_facts.completeness import NotebookEnding
from kokoro_lab.store.run_facts.run_endings import end_notebook, plan_blocks


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


def endings(store: Store) -> dict[str, dict[str, object]]:
    row = store.run_row("r1")
    assert row is not None
    return row["endings"]


def test_a_notebook_that_is_continued_stays_ended_and_one_with_more_blocks_does_not(store: Store) -> None:
    plan_blocks(store, "r1", {"providers": 4, "warmup": 2})
    assert endings(store) == {"providers": {"planned": 4, "ended": ""}, "warmup": {"planned": 2, "ended": ""}}
    end_notebook(store, "r1", "providers", NotebookEnding(4, "decided"))
    plan_blocks(store, "r1", {"providers": 4})
    assert endings(store)["providers"] == {"planned": 4, "ended": "decided"}
    plan_blocks(store, "r1", {"providers": 6})
    assert endings(store) == {"providers": {"planned": 6, "ended": ""}, "warmup": {"planned": 2, "ended": ""}}


def test_what_is_known_is_not_written_again(store: Store) -> None:
    plan_blocks(store, "r1", {"providers": 4})
    end_notebook(store, "r1", "providers", NotebookEnding(4, "budget"))
    version = store.versions()["runs"]
    plan_blocks(store, "r1", {"providers": 4})
    end_notebook(store, "r1", "providers", NotebookEnding(4, "budget"))
    assert store.versions()["runs"] == version


def test_labels_and_endings_do_not_overwrite_each_other(store: Store) -> None:
    plan_blocks(store, "r1", {"providers": 4})
    store.update_run("r1", name="first", tags=["kept"], note="a note")
    end_notebook(store, "r1", "providers", NotebookEnding(4, "complete"))
    row = store.run_row("r1")
    assert row is not None
    assert (row["name"], row["tags"], row["note"]) == ("first", ["kept"], "a note")
    assert row["endings"] == {"providers": {"planned": 4, "ended": "complete"}}
    assert store.run_row("r2") is None
