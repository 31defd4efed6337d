"""Write down what a run plans to measure, and how the measurement of each of its notebooks ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from kokoro_lab.store.run_facts.completeness import NotebookEnding
from kokoro_lab.store.store import Store
from kokoro_lab.store.store_reader import NO_ROW

__all__ = ["end_notebook", "plan_blocks"]


def plan_blocks(store: Store, run_id: str, planned: Mapping[str, int]) -> None:
    """Store how many blocks each of these notebooks is to measure (notebook -> blocks), before the first of them.

    What is known of a notebook with the same number stays, so that it is still complete when it is continued. Raises
    StoreError when the store cannot be written.
    """
    with store.locked():
        known = (store.run_row(run_id) or NO_ROW)["endings"]
        new = {
            notebook: asdict(NotebookEnding(blocks))
            for notebook, blocks in planned.items()
            if known.get(notebook, {}).get("planned") != blocks
        }
        if new:
            store.update_run(run_id, endings=new)


def end_notebook(store: Store, run_id: str, notebook: str, ending: NotebookEnding) -> None:
    """Store how the measurement of a notebook ended, unless that is known; StoreError as `plan_blocks`."""
    with store.locked():
        if (store.run_row(run_id) or NO_ROW)["endings"].get(notebook) != asdict(ending):
            store.update_run(run_id, endings={notebook: asdict(ending)})
