"""Seals: what shows that a stored block was changed, removed or inserted afterwards.

Every block has three columns in `cells`. `digest` is the SHA-256 of its values: of its row in `cells` and of its rows
in `samples`. `link` is its place in its run, from 0, and `chain` is the SHA-256 of the chain before it and its digest:
the last chain of a run, its head, stands for every block of the run.

The values are those that are read back: the texts, the numbers in the shortest form that gives the same number again,
times in microseconds. An export in Parquet and one in CSV therefore have the same digests as the tables. Empty values
and the defaults of later columns are left out, so that columns of later versions change no digest.

There is no secret key, so the tables alone cannot show two changes: blocks that were cut off the end of a run, and a
block whose digest was computed again together with the chains of all blocks after it. Both change the head. They are
found by comparing it with a head that was printed before: in a report, in the manifest of an export, or by
`results list`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kokoro_lab.store.schema import TABLES

__all__ = [
    "ALTERED",
    "SEAL",
    "SINCE",
    "START",
    "UNCHAINED",
    "UNSEALED",
    "ChainHead",
    "Key",
    "Originals",
    "RowKey",
    "RunSeal",
    "altered_blocks",
    "block_keys",
    "broken_links",
    "digests",
    "evidence",
    "missing_links",
    "row_digests",
    "row_seal",
    "run_seals",
    "sealed",
    "sealed_verdicts",
]

SEAL = ("link", "digest", "chain")
LEFT_OUT = frozenset({*SEAL, "origin", "schema_version"})
"""Columns of a block that its digest does not cover: the seal itself, and what an import or a later version writes."""

SINCE = 4
"""Schema version from which on every block and every verdict is sealed."""
DEFAULTS: Mapping[str, Any] = {"process": "own"}
"""Columns that came later -> what a migration gives older rows: like an empty value, it changes no digest."""
AT_ONCE = 20_000  # rows in Python's memory; a slice of all columns is then some 20 MB

ALTERED = "its values were changed after it was stored, and which of them cannot be known"
UNSEALED = "its seal was removed after it was stored"
UNCHAINED = "it does not follow the block before it: a block was replaced or inserted here"

Key = tuple[str, str, int]
RowKey = tuple[str, str, int, int | None]
"""A block and one of its repeats; None: its row in `cells`."""
Originals = Mapping[RowKey, str]
"""Rows that were changed on purpose -> the digests that they had before: a copy without names of users has some."""


@dataclass(frozen=True)
class ChainHead:
    """The end of a run's chain."""

    links: int = 0
    """Number of sealed blocks, removed ones included."""
    chain: str = ""

    def follow(self, digest: str) -> ChainHead:
        """The head after one more block."""
        return ChainHead(self.links + 1, hashlib.sha256((self.chain + digest).encode()).hexdigest())


START = ChainHead()


@dataclass(frozen=True)
class RunSeal:
    """The seal of a run, as it is printed."""

    head: str
    """The last chain; empty for a run without sealed blocks."""
    blocks: int
    """Sealed blocks that are stored."""
    missing: int = 0
    """Links of the chain without a block."""
    unverified: int = 0
    """Blocks without a seal: they were stored before blocks had one. Documents have had this name since then."""

    @property
    def words(self) -> str:
        """The seal in one sentence."""
        parts = [f"{_count(self.blocks, 'sealed block')}, chain head {self.head}"] if self.blocks else []
        parts += [f"{_count(self.missing, 'block')} missing from the chain"] if self.missing else []
        parts += [f"{_count(self.unverified, 'unsealed block')} (stored before blocks had seals)"] * bool(
            self.unverified
        )
        return "; ".join(parts) or "no blocks"


def row_digests(rows: pa.Table) -> dict[RowKey, str]:
    """SHA-256 of the values of each row of `cells` or of `samples`, by its key."""
    return {key: line.hex() for key, line in zip(_row_keys(rows), _lines(rows), strict=True)}


