"""The sides of a comparison across runs: a run, a table version, a git commit, or a folder of tables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import InputError, NothingMeasuredError
from kokoro_lab.measure.records.cell import Block
from kokoro_lab.paths import checkout
from kokoro_lab.store.blocks import blocks_of
from kokoro_lab.store.integrity.archives import read_folder
from kokoro_lab.store.run_facts.run_labels import named_run
from kokoro_lab.store.store_reader import StoreReader, nothing_measured

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KINDS", "StoredRun", "history", "side"]

KINDS = ("run:", "version:", "commit:")
COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class StoredRun:
    """A run, with everything that determines what it may be compared with."""

    run_id: str
    machine_id: str
    software_id: str
    commit: str
    """Git commit that was recorded with its rows; empty outside a checkout."""
    dirty: bool
    blocks: tuple[Block, ...]


def side(store: StoreReader, text: str) -> list[StoredRun] | None:
    """The runs of a side; None when the text selects cells of a run instead.

    run:ID, run:ID@VERSION (as of that version of table `cells`), version:N (the newest run as of that version),
    commit:SHA (all rows recorded with that commit; any name that git knows), a folder of exported tables, or a bare
    run id. The name or a tag of a run may stand for its id. Nothing is measured.

    Raises:
        InputError: a kind without its name, or a folder without tables.
        NothingMeasuredError: there are no such rows.
    """
    kind, _, name = text.partition(":")
    if f"{kind}:" in KINDS:
        if not name:
            raise InputError(f"{text!r} names no {kind}; write {kind}:NAME")
        return {"run": _run, "version": _version, "commit": _commit}[kind](store, name)
    if _is_folder(Path(text)):
        return _folder(Path(text))
    run_id = named_run(store, text)
    return None if run_id is None else _run(store, run_id)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # longer than any path
        return False


def history(store: StoreReader) -> list[StoredRun]:
    """Every run of the store, from which the variance between runs is estimated."""
    return _runs(store.cells(), store.samples())


def _run(store: StoreReader, name: str) -> list[StoredRun]:
    named, at, version = name.partition("@")
    run_id = named_run(store, named) or named
    if at:
        store = _at(store, version)
    return _some(_runs(store.cells(run_id), store.samples(run_id)), f"run {name!r}")


def _version(store: StoreReader, name: str) -> list[StoredRun]:
    then = _at(store, name)
    newest = then.latest_run()
    if newest is None:
        raise NothingMeasuredError(nothing_measured(then))
    return _run(then, newest)


def _at(store: StoreReader, version: str) -> StoreReader:
    """The store at a version of `cells`: its rows mark the finished blocks, and hide the samples of later blocks."""
    if not version.isdigit():
        raise InputError(f"table version {version!r} is not a number; see `kokoro-lab results history cells`")
    return store.at({**store.versions(), "cells": int(version)})


def _commit(store: StoreReader, name: str) -> list[StoredRun]:
    wanted = name if COMMIT.fullmatch(name) else _revision(name)
    cells = store.cells()
    here = cells[cells["git_commit"].fillna("").str.startswith(wanted)]
    samples = store.samples()
    return _some(_runs(here, samples[samples["run_id"].isin(set(here["run_id"]))]), f"commit {name!r}")


def _revision(name: str) -> str:
    """The commit of a name such as main or HEAD~3, resolved by git."""
    repository = checkout()
    if repository is None:
        raise InputError(f"there is no git checkout in which to look up commit {name!r}; give its hash")
    command = ["git", "-C", str(repository), "rev-parse", "--verify", "--quiet", "--end-of-options"]
    command.append(f"{name}^{{commit}}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"git knows no commit {name!r}; give its hash") from error
    return done.stdout.strip()


def _folder(folder: Path) -> list[StoredRun]:
    inner = folder / "tables"
    tables = read_folder(inner if inner.is_dir() else folder)
    return _some(
        _runs(StoreReader.decoded("cells", tables["cells"]), StoreReader.decoded("samples", tables["samples"])), folder
    )


def _some(runs: Sequence[StoredRun], what: object) -> list[StoredRun]:
    if not runs:
        raise NothingMeasuredError(f"there are no rows of {what}; see `kokoro-lab results list`")
    return list(runs)


def _runs(cells: pd.DataFrame, samples: pd.DataFrame) -> list[StoredRun]:
    """Rows grouped by run and by code, software and machine: a run continued after a commit counts as two."""
    blocks: dict[tuple[str, str, str, str, bool], list[Block]] = {}
    keys = zip(
        cells["run_id"],
        cells["machine_id"],
        cells["software_id"],
        cells["git_commit"].fillna(""),
        cells["git_dirty"].fillna(False).astype(bool),
        strict=True,
    )
    for key, block in zip(keys, blocks_of(cells, samples), strict=True):
        blocks.setdefault(key, []).append(block)
    return [StoredRun(*key, tuple(measured)) for key, measured in blocks.items()]
