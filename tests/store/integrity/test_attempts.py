"""Runs that compared the same cells before are counted, also when they were removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from store_blocks import MODEL, block, cell, keep

from kokoro_lab.measure.records.cell import Block
from kokoro_lab.store import Store
from kokoro_lab.store.integrity.attempts import number_attempts, stored_attempts
from kokoro_lab.store.integrity.removal import remove_run
from kokoro_lab.store.layout import Results
from kokoro_lab.sweeps.conclude import conclude

BASE, CANDIDATE = cell(2, reference=True), cell(1)
PAIR = (BASE.id, CANDIDATE.id)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Results(tmp_path).tables)


def blocks(day: int = 20, rounds: int = 1, sha256: str = MODEL.sha256) -> list[Block]:
    made = []
    for of in (BASE, CANDIDATE):
        for number in range(rounds):
            item = block(number, of=of)
            result = dataclasses.replace(item.result, model=dataclasses.replace(MODEL, sha256=sha256))
            moment = f"2026-11-{day:02d}T10:{number:02d}:00+00:00"
            made.append(dataclasses.replace(item, result=result, started_at=moment))
    return made


def attempt(store: Store, run_id: str) -> int:
    return number_attempts(store, run_id, [PAIR])[PAIR]


def test_every_run_is_one_attempt_and_a_continued_run_stays_the_same(store: Store) -> None:
    for number, run_id in enumerate(("a", "b", "c"), 1):
        keep(store, run_id, *blocks(number), git_commit="c1")
        assert attempt(store, run_id) == number
    keep(store, "a", *blocks(1, 3)[1:3], git_commit="c1")
    assert attempt(store, "a") == 1 and stored_attempts(store, "c") == {PAIR: 3}


def test_another_machine_commit_or_model_starts_again(store: Store) -> None:
    keep(store, "a", *blocks(1), git_commit="c1")
    assert attempt(store, "a") == 1
    keep(store, "b", *blocks(2), git_commit="c2")
    keep(store, "c", *blocks(3), git_commit="c1", machine_id="other")
    keep(store, "d", *blocks(4, sha256="cd" * 32), git_commit="c1")
    keep(store, "e", *blocks(5), git_commit="c1")
    assert [attempt(store, run_id) for run_id in "bcde"] == [1, 1, 1, 2]


def test_removed_runs_stay_counted_even_when_they_were_never_judged(store: Store) -> None:
    place = Results(store.root.parent)
    for day in range(1, 4):
        keep(store, "again", *blocks(day), git_commit="c1")  # the same name every time
        remove_run(place, "again")
        store = Store(place.tables)
    keep(store, "again", *blocks(9), git_commit="c1")
    assert attempt(store, "again") == 4


def test_runs_whose_ledger_is_lost_are_found_by_their_blocks(store: Store) -> None:
    for day, run_id in enumerate(("a", "b"), 1):
        keep(store, run_id, *blocks(day), git_commit="c1")
    assert attempt(store, "b") == 2


def test_a_verdict_says_its_attempt_and_has_a_wider_interval(store: Store) -> None:
    levels = []
    for day, run_id in enumerate(("a", "b", "c"), 1):
        keep(store, run_id, *blocks(day, 10), git_commit="c1")
        conclude(store, run_id, {BASE.id, CANDIDATE.id})
        rows = store.verdicts(run_id)
        (row,) = [row for row in rows.to_dict("records") if row["details"]["kind"] == "cell" and row["metric"] == "rtf"]
        levels.append((row["details"]["attempt"], round(1 - row["details"]["confidence"], 4)))
        assert row["reason"].startswith("Attempt 3 of this comparison") is (day == 3)
    assert levels == [(1, 0.05), (2, 0.025), (3, 0.0083)]
