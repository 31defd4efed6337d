"""What is taken out of a table is kept as it was, with what was wrong with it, and is known afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyarrow import parquet
from store_blocks import block, keep

from kokoro_lab.store import Store
from kokoro_lab.store.integrity.examination import (
    GAPS,
    Examination,
    as_bytes,
    noted_gaps,
    row_keys,
    row_name,
    taken_out,
    told,
)
from kokoro_lab.store.layout import Results


@pytest.fixture
def place(tmp_path: Path) -> Results:
    place = Results(tmp_path)
    keep(Store(place.tables), "r1", block(0), block(1), block(2))
    return place


def test_rows_are_named_by_their_keys_even_where_a_text_is_damaged(place: Results) -> None:
    raw = Examination(place, repair=False).table("cells").raw()
    keys = list(row_keys("cells", raw))
    assert keys[1] == tuple(map(as_bytes, ("r1", block(1).cell.id, 1)))
    assert row_name("cells", raw, 1) == f"run_id 'r1', cell_id {block(1).cell.id!r}, block '1'"


@pytest.mark.parametrize("repair", [False, True])
def test_only_a_repair_takes_rows_out_and_it_keeps_them(place: Results, repair: bool) -> None:
    examination = Examination(place, repair=repair)
    table = examination.table("cells")
    raw = table.raw()
    links = raw["link"].to_pylist()
    wrong = {links.index(0): "wrong", links.index(2): "wrong"}
    (finding,) = told(examination, table, raw, wrong)
    assert finding.problem.startswith("2 rows: wrong (the first is run_id 'r1'") and finding.where == "tables/cells"
    assert bool(finding.repaired) is repair and place.quarantine.exists() is repair
    assert Store(place.tables).cells()["block"].tolist() == ([1] if repair else [0, 1, 2])
    assert set(taken_out(place)) == ({("r1", 0), ("r1", 2)} if repair else set())
    if repair:
        kept = parquet.read_table(examination.quarantine / "cells.parquet")
        assert sorted(kept["block"].to_pylist()) == [0, 2]
        lines = (examination.quarantine / "cells.jsonl").read_text().splitlines()
        assert [json.loads(line)["problem"] for line in lines] == ["wrong", "wrong"]


def test_every_repair_has_a_folder_of_its_own(place: Results) -> None:
    folders = {Examination(place, repair=True).quarantine for _ in range(3)}
    assert len(folders) == 3 and all(folder.is_dir() for folder in folders)


def test_gaps_of_earlier_repairs_are_known_and_a_damaged_list_is_none(place: Results) -> None:
    assert noted_gaps(place) == set()
    for text in ('{"r1": [1, 4]}', "{", '["r2"]', '{"r3": [2, "x"]}'):
        (Examination(place, repair=True).quarantine / GAPS).write_text(text)
    assert noted_gaps(place) == {("r1", 1), ("r1", 4), ("r3", 2)}
