"""The verdicts of a run as its rows support them now: stored ones that still hold, and the others judged again.

A stored verdict is stale when it was changed, when a block that it was drawn from was, or when its run has more blocks
by now. What a changed verdict says of itself is not used: not the cells that it was judged with, and not which attempt
it was. Nothing is written here: `conclude` stores what is judged again when the run is continued.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from kokoro_lab.store.blocks import blocks_of
from kokoro_lab.store.integrity.attempts import Pair, stored_attempts
from kokoro_lab.store.integrity.seals import sealed_verdicts
from kokoro_lab.store.integrity.verdict_states import (
    CHANGED,
    EDITED,
    OUTDATED,
    VerdictState,
    basis_of,
    verdict_states,
)
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.store_reader import StoreReader
from kokoro_lab.store.table import arrow_rows
from kokoro_lab.sweeps.conclude import verdict_rows
from kokoro_lab.sweeps.machine_ceiling import PEAK_METRIC, WORK_METRIC

__all__ = ["CurrentVerdicts", "current_verdicts", "is_of_blocks", "judged_again", "of_run"]

STALE: Mapping[VerdictState, str] = {
    EDITED: "changed after they were stored",
    CHANGED: "drawn from blocks that were changed, removed or inserted since",
    OUTDATED: "drawn before the last blocks of the run were measured",
}


@dataclass(frozen=True)
class CurrentVerdicts:
    """Verdicts that follow from the rows, and what was done to get them."""

    rows: pa.Table
    """Stored rows as they are; those that were judged again have a seal of their own."""
    notes: tuple[str, ...] = ()
    """Sentences on verdicts that were judged again or left out; empty when all stored ones hold."""

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame, JSON columns decoded."""
        return StoreReader.decoded("verdicts", self.rows)


def current_verdicts(
    verdicts: pa.Table, cells: pa.Table, samples: pa.Table, attempts: Mapping[Pair, int] | None = None
) -> CurrentVerdicts:
    """The verdicts of one run by the rows of its blocks.

    Args:
        verdicts: the stored rows.
        cells: the rows of the run's blocks.
        samples: their samples.
        attempts: which attempt each comparison is, of `stored_attempts`.
    """
    states = verdict_states(verdicts, cells, samples)
    stale = [place for place, state in enumerate(states) if state in STALE]
    if not stale:
        return CurrentVerdicts(verdicts)
    stored = verdicts.to_pylist()
    details = [json.loads(row["details"]) for row in stored]
    of_blocks = [place for place in stale if is_of_blocks(stored[place])]
    trusted = [{} if state == EDITED else members for state, members in zip(states, details, strict=True)]
    jobs = {_job(stored[place], trusted[place], cells) for place in of_blocks}
    kept = [
        row
        for place, row in enumerate(stored)
        if place not in stale and tuple(details[place].get("cells") or ()) not in jobs
    ]
    known = {_key(row) for row in kept}
    numbers = _Numbers({**_attempts_of(stored, trusted), **(attempts or {})}, _looks_of(stored, trusted, cells))
    run_id = stored[0]["run_id"]
    again = [row for job in sorted(jobs) for row in _judged(run_id, job, cells, samples, numbers)]
    fresh = sealed_verdicts(arrow_rows(TABLES["verdicts"], [row for row in again if _key(row) not in known]))
    rows = pa.concat_tables([pa.Table.from_pylist(kept, TABLES["verdicts"].columns), fresh])
    return CurrentVerdicts(rows, tuple(_notes([states[place] for place in stale], len(stale) - len(of_blocks))))


def of_run(store: StoreReader, run_id: str) -> CurrentVerdicts:
    """The verdicts of a stored run."""
    verdicts, cells, samples = (store.rows(name, run_id=run_id) for name in ("verdicts", "cells", "samples"))
    return current_verdicts(verdicts, cells, samples, stored_attempts(store, run_id))


