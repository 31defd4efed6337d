"""The checks of seals in a results folder: of blocks, of the chains of runs, and of verdicts (see `seals`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from kokoro_lab.errors import StoreError
from kokoro_lab.files.writing import write_text
from kokoro_lab.store.integrity.examination import (
    GAPS,
    Examination,
    Finding,
    as_bytes,
    noted_gaps,
    row_keys,
    taken_out,
    told,
)
from kokoro_lab.store.integrity.json_shapes import decode
from kokoro_lab.store.integrity.seals import missing_links, run_seals
from kokoro_lab.store.integrity.verdict_states import CHANGED, EDITED, verdict_states
from kokoro_lab.store.layout import Results
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import Table

__all__ = ["WRONG_VERDICTS", "altered", "chains", "unsealed_blocks", "verdicts"]

WRONG_VERDICTS: Mapping[str, str] = {
    EDITED: "its values were changed after it was stored",
    CHANGED: "blocks that it was drawn from were changed, removed or inserted since",
}


def altered(name: str, raw: pa.Table, examination: Examination) -> Mapping[int, str]:
    """Rows of blocks whose seal does not hold; readers leave them out."""
    if name not in ("samples", "cells") or not examination.altered:
        return {}
    wrong = {tuple(map(as_bytes, key)): words for key, words in examination.altered.items()}
    return {place: wrong[key] for place, key in enumerate(row_keys(name, raw)) if key in wrong}


def chains(examination: Examination) -> Iterator[Finding]:
    """Blocks that are missing from the chain of their run. A repair writes down that they are lost."""
    try:
        cells = examination.table("cells").read()
    except StoreError:
        return  # told by the checks before
    known = {*taken_out(examination.results), *noted_gaps(examination.results), *_lost_before_import(cells)}
    gaps = {
        run_id: [link for link in links if (run_id, link) not in known]
        for run_id, links in missing_links(cells).items()
    }
    gaps = {run_id: links for run_id, links in gaps.items() if links}
    repaired = ""
    if gaps and examination.repair:
        path = examination.quarantine / GAPS
        write_text(path, json.dumps(gaps) + "\n")
        repaired = f"noted in {examination.named(path)}; the blocks are lost"
    for run_id, links in gaps.items():
        blocks = "1 block is" if len(links) == 1 else f"{len(links)} blocks are"
        words = f"{blocks} missing from the chain of run {run_id!r} (the first was stored as link {links[0]})"
        yield Finding(examination.named(examination.table("cells").folder), words, repaired)


def _lost_before_import(cells: pa.Table) -> set[tuple[str, int]]:
    """(run, link) of the blocks that imported runs did not have any more."""
    origins = [decode(text) for text in set(cells["origin"].to_pylist()) - {None}]
    return {
        (run_id, link)
        for origin in origins
        for run_id, links in (origin.get("missing") or {}).items()
        for link in links
    }


def verdicts(examination: Examination) -> Iterator[Finding]:
    """Verdicts that were changed, or whose blocks were, after they were stored. A repair takes them out."""
    store, table = examination.store, examination.table("verdicts")
    try:
        rows = table.read()
        states = verdict_states(rows, store.rows("cells"), store.rows("samples"))
    except StoreError:
        return  # told by the checks before
    keyed = zip(row_keys("verdicts", rows), states, strict=True)
    wrong = {key: WRONG_VERDICTS[state] for key, state in keyed if state in WRONG_VERDICTS}
    raw = table.raw()
    if not wrong or raw is None:
        return
    places = {place: wrong[key] for place, key in enumerate(row_keys("verdicts", raw)) if key in wrong}
    yield from told(examination, table, raw, places)


def unsealed_blocks(results: Results) -> int:
    """Blocks that were stored before blocks had seals: nothing can be said about them."""
    try:
        cells = Table(results.tables / "cells", TABLES["cells"]).read()
    except StoreError:
        return 0  # told by the check of the table's files
    return sum(seal.unverified for seal in run_seals(cells).values())
