"""A stored block cannot be changed, removed or inserted without its seal or its chain saying so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_rows import Rows, put
from store_blocks import RECORD, block, cell, keep

from kokoro_lab.cli import run
from kokoro_lab.store import Store
from kokoro_lab.store.exporting import FORMATS, Format, export
from kokoro_lab.store.integrity.archives import read_archive
from kokoro_lab.store.integrity.seals import (
    ALTERED,
    START,
    UNCHAINED,
    UNSEALED,
    altered_blocks,
    digests,
    evidence,
    missing_links,
    run_seals,
    sealed,
)
from kokoro_lab.store.rows import cell_row, sample_rows
from kokoro_lab.store.schema import TABLES
from kokoro_lab.store.table import arrow_rows


def test_blocks_are_sealed_as_they_are_stored_and_continue_one_chain(rows: Rows) -> None:
    cells, samples = rows
    assert cells["link"].to_pylist() == [0, 1, 2, 3] and cells["digest"].to_pylist() == digests(cells, samples)
    head = START
    for digest, chain in zip(cells["digest"].to_pylist(), cells["chain"].to_pylist(), strict=True):
        head = head.follow(digest)
        assert head.chain == chain
    (seal,) = run_seals(cells).values()
    assert (seal.head, seal.blocks, seal.missing, seal.unverified) == (head.chain, 4, 0, 0)
    assert altered_blocks(cells, samples) == {} and missing_links(cells) == {}


def test_a_second_writer_and_one_that_comes_later_continue_the_chain(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "tables"), Store(tmp_path / "tables")
    for number, store in enumerate((first, second, first, Store(tmp_path / "tables"))):
        store.append_block(RECORD, block(number))
    assert first.rows("cells")["link"].to_pylist() == [0, 1, 2, 3] and first.altered() == {}


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_has_the_digests_of_the_tables(rows: Rows, tmp_path: Path, form: Format) -> None:
    store = Store(tmp_path / "tables")
    store.merge({"cells": rows[0], "samples": rows[1]})
    manifest = export(store, tmp_path / "out", form)
    read = read_archive(tmp_path / "out").tables
    assert digests(read["cells"], read["samples"]) == rows[0]["digest"].to_pylist()
    assert manifest["seals"]["r1"]["head"] == rows[0]["chain"].to_pylist()[-1]


@settings(max_examples=60)
@given(data=st.data())
def test_every_value_of_a_block_is_covered(rows: Rows, data: st.DataObject) -> None:
    which = data.draw(st.sampled_from(["cells", "samples"]))
    table = rows[0] if which == "cells" else rows[1]
    free = {"link", "digest", "chain", "origin", "schema_version", "run_id", "cell_id", "block"}
    column = data.draw(st.sampled_from(sorted(set(table.column_names) - free)))
    place = data.draw(st.integers(0, table.num_rows - 1))
    before, kind = table[column][place].as_py(), table.schema.field(column).type
    other: object = {pa.string(): "x", pa.bool_(): not before}.get(kind)
    if pa.types.is_timestamp(kind):
        other = before.replace(microsecond=before.microsecond ^ 1)
    elif other is None:
        other = 7 if before is None else before + 1
    changed = put(table, column, place, other)
    tables = (changed, rows[1]) if which == "cells" else (rows[0], changed)
    assert list(altered_blocks(*tables).values()) == [ALTERED]


def test_a_sample_more_or_less_and_a_removed_seal_are_noticed(rows: Rows) -> None:
    cells, samples = rows
    assert list(altered_blocks(cells, samples.slice(1)).values()) == [ALTERED]
    doubled = pa.concat_tables([samples, samples.slice(0, 1)])
    assert altered_blocks(cells, doubled) == {}, "a row that is stored twice is the same row"
    another = put(doubled, "repeat", doubled.num_rows - 1, 99)
    assert list(altered_blocks(cells, another).values()) == [ALTERED]
    stripped = put(cells, "digest", 2, None)
    assert list(altered_blocks(stripped, samples).values()) == [UNSEALED]


def test_a_block_that_is_replaced_with_its_own_digest_breaks_the_chain(rows: Rows) -> None:
    cells, samples = rows
    faster = put(cells, "wall_s", 1, 0.001)
    resealed = put(faster, "digest", 1, digests(faster, samples)[1])
    assert list(altered_blocks(resealed, samples).values()) == [UNCHAINED]
    head = START.follow(cells["digest"][0].as_py()).follow(resealed["digest"][1].as_py())
    chained = put(resealed, "chain", 1, head.chain)
    assert list(altered_blocks(chained, samples).values()) == [UNCHAINED], "the next block does not follow now"
    removed = cells.filter(pc.not_equal(cells["link"], 1))
    assert missing_links(removed) == {"r1": [1]} and altered_blocks(removed, samples) == {}


def test_what_only_an_earlier_head_shows(rows: Rows) -> None:
    """There is no secret key: docs/how-to/read-tables.md names these two limits."""
    cells, samples = rows
    (seal,) = run_seals(cells).values()
    cut = cells.slice(0, 3)
    kept = samples.filter(pc.is_in(samples["block"], cut["block"]))
    rest, _ = sealed(put(cells, "wall_s", 1, 0.001).slice(1), samples, START.follow(cells["digest"][0].as_py()))
    resealed = pa.concat_tables([cells.slice(0, 1), rest])
    for changed, repeats in ((cut, kept), (resealed, samples)):
        assert altered_blocks(changed, repeats) == {} and missing_links(changed) == {}
        assert [run.head for run in run_seals(changed).values()] != [seal.head]


def test_columns_of_a_later_version_that_are_empty_change_no_digest(rows: Rows) -> None:
    cells, samples = rows
    later = cells.append_column("a_later_column", pa.nulls(cells.num_rows, pa.string()))
    assert digests(later, samples) == digests(cells, samples)


def test_evidence_depends_on_values_and_not_on_their_order() -> None:
    blocks = {("a", 0): "x", ("b", 1): "y"}
    assert evidence(blocks) == evidence(dict(reversed(blocks.items())))
    assert evidence(blocks) != evidence({**blocks, ("b", 1): "z"}) != evidence({("a", 0): "x"})


def test_ten_thousand_blocks_are_verified_in_seconds() -> None:
    made = [block(number, repeats=5) for number in range(100)]
    cells = arrow_rows(TABLES["cells"], [cell_row(RECORD, item) for item in made])
    samples = arrow_rows(TABLES["samples"], [row for item in made for row in sample_rows(RECORD, item)])
    began = time.process_time()
    digests(cells, samples)
    assert 100 * (time.process_time() - began) < 30  # of processor time; 3 s on an idle machine


def test_sealing_a_block_takes_a_few_milliseconds(rows: Rows) -> None:
    one, own = rows[0].slice(0, 1), rows[1].slice(0, 3)
    timed = []
    for _ in range(20):
        began = time.process_time()
        sealed(one, own, START)
        timed.append(time.process_time() - began)
    assert min(timed) < 0.018, "2 % of a block of the tiny model"


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], Store]:
    def make(name: str) -> Store:
        store = Store(tmp_path / name / "tables")
        keep(store, "r1", block(0), block(0, of=cell(2, reference=True)))
        return store

    return make


def test_the_head_is_printed(
    kept: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept("results")
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(store.root.parent))
    head = store.seals()["r1"].head
    for command in (["list", "--json"], ["show", "cells", "--run", "r1", "--json"]):
        assert run(["results", *command]) == 0
        assert f'"head": "{head}"' in capsys.readouterr().out