def digests(cells: pa.Table, samples: pa.Table, originals: Originals | None = None) -> list[str]:
    """SHA-256 of each block, in the order of `cells`; `samples` has the rows of these blocks, and maybe others.

    Both have the columns of the current schema. A row that is stored twice counts once. A row of `originals` counts as
    it was.
    """
    known = {key: bytes.fromhex(digest) for key, digest in (originals or {}).items()}
    repeats: dict[Key, list[tuple[int, bytes]]] = {key: [] for key in block_keys(cells)}
    for (*block, repeat), line in zip(_row_keys(samples), _lines(samples), strict=True):
        key = (block[0], block[1], block[2])
        if key in repeats:
            repeats[key].append((repeat or 0, known.get((*key, repeat), line)))
    return [
        hashlib.sha256(
            known.get((*key, None), line) + b"".join(repeat for _, repeat in sorted(set(repeats[key])))
        ).hexdigest()
        for key, line in zip(block_keys(cells), _lines(cells), strict=True)
    ]


def sealed(cells: pa.Table, samples: pa.Table, head: ChainHead) -> tuple[pa.Table, ChainHead]:
    """The rows of finished blocks of one run, in their order, with their seals, and the new head of the run."""
    seals = []
    for digest in digests(cells, samples):
        head = head.follow(digest)
        seals.append((head.links - 1, digest, head.chain))
    for name, values in zip(SEAL, zip(*seals, strict=True), strict=True):
        field = cells.schema.field(name)
        cells = cells.set_column(cells.column_names.index(name), field, pa.array(values, field.type))
    return cells, head


def altered_blocks(cells: pa.Table, samples: pa.Table, originals: Originals | None = None) -> dict[Key, str]:
    """The blocks that are not what was stored, each with what is wrong; blocks from before seals are not among them."""
    wrong: dict[Key, str] = {}
    rows = zip(block_keys(cells), cells["digest"].to_pylist(), cells["schema_version"].to_pylist(), strict=True)
    for (key, digest, version), recomputed in zip(rows, digests(cells, samples, originals), strict=True):
        if digest is None and version >= SINCE:
            wrong[key] = UNSEALED
        elif digest is not None and digest != recomputed:
            wrong[key] = ALTERED
    for key in broken_links(cells):
        wrong.setdefault(key, UNCHAINED)
    return wrong


def broken_links(cells: pa.Table, removed: Mapping[tuple[str, int], str] | None = None) -> list[Key]:
    """The blocks whose chain does not follow from their digest and the block before.

    Args:
        cells: rows of any runs.
        removed: (run, link) -> chain of blocks that were taken out of the table and are known.
    """
    chains = dict(removed or {})
    rows = list(_links(cells))
    chains.update({(key[0], link): chain for key, link, _, chain in rows})
    seen: dict[tuple[str, int], Key] = {}
    wrong = []
    for key, link, digest, chain in rows:
        before = START.chain if link == 0 else chains.get((key[0], link - 1))
        follows = before is None or ChainHead(link, before).follow(digest).chain == chain
        if not follows or seen.setdefault((key[0], link), key) != key:
            wrong.append(key)
    return wrong


def missing_links(cells: pa.Table) -> dict[str, list[int]]:
    """Run -> the links of its chain that no block has, up to its last block; runs without a gap are left out."""
    present: dict[str, set[int]] = {}
    for key, link, _, _ in _links(cells):
        present.setdefault(key[0], set()).add(link)
    gaps = {run_id: sorted(set(range(max(links) + 1)) - links) for run_id, links in present.items()}
    return {run_id: links for run_id, links in gaps.items() if links}