def is_of_blocks(row: Mapping[str, Any]) -> bool:
    """Whether a verdict is drawn from blocks: those on the machine's peak and on the model's work are not."""
    return row["metric"] not in (PEAK_METRIC, WORK_METRIC)


def judged_again(
    verdicts: pa.Table, cells: pa.Table, samples: pa.Table, attempts: Mapping[Pair, int] | None = None
) -> pa.Table:
    """The rows that the verdicts of one run on blocks should be, judged from its blocks; arguments as above."""
    stored = [row for row in verdicts.to_pylist() if is_of_blocks(row)]
    details = [json.loads(row["details"]) for row in stored]
    jobs = {_job(row, members, cells) for row, members in zip(stored, details, strict=True)}
    numbers = _Numbers({**_attempts_of(stored, details), **(attempts or {})}, _looks_of(stored, details, cells))
    judged = {
        _key(row): row for job in sorted(jobs) for row in _judged(stored[0]["run_id"], job, cells, samples, numbers)
    }
    return arrow_rows(TABLES["verdicts"], list(judged.values()))


@dataclass(frozen=True)
class _Numbers:
    """What the level of a comparison depends on."""

    attempts: Mapping[Pair, int]
    looks: Mapping[tuple[str, ...], int]
    """Cells that were judged together -> how often their run looks at them; once where it is not named."""


def _job(row: Mapping[str, Any], details: Mapping[str, Any], cells: pa.Table) -> tuple[str, ...]:
    """The cells that a verdict was drawn from together; where it does not say so, those of its notebook."""
    if isinstance(details.get("cells"), list) and details["cells"]:
        return tuple(map(str, details["cells"]))
    pairs = list(zip(cells["cell_id"].to_pylist(), cells["notebook"].to_pylist(), strict=True))
    notebooks = {notebook for cell, notebook in pairs if cell == row["candidate_cell"]}
    return tuple(sorted({cell for cell, notebook in pairs if notebook in notebooks}))


def _judged(
    run_id: str, job: tuple[str, ...], cells: pa.Table, samples: pa.Table, numbers: _Numbers
) -> list[dict[str, Any]]:
    wanted = set(job)
    frames = [StoreReader.decoded(name, rows) for name, rows in (("cells", cells), ("samples", samples))]
    blocks = blocks_of(*(frame[frame["cell_id"].isin(wanted)] for frame in frames))
    here = {block.cell.id for block in blocks}
    basis = basis_of(run_id, here, cells, samples)
    return verdict_rows(run_id, blocks, basis, numbers.attempts, numbers.looks.get(job, 1))


def _attempts_of(rows: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]]) -> dict[Pair, int]:
    numbers: dict[Pair, int] = {}
    for row, members in zip(rows, details, strict=True):
        number = members.get("attempt")
        if isinstance(number, int) and number > 0:
            pair = (row["base_cell"], row["candidate_cell"])
            numbers[pair] = max(number, numbers.get(pair, 1))
    return numbers


def _looks_of(
    rows: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]], cells: pa.Table
) -> dict[tuple[str, ...], int]:
    numbers: dict[tuple[str, ...], int] = {}
    for row, members in zip(rows, details, strict=True):
        number = members.get("looks")
        if isinstance(number, int) and number > 1:
            numbers[_job(row, members, cells)] = number
    return numbers


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in TABLES["verdicts"].key)


def _notes(states: Sequence[VerdictState], left_out: int) -> list[str]:
    notes = []
    for state, words in STALE.items():
        count = states.count(state)
        if count:
            verdicts = "1 stored verdict was" if count == 1 else f"{count} stored verdicts were"
            notes.append(f"{verdicts} {words}; judged again from the blocks.")
    if left_out:
        rows = "1 row" if left_out == 1 else f"{left_out} rows"
        notes.append(f"{rows} on the machine's peak or the model's work changed after being stored; left out.")
    return notes
