"""The contents of the notebooks folder: the question of each notebook, and the newest runs of the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.reports.drawing.fragments import Html, table
from kokoro_lab.store.layout import notebook_file, results
from kokoro_lab.store.store import Store
from kokoro_lab.sweeps.notebook.notebook_reading import read_notebook

__all__ = ["NotebookEntry", "contents", "contents_table", "runs_table"]

MOST_RUNS = 10


@dataclass(frozen=True)
class NotebookEntry:
    """One notebook, described by its first cell."""

    name: str
    question: str
    about: str
    """The first sentence below the question; empty when there is none."""


def contents(folder: Path | None = None) -> list[NotebookEntry]:
    """Every notebook of the folder except the index, sorted by name."""
    folder = folder or notebook_file("index").parent
    entries = []
    for path in sorted(folder.glob("*.ipynb")):
        if path.stem == "index":
            continue
        heading, _, below = read_notebook(path).cells[0].source.partition("\n")
        first = below.strip().split(". ")[0].rstrip(".").replace("`", "")
        entries.append(NotebookEntry(path.stem, heading.removeprefix("# ").strip(), f"{first}." if first else ""))
    return entries


def contents_table(folder: Path | None = None) -> Html:
    """The notebooks as a table of links."""
    rows = [
        {
            "name": Html(f'<a href="{entry.name}.ipynb">{entry.name}</a>'),
            "question": entry.question,
            "about": entry.about,
        }
        for entry in contents(folder)
    ]
    return table({"name": "Notebook", "question": "Question", "about": "About"}, rows)


def runs_table(folder: Path | None = None) -> Html:
    """The newest runs of the store; a sentence when there are none."""
    runs = Store(folder or results().tables).runs()[-MOST_RUNS:]
    if not runs:
        return Html("<p>No runs yet: open a notebook and run its cells, or start a sweep.</p>")
    rows = [
        {
            "run_id": run["run_id"],
            "cells": str(run["cells"]),
            "samples": str(run["samples"]),
            "error": str(run["error"]),
        }
        for run in reversed(runs)
    ]
    return table({"run_id": "Run", "cells": "Cells", "samples": "Calls", "error": "Failed"}, rows)