def run_seals(cells: pa.Table) -> dict[str, RunSeal]:
    """The seal of every run that has rows, as it is stored."""
    last: dict[str, tuple[int, str]] = {}
    sealed_blocks: dict[str, int] = {}
    for key, link, _, chain in _links(cells):
        sealed_blocks[key[0]] = sealed_blocks.get(key[0], 0) + 1
        last[key[0]] = max(last.get(key[0], (-1, "")), (link, chain))
    gaps = missing_links(cells)
    total: dict[str, int] = {}
    for run_id in cells["run_id"].to_pylist():
        total[run_id] = total.get(run_id, 0) + 1
    return {
        run_id: RunSeal(
            head=last.get(run_id, (-1, ""))[1],
            blocks=sealed_blocks.get(run_id, 0),
            missing=len(gaps.get(run_id, ())),
            unverified=count - sealed_blocks.get(run_id, 0),
        )
        for run_id, count in total.items()
    }


def evidence(blocks: Mapping[tuple[str, int], str]) -> str:
    """The SHA-256 over the digests of some blocks of a run, by cell and number: what a verdict was drawn from."""
    lines = sorted(f"{cell_id} {number} {digest}" for (cell_id, number), digest in blocks.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def row_seal(row: Mapping[str, Any]) -> str:
    """The SHA-256 of a verdict's own values, its `details` (JSON text) without the seal that is in them."""
    details = json.loads(row["details"])
    details.pop("seal", None)
    plain = {**row, "details": json.dumps(details, sort_keys=True, ensure_ascii=False)}
    plain["made_at"] = plain["made_at"].isoformat()
    kept = {name: value for name, value in plain.items() if name != "schema_version" and value is not None}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def sealed_verdicts(verdicts: pa.Table) -> pa.Table:
    """The verdicts with the digest of their own values in their details."""
    details = [
        json.dumps({**json.loads(row["details"]), "seal": row_seal(row)}, sort_keys=True, ensure_ascii=False)
        for row in verdicts.to_pylist()
    ]
    at = verdicts.column_names.index("details")
    return verdicts.set_column(at, verdicts.schema.field(at), pa.array(details, pa.string()))


def _links(cells: pa.Table) -> Iterable[tuple[Key, int, str, str]]:
    columns = (cells[name].to_pylist() for name in SEAL)
    for key, link, digest, chain in zip(block_keys(cells), *columns, strict=True):
        if link is not None and digest is not None and chain is not None:
            yield key, link, digest, chain


def block_keys(rows: pa.Table) -> list[Key]:
    """The block of each row of `cells` or of `samples`."""
    return list(zip(*(rows[name].to_pylist() for name in TABLES["cells"].key), strict=True))


def _row_keys(rows: pa.Table) -> list[RowKey]:
    blocks = block_keys(rows)
    repeats = rows["repeat"].to_pylist() if "repeat" in rows.column_names else [None] * len(blocks)
    return [(*block, repeat) for block, repeat in zip(blocks, repeats, strict=True)]


def _lines(rows: pa.Table) -> Iterable[bytes]:
    """The SHA-256 of each row's values."""
    names = sorted(set(rows.column_names) - LEFT_OUT)
    for start in range(0, rows.num_rows, AT_ONCE):
        part = rows.slice(start, AT_ONCE)
        columns = [_values(name, part[name]) for name in names]
        for values in zip(*columns, strict=True):
            yield hashlib.sha256("".join(values).encode("utf-8", "surrogatepass")).digest()


def _values(name: str, column: pa.ChunkedArray) -> Sequence[str]:
    """Each value with its column and its length, so that no two rows look alike; nothing for an empty value."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    text = _text_of(column.type)
    if len(column) == 1:
        return [_named(name, text, column[0].as_py())]
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    known = [_named(name, text, value) for value in encoded.dictionary.to_pylist()]
    return ["" if at is None else known[at] for at in encoded.indices.to_pylist()]


def _named(name: str, text: Callable[[Any], str], value: Any) -> str:
    if value is None or (name in DEFAULTS and value == DEFAULTS[name]):
        return ""
    words = text(value)
    return f"{name}:{len(words)}:{words};"


def _text_of(kind: pa.DataType) -> Callable[[Any], str]:
    if pa.types.is_string(kind):
        return str
    return repr


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
