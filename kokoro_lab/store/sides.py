"""What a comparison across runs may have on a side: a run, a table version, a git commit, or a folder of tables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.measure.cell import Block
from kokoro_lab.paths import ROOT
from kokoro_lab.store.blocks import blocks_of
from kokoro_lab.store.exporting import read_folder
from kokoro_lab.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "StoredRun", "history", "side"]

KINDS = ("run:", "version:", "commit:")
COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class StoredRun:
    """One run, with what decides what it may be compared with."""

    run_id: str
    machine_id: str
    software_id: str
    commit: str
    """Git commit that was recorded with its rows; empty outside a checkout."""
    dirty: bool
    blocks: tuple[Block, ...]


def side(store: Store, text: str) -> list[StoredRun] | None:
    """The runs that a side stands for; None when the text names cells of a run instead.

    run:ID, run:ID@VERSION (as it stood at that version of table `cells`), version:N (the newest run as it stood then),
    commit:SHA (all rows recorded with that commit; any name that git knows), a folder of exported tables, or a bare
    run id. Nothing is measured.

    Raises:
        InputError: a kind without its name, or a folder without tables.
        NothingMeasuredError: there are no such rows.
    """
    kind, _, name = text.partition(":")
    if f"{kind}:" in KINDS:
        if not name:
            raise InputError(f"{text!r} names no {kind}.")
        return {"run": _run, "version": _version, "commit": _commit}[kind](store, name)
    if Path(text).is_dir():
        return _folder(Path(text))
    return _run(store, text) if text in {run["run_id"] for run in store.runs()} else None


def history(store: Store) -> list[StoredRun]:
    """Every run of the store: what the variance between runs is learned from."""
    return _runs(store.cells(), store.samples())


def _run(store: Store, name: str) -> list[StoredRun]:
    run_id, at, version = name.partition("@")
    if at:
        store = _at(store, version)
    return _some(_runs(store.cells(run_id), store.samples(run_id)), f"run {name!r}")


def _version(store: Store, name: str) -> list[StoredRun]:
    then = _at(store, name)
    return _run(then, then.latest_run() or "")


def _at(store: Store, version: str) -> Store:
    """The store at a version of `cells`: its rows mark the blocks that are done, and hide the samples of later ones."""
    if not version.isdigit():
        raise InputError(f"A table version is a number, as `results history cells` shows them; got {version!r}.")
    return store.at({**store.versions(), "cells": int(version)})


def _commit(store: Store, name: str) -> list[StoredRun]:
    wanted = name if COMMIT.fullmatch(name) else _revision(name)
    cells = store.cells()
    here = cells[cells["git_commit"].fillna("").str.startswith(wanted)]
    samples = store.samples()
    return _some(_runs(here, samples[samples["run_id"].isin(set(here["run_id"]))]), f"commit {name!r}")


def _revision(name: str) -> str:
    """The commit behind a name such as main or HEAD~3, asked of git."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"Git knows no commit {name!r}: give its hash.") from error
    return done.stdout.strip()


def _folder(folder: Path) -> list[StoredRun]:
    inner = folder / "tables"
    tables = read_folder(inner if inner.is_dir() else folder)
    return _some(_runs(Store.decoded("cells", tables["cells"]), Store.decoded("samples", tables["samples"])), folder)


def _some(runs: Sequence[StoredRun], what: object) -> list[StoredRun]:
    if not runs:
        raise NothingMeasuredError(f"There are no rows of {what}: see `kokoro-lab results list`.")
    return list(runs)


def _runs(cells: pd.DataFrame, samples: pd.DataFrame) -> list[StoredRun]:
    """Rows by run, and by what they were measured with: a run that went on after a commit is two."""
    blocks: dict[tuple[str, str, str, str, bool], list[Block]] = {}
    told = zip(
        cells["run_id"],
        cells["machine_id"],
        cells["software_id"],
        cells["git_commit"].fillna(""),
        cells["git_dirty"].fillna(False).astype(bool),
        strict=True,
    )
    for key, block in zip(told, blocks_of(cells, samples), strict=True):
        blocks.setdefault(key, []).append(block)
    return [StoredRun(*key, tuple(found)) for key, found in blocks.items()]
