"""The first difference between rows that are stored and rows of the same keys from elsewhere.

Rows of one block, verdict or notebook execution are the same everywhere: an import that has others was changed, or is
another measurement under the same name. What an import or a later version writes is not compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from kokoro_lab.store.integrity.seals import SEAL, block_keys, digests
from kokoro_lab.store.schema import TABLES

__all__ = ["Difference", "first_difference"]

Difference = tuple[str, str, str, str, str]
"""The run; where in it, in words; the column; the value here; the value there."""

NOT_COMPARED = frozenset({"origin", "schema_version"})
COMPARED = ("cells", "samples", "verdicts", "notebooks", "attempts")
LONGEST = 60  # characters of a value in a message


def first_difference(here: Mapping[str, pa.Table], there: Mapping[str, pa.Table]) -> Difference | None:
    """The first difference between rows of the same key, by table and row; None where there is none."""
    blocks = _differing_blocks(here, there)
    for name in COMPARED:
        stored, given = (_rows(name, side[name], blocks) for side in (here, there))
        if name == "samples":
            missing = _other_repeats(stored, given)
            if missing is not None:
                return missing
        for key, row in given.items():
            known = stored.get(key)
            if known is None or known == row or (name == "verdicts" and not _of_the_same_blocks(known, row)):
                continue
            for column in TABLES[name].columns.names:
                sealing = column in SEAL and (known[column] is None or row[column] is None)
                if column not in NOT_COMPARED and not sealing and known[column] != row[column]:
                    return row["run_id"], _words(name, row), column, _shown(known[column]), _shown(row[column])
    return None


def _differing_blocks(here: Mapping[str, pa.Table], there: Mapping[str, pa.Table]) -> set[Any]:
    """The blocks that both sides have, with other digests; all others need no look at their rows."""
    sides = [
        dict(zip(block_keys(side["cells"]), digests(side["cells"], side["samples"]), strict=True))
        for side in (here, there)
    ]
    seals = [
        dict(zip(block_keys(side["cells"]), side["cells"]["chain"].to_pylist(), strict=True)) for side in (here, there)
    ]
    return {
        key
        for key in sides[0].keys() & sides[1].keys()
        if sides[0][key] != sides[1][key] or (None not in (chains := {side[key] for side in seals}) and len(chains) > 1)
    }


def _rows(name: str, rows: pa.Table, blocks: set[Any]) -> dict[Any, dict[str, Any]]:
    """The rows of a table by key; of blocks, only of these."""
    if name in ("cells", "samples"):
        rows = rows.filter(pa.array([key in blocks for key in block_keys(rows)], pa.bool_()))
    return {_key(name, row): row for row in rows.to_pylist()}


def _other_repeats(stored: Mapping[Any, Any], given: Mapping[Any, Any]) -> Difference | None:
    """A block of which one side has other repeats than the other."""
    counts: tuple[dict[Any, list[int]], dict[Any, list[int]]] = ({}, {})
    for side, rows in zip(counts, (stored, given), strict=True):
        for key in rows:
            side.setdefault(key[:-1], []).append(key[-1])
    for block, repeats in counts[1].items():
        known = counts[0].get(block)
        if known is not None and sorted(known) != sorted(repeats):
            row = next(row for key, row in given.items() if key[:-1] == block)
            return row["run_id"], _words("cells", row), "number of samples", str(len(known)), str(len(repeats))
    return None


def _of_the_same_blocks(known: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether two verdicts were drawn from the same blocks; others differ by right."""
    sides = [json.loads(side["details"]) for side in (known, row)]
    return all(sides[0].get(name) == sides[1].get(name) for name in ("evidence", "attempt"))


def _key(name: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in (*TABLES[name].key, *(("repeat",) if name == "samples" else ())))


def _words(name: str, row: Mapping[str, Any]) -> str:
    if name in ("cells", "samples"):
        return f"block {row['block']} of cell {row['cell_id']}"
    if name == "notebooks":
        return f"notebook {row['notebook']!r}"
    return f"the {'verdict' if name == 'verdicts' else 'attempt'} on cell {row['candidate_cell']}"


def _shown(value: Any) -> str:
    words = "".join(character if character.isprintable() else "?" for character in str(value))
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
