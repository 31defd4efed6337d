"""The examination of a results folder: what its checks find, how they name rows, and how a repair takes rows out.

A repair never deletes what was measured: it moves it to results/quarantine/<time>/.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from kokoro_lab.errors import KokoroLabError, StoreError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import make_folder, write_text
from kokoro_lab.store.integrity.seals import UNCHAINED, altered_blocks, broken_links
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.store import Store
from kokoro_lab.store.table import Table

__all__ = [
    "GAPS",
    "Check",
    "Examination",
    "Finding",
    "RowCheck",
    "as_bytes",
    "noted_gaps",
    "row_keys",
    "row_name",
    "take_out",
    "taken_out",
    "told",
]

GAPS = "gaps.json"
"""In a repair's folder: run -> links of its chain whose blocks were missing, and that nobody will bring back."""
MOST_GAPS_BYTES = 64 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    where: str
    """A file, a folder or a table, relative to the results folder."""
    problem: str
    repaired: str = ""
    """What was done about it; empty when nothing was."""


@dataclass(frozen=True)
class Examination:
    """The folder that is examined, and where a repair puts what it takes out."""

    results: Results
    repair: bool

    @cached_property
    def store(self) -> Store:
        """The tables."""
        return Store(self.results.tables)

    @cached_property
    def quarantine(self) -> Path:
        """A new folder for this repair; created when it is first asked for."""
        at = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
        folder, number = self.results.inside(self.results.quarantine) / at, 1
        while folder.exists():
            number += 1
            folder = self.results.quarantine / f"{at}-{number}"
        return make_folder(folder)

    @cached_property
    def altered(self) -> Mapping[tuple[str, str, int], str]:
        """The blocks that are not what was stored, by their keys; of the rows that can be read."""
        try:
            cells, samples = (self.table(name).read() for name in ("cells", "samples"))
        except StoreError:
            return {}  # told by the check of the table's files
        found = altered_blocks(cells, samples)
        chained = set(broken_links(cells, taken_out(self.results)))
        return {
            **dict.fromkeys(chained, UNCHAINED),
            **{key: words for key, words in found.items() if words != UNCHAINED},
        }

    def table(self, name: str) -> Table:
        """One table of the store."""
        return Table(self.results.tables / name, TABLES[name])

    def named(self, path: Path) -> str:
        """A path as findings name it."""
        return path.relative_to(self.results.root).as_posix()

    def move_out(self, path: Path) -> str:
        """Move a file or folder into the quarantine; returns what was done, in words."""
        target = self.quarantine / path.relative_to(self.results.root)
        make_folder(target.parent)
        path.rename(target)
        return f"moved to {self.named(target)}"


Check = Callable[[Examination], Iterator[Finding]]
"""Looks at one part of the folder."""
RowCheck = Callable[[str, pa.Table, Examination], Mapping[int, str]]
"""Gives the places of the rows of a table, as they were written, that are wrong, with what is wrong with them."""


def row_keys(name: str, raw: pa.Table, *more: str) -> Iterator[tuple[Any, ...]]:
    """The key of each row as it was written, and `more` columns; texts as bytes, see `as_bytes`."""
    columns = (raw[column] for column in (*TABLES[name].key, *more))
    return zip(*(column.cast(_exact(column.type)).to_pylist() for column in columns), strict=True)


def as_bytes(value: Any) -> Any:
    """A member of a key as `row_keys` gives it."""
    return value.encode() if isinstance(value, str) else value


def _exact(kind: pa.DataType) -> pa.DataType:
    """Texts as bytes: those of a damaged row may not be texts."""
    return pa.binary() if pa.types.is_string(kind) else kind


def row_name(name: str, raw: pa.Table, place: int) -> str:
    """The key of the row at this place, as findings show it."""
    values = next(iter(row_keys(name, raw.slice(place, 1))))
    shown = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return ", ".join(f"{column} {str(value)[:80]!r}" for column, value in zip(TABLES[name].key, shown, strict=True))


def take_out(examination: Examination, table: Table, raw: pa.Table, wrong: Mapping[int, str]) -> str:
    """Write rows to the quarantine as they are, with what is wrong with each, then take them out of the table."""
    name = table.schema.name
    places = sorted(wrong)
    taken = raw.take(places)
    exact = [taken[column].cast(_exact(taken[column].type)) for column in taken.column_names]
    parquet.write_table(
        pa.Table.from_arrays(exact, names=taken.column_names), examination.quarantine / f"{name}.parquet"
    )
    lines = [json.dumps({"row": row_name(name, raw, place), "problem": wrong[place]}) + "\n" for place in places]
    write_text(examination.quarantine / f"{name}.jsonl", "".join(lines))
    kept = pa.array([at for at in range(raw.num_rows) if at not in wrong], pa.int64())
    table.overwrite(raw.take(kept), note={"repaired": str(len(wrong))})
    return f"moved to {examination.named(examination.quarantine)}/{name}.parquet"


def told(examination: Examination, table: Table, raw: pa.Table, wrong: Mapping[int, str]) -> Iterator[Finding]:
    """One finding for each problem of a table's rows, with their number and the first; a repair takes them out."""
    repaired = take_out(examination, table, raw, wrong) if examination.repair else ""
    for problem, count in Counter(wrong.values()).items():
        first = min(place for place, words in wrong.items() if words == problem)
        name = row_name(table.schema.name, raw, first)
        words = f"{count} {'row' if count == 1 else 'rows'}: {problem} (the first is {name})"
        yield Finding(examination.named(table.folder), words, repaired)


def taken_out(results: Results) -> dict[tuple[str, int], str]:
    """(run, link) -> chain of the blocks that earlier repairs moved into the quarantine."""
    chains: dict[tuple[str, int], str] = {}
    for path in sorted(results.quarantine.glob("*/cells.parquet")):
        with contextlib.suppress(OSError, pa.ArrowException, UnicodeDecodeError):
            rows = parquet.read_table(path)
            if not {"link", "chain"} <= set(rows.column_names):
                continue
            columns = (rows[name].to_pylist() for name in ("run_id", "link", "chain"))
            for run_id, link, chain in zip(*columns, strict=True):
                if run_id is not None and link is not None and chain is not None:
                    chains[run_id.decode(), link] = chain.decode()
    return chains


def noted_gaps(results: Results) -> set[tuple[str, int]]:
    """(run, link) of the blocks that earlier repairs found missing."""
    known: set[tuple[str, int]] = set()
    for path in sorted(results.quarantine.glob(f"*/{GAPS}")):
        with contextlib.suppress(KokoroLabError):
            document = read_json(path, what="list of missing blocks", most=MOST_GAPS_BYTES)
            for run_id, links in document.items() if isinstance(document, dict) else ():
                known |= {(run_id, link) for link in links if isinstance(link, int)}
    return known
