"""A stored verdict holds only as long as its own values and those of its blocks are what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from store_blocks import block, cell, keep, rounds

from kokoro_lab.store import Store
from kokoro_lab.store.integrity.results_check import check_results
from kokoro_lab.store.integrity.seals import row_seal
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


def test_a_verdict_of_a_sealed_run_cannot_be_passed_off_as_one_from_before_seals(place: Results) -> None:
    before = ratios(place)
    rewrite(
        place, ratio=0.2, schema_version=3, details=json.dumps({"kind": "cell", "cells": [cell().id], "attempt": 1})
    )
    assert states(place) == {"edited"} and ratios(place) == before


def test_what_an_edited_verdict_says_of_its_cells_and_its_attempt_is_not_used(place: Results) -> None:
    store = Store(place.tables)
    keep(store, "r1", *rounds(cell(3), 13.0, 8))
    conclude(store, "r1", {REFERENCE.id, cell().id, cell(3).id})
    before = of_run(store, "r1").rows.to_pylist()
    table = store._tables["verdicts"]
    alone = {"cells": sorted({REFERENCE.id, cell().id}), "attempt": 7}
    rows = [
        {**row, "details": json.dumps({**json.loads(row["details"]), **alone})} if row["verdict"] != "noise" else row
        for row in table.read().to_pylist()
    ]
    table.overwrite(pa.Table.from_pylist(rows, table.schema.columns))
    again = of_run(Store(place.tables), "r1")
    assert again.notes and _without_time(again.rows.to_pylist()) == _without_time(before)


def _without_time(rows: list[dict[str, object]]) -> list[str]:
    """The rows in order, without when they were made and with what follows from it."""
    kept = []
    for row in rows:
        details = {name: value for name, value in json.loads(str(row["details"])).items() if name != "seal"}
        kept.append(json.dumps({**row, "made_at": "", "details": details}, sort_keys=True))
    return sorted(kept)


def test_stored_verdicts_stay_as_they_are_and_only_new_ones_are_sealed(place: Results) -> None:
    store = Store(place.tables)
    stored = store.rows("verdicts")
    assert of_run(store, "r1").rows.equals(stored)
    rewrite(place, ratio=0.2)
    again = of_run(Store(place.tables), "r1").rows
    assert all(json.loads(row["details"])["seal"] == row_seal(row) for row in again.to_pylist())


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
