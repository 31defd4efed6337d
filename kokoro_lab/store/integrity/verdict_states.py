"""Whether a stored verdict still follows from the rows: its own values, and those of the blocks it was drawn from.

A verdict's details say what it was drawn from: `cells`, the cells that were judged together; `links`, the length of the
run's chain at that time; and `evidence`, the digest over the digests of these blocks. `seal` is the digest of the
verdict's own values.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Literal

import pyarrow as pa

from kokoro_lab.store.integrity.seals import SINCE, Key, Originals, block_keys, digests, evidence, row_seal

__all__ = ["CHANGED", "EDITED", "OUTDATED", "VerdictState", "basis_of", "verdict_states"]

VerdictState = Literal["current", "unsealed", "edited", "blocks changed", "outdated"]
EDITED: VerdictState = "edited"
"""The verdict itself was changed after it was stored."""
CHANGED: VerdictState = "blocks changed"
"""A block that it was drawn from was changed, removed or inserted since."""
OUTDATED: VerdictState = "outdated"
"""Its cells have more blocks by now: their run was continued and not judged again."""

BASIS = ("cells", "links", "evidence")

Blocks = Mapping[Key, tuple[str, int | None]]
"""Block -> its digest as its rows are now, and its link."""


def basis_of(run_id: str, cells: Collection[str], rows: pa.Table, samples: pa.Table) -> dict[str, Any]:
    """What a verdict on these cells of a run is drawn from now, as members of its details.

    `rows` and `samples` are those of tables `cells` and `samples`.
    """
    blocks = _blocks(rows, samples)
    here = _of_cells(blocks, run_id, set(cells))
    length = 1 + max((link for key, (_, link) in blocks.items() if key[0] == run_id and link is not None), default=-1)
    return {"cells": sorted(cells), "links": length, "evidence": evidence(here)}


def verdict_states(
    verdicts: pa.Table, cells: pa.Table, samples: pa.Table, originals: Originals | None = None
) -> list[VerdictState]:
    """The state of each verdict, in order, by the rows of the blocks of their runs; `originals` as in `digests`.

    A verdict without a seal is `unsealed` where its run is from before seals; in a run with sealed blocks it is edited.
    """
    if not verdicts.num_rows:
        return []
    blocks = _blocks(cells, samples, originals)
    sealed_runs = {key[0] for key, (_, link) in blocks.items() if link is not None}
    known: dict[str, VerdictState] = {}
    states: list[VerdictState] = []
    for row in verdicts.to_pylist():
        details = json.loads(row["details"])
        state = _state_of_row(row, details, sealed=row["run_id"] in sealed_runs)
        if state is None:
            basis = json.dumps([row["run_id"], *(details.get(name) for name in BASIS)])
            if basis not in known:
                known[basis] = _state_of_blocks(row["run_id"], details, blocks)
            state = known[basis]
        states.append(state)
    return states


def _state_of_row(row: Mapping[str, Any], details: Mapping[str, Any], *, sealed: bool) -> VerdictState | None:
    """What a verdict's own values say; None for sound ones."""
    if details.get("seal") is None:
        return EDITED if sealed or row["schema_version"] >= SINCE else "unsealed"
    return None if details["seal"] == row_seal(row) else EDITED


def _state_of_blocks(run_id: str, details: Mapping[str, Any], blocks: Blocks) -> VerdictState:
    if details.get("cells") is None:  # of the machine, not of blocks
        return "current"
    here = _of_cells(blocks, run_id, set(details["cells"]))
    links = {key[1:]: link for key, (_, link) in blocks.items() if key[0] == run_id}
    then = {key: digest for key, digest in here.items() if (links[key] or 0) < details["links"]}
    if evidence(then) != details["evidence"]:
        return CHANGED
    return "current" if len(then) == len(here) else OUTDATED


def _of_cells(blocks: Blocks, run_id: str, wanted: set[str]) -> dict[tuple[str, int], str]:
    return {key[1:]: digest for key, (digest, _) in blocks.items() if key[0] == run_id and key[1] in wanted}


def _blocks(cells: pa.Table, samples: pa.Table, originals: Originals | None = None) -> Blocks:
    found = zip(digests(cells, samples, originals), cells["link"].to_pylist(), strict=True)
    return dict(zip(block_keys(cells), found, strict=True))
