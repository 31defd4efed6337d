"""The contents of the notebooks folder: what each one asks, and what the store has seen of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.reports.fragments import Html, table
from kokoro_lab.store.places import notebook_file, results
from kokoro_lab.store.store import Store

__all__ = ["Asked", "contents", "contents_table", "runs_table"]

MOST_RUNS = 10


@dataclass(frozen=True)
class Asked:
    """One notebook by its first cell."""

    name: str
    question: str
    about: str
    """The first sentence below the question; empty when there is none."""


def contents(folder: Path | None = None) -> list[Asked]:
    """Every notebook of the folder but the index, by name."""
    folder = folder or notebook_file("index").parent
    found = []
    for path in sorted(folder.glob("*.ipynb")):
        if path.stem == "index":
            continue
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        heading, _, below = "".join(cells[0]["source"]).partition("\n")
        first = below.strip().split(". ")[0].rstrip(".").replace("`", "")
        found.append(Asked(path.stem, heading.removeprefix("# ").strip(), f"{first}." if first else ""))
    return found


def contents_table(folder: Path | None = None) -> Html:
    """The notebooks as a table with links."""
    rows = [
        {"name": Html(f'<a href="{one.name}.ipynb">{one.name}</a>'), "question": one.question, "about": one.about}
        for one in contents(folder)
    ]
    return table({"name": "Notebook", "question": "Asks", "about": "About"}, rows)


def runs_table(folder: Path | None = None) -> Html:
    """The newest runs of the store; says so when there is none."""
    runs = Store(folder or results().tables).runs()[-MOST_RUNS:]
    if not runs:
        return Html("<p>No run yet: open a notebook and run its cells, or start a plan.</p>")
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
