"""The contents of a notebooks folder and the newest runs of a store, as tables."""

from __future__ import annotations

import json
from pathlib import Path

from store_blocks import block, cell, failed, keep

from kokoro_lab.reports.page.contents import MOST_RUNS, contents, contents_table, runs_table
from kokoro_lab.store import Store


def notebook(folder: Path, name: str, *lines: str) -> None:
    cells = [{"cell_type": "markdown", "source": [f"{line}\n" for line in lines]}]
    rest = {"metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells, **rest}))


def test_each_notebook_is_known_by_its_heading_and_its_first_sentence(tmp_path: Path) -> None:
    notebook(tmp_path, "warmup", "# What does warming up buy?", "", "Starts `tiny` engines. More is below.")
    notebook(tmp_path, "bare", "# Only a heading")
    notebook(tmp_path, "index", "# Contents")
    first, second = contents(tmp_path)
    assert (first.name, first.question, first.about) == ("bare", "Only a heading", "")
    assert (second.name, second.question) == ("warmup", "What does warming up buy?")
    assert second.about == "Starts tiny engines."


def test_the_notebooks_that_are_shipped_all_ask_something_and_are_linked() -> None:
    shipped = contents()
    assert len(shipped) > 5
    assert all(one.question for one in shipped)
    assert sum(bool(one.about) for one in shipped) > len(shipped) / 2
    text = contents_table().text
    assert all(f'href="{one.name}.ipynb"' in text for one in shipped)


def test_a_heading_cannot_become_markup(tmp_path: Path) -> None:
    notebook(tmp_path, "odd", "# <script>alert(1)</script>")
    assert "<script>" not in contents_table(tmp_path).text


def test_the_newest_runs_come_first_and_no_more_than_fit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(MOST_RUNS + 2):
        keep(store, f"run-{number:02d}", block(number))
    text = runs_table(tmp_path).text
    places = [text.find(f"run-{number:02d}") for number in range(MOST_RUNS + 2)]
    assert places[:2] == [-1, -1]
    shown = places[2:]
    assert -1 not in shown and shown == sorted(shown, reverse=True)


def test_a_run_shows_its_cells_calls_and_failures(tmp_path: Path) -> None:
    keep(Store(tmp_path), "r1", block(0, repeats=40), block(1, of=cell(2), repeats=2), failed())
    text = runs_table(tmp_path).text
    for shown in ("r1", ">3<", ">42<", ">1<"):
        assert shown in text


def test_no_run_yet_is_said_and_is_no_empty_table(tmp_path: Path) -> None:
    text = runs_table(tmp_path).text
    assert "<table" not in text and "<p" in text
