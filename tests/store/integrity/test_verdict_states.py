"""A stored verdict holds only as long as its own values and those of its blocks are what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from store_blocks import block, cell, keep, rounds

from kokoro_lab.store import Store
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.integrity.verdict_states import verdict_states
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.conclude import conclude
from kokoro_lab.sweeps.current_verdicts import of_run

REFERENCE = cell(2, reference=True)


@pytest.fixture
def place(tmp_path: Path) -> Results:
    store = Store(Results(tmp_path).tables)
    keep(store, "r1", *rounds(REFERENCE, 10.0, 8), *rounds(cell(), 12.0, 8))
    conclude(store, "r1", {REFERENCE.id, cell().id})
    return Results(tmp_path)


def states(place: Results) -> set[str]:
    store = Store(place.tables)
    return set(verdict_states(*(store.rows(name) for name in ("verdicts", "cells", "samples"))))


def rewrite(place: Results, **values: object) -> None:
    table = Store(place.tables)._tables["verdicts"]
    rows = [{**row, **values} for row in table.read().to_pylist()]
    table.overwrite(pa.Table.from_pylist(rows, table.schema.columns))


def ratios(place: Results) -> list[float]:
    rows = of_run(Store(place.tables), "r1").rows.to_pylist()
    return sorted(row["ratio"] for row in rows if json.loads(row["details"])["kind"] == "cell")


def test_a_verdict_that_holds_is_current(place: Results) -> None:
    assert states(place) == {"current"} and of_run(Store(place.tables), "r1").notes == ()
    assert check_results(place) == []


def test_an_edited_verdict_is_found_and_judged_again(place: Results) -> None:
    before = ratios(place)
    rewrite(place, ratio=0.2, verdict="faster")
    assert states(place) == {"edited"} and ratios(place) == before
    assert "changed after they were stored" in of_run(Store(place.tables), "r1").notes[0]
    (finding,) = check_results(place)
    assert "its values were changed after it was stored" in finding.problem
    assert conclude(Store(place.tables), "r1", {REFERENCE.id, cell().id}) > 0 and states(place) == {"current"}


def test_a_verdict_whose_evidence_was_removed_is_edited_too(place: Results) -> None:
    rewrite(place, details=json.dumps({"kind": "cell"}))
    assert states(place) == {"edited"}


def test_more_blocks_make_a_verdict_outdated_which_is_no_damage(place: Results) -> None:
    keep(Store(place.tables), "r1", block(20, of=REFERENCE))
    assert states(place) == {"outdated"} and check_results(place) == []
    assert "before the last blocks" in of_run(Store(place.tables), "r1").notes[0]


def test_a_deleted_block_makes_its_verdicts_wrong_even_at_the_end_of_the_chain(place: Results) -> None:
    for name in ("samples", "cells"):
        table = Store(place.tables)._tables[name]
        rows = table.read()
        gone = [
            (row["cell_id"], row["block"]) == (cell().id, 7) for row in rows.select(["cell_id", "block"]).to_pylist()
        ]
        table.overwrite(rows.filter(pa.array([not one for one in gone])))
    assert states(place) == {"blocks changed"}
    assert any("changed, removed or inserted since" in finding.problem for finding in check_results(place))
