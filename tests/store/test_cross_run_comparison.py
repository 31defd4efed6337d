"""Cells of different runs, compared by ratios to the reference cell they share, with the variance between runs."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_blocks import REFERENCE, SLOWER, cell, failed, judged, keep, rounds

from kokoro_lab.benchmarks.simulation import binomial_limit
from kokoro_lab.errors import InconclusiveError, InputError, NothingMeasuredError
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.records.identity import BlockIdentity
from kokoro_lab.store import Store
from kokoro_lab.store.cell_selectors import parse_selector
from kokoro_lab.store.cross_run_comparison import compare_across
from kokoro_lab.store.exporting import export
from kokoro_lab.store.integrity.archives import MANIFEST
from kokoro_lab.store.run_comparison import ComparisonReport
from kokoro_lab.store.sides import StoredRun, history, side

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tables")


def run_of(mood: float, ratio: float, *, of: Cell = SLOWER, count: int = 4) -> list[Block]:
    """A run whose machine was `mood` times as slow as usual: the ratio is what is left to see."""
    return rounds(REFERENCE, 100.0 * mood, count) + rounds(of, 100.0 * mood * ratio, count)


def recorded(store: Store, code: str, ratio: float, runs: int, *, differ: float = 0.002) -> None:
    rng = np.random.default_rng(int(code[0], 16))
    for number in range(runs):
        mood, own = 1.0 + 0.3 * rng.random(), ratio * float(np.exp(rng.normal(0.0, differ)))
        keep(store, f"{code[0]}{number}", *run_of(mood, own), git_commit=code)


def across(store: Store, base: str, candidate: str, **how: object) -> ComparisonReport:
    sides = [side(store, text) for text in (base, candidate)]
    assert sides[0] is not None and sides[1] is not None
    return compare_across(sides[0], sides[1], history(store), names=(base, candidate), **how)


def test_commits_are_compared_by_ratios_whatever_the_machine_was_like(store: Store) -> None:
    recorded(store, OLD, 1.2, 4)
    recorded(store, NEW, 1.32, 4)
    found = across(store, f"commit:{OLD}", "commit:bbbbbbb")
    (line,) = found.lines
    assert (line.comparison.verdict, line.runs, line.comparison.pairs) == ("slower", (4, 4), 32)
    assert line.comparison.low is not None and line.comparison.low < 1.1 < (line.comparison.high or 0)
    assert not found.interleaved and "not interleaved" in found.notes[0]
    assert found.outcome == "regressed"
    back = across(store, "commit:bbbbbbb", f"commit:{OLD}")
    assert back.lines[0].comparison.verdict == "faster" and back.outcome == "no regression"


def test_the_variance_between_runs_widens_the_interval(store: Store, tmp_path: Path) -> None:
    widths = []
    for name, differ in (("calm", 0.002), ("wild", 0.08)):
        other = Store(tmp_path / name)
        recorded(other, OLD, 1.2, 4, differ=differ)
        recorded(other, NEW, 1.26, 4, differ=differ)
        found = across(other, f"commit:{OLD}", f"commit:{NEW}").lines[0].comparison
        widths.append((found.high or 0) - (found.low or 0))
        assert found.verdict == ("slower" if name == "calm" else "inconclusive")
    assert widths[1] > 5 * widths[0]


def test_two_single_runs_decide_nothing_until_one_is_repeated(store: Store) -> None:
    keep(store, "r1", *run_of(1.0, 1.2), git_commit=OLD)
    keep(store, "r2", *run_of(1.3, 1.5), git_commit=NEW)
    found = across(store, "run:r1", "r2")
    assert found.lines[0].comparison.verdict == "inconclusive" and found.lines[0].comparison.low is None
    assert "repeat a run" in found.lines[0].comparison.reason and found.outcome == "inconclusive"
    for number in range(3):
        keep(store, f"again-{number}", *run_of(1.1, 1.2 + 0.002 * number), git_commit=OLD)
    found = across(store, "run:r1", "run:r2")
    assert found.lines[0].comparison.verdict == "slower", "the history tells how much runs differ"


def test_equal_runs_are_equivalent(store: Store) -> None:
    recorded(store, OLD, 1.2, 5, differ=0.001)
    recorded(store, NEW, 1.2, 5, differ=0.001)
    assert across(store, f"commit:{OLD}", f"commit:{NEW}").lines[0].comparison.verdict == "equivalent"


def test_without_a_shared_machine_cell_or_reference_nothing_is_said(store: Store) -> None:
    keep(store, "r1", *run_of(1.0, 1.2))
    keep(store, "elsewhere", *run_of(1.0, 1.2), machine_id="another")
    keep(store, "unknown", *run_of(1.0, 1.2), machine_id="")
    keep(store, "other-cell", *run_of(1.0, 1.2, of=cell(3)))
    swapped = [
        dataclasses.replace(item, cell=dataclasses.replace(item.cell, reference=not item.cell.reference))
        for item in run_of(1.0, 1.2)
    ]
    keep(store, "other-reference", *swapped)
    for name, words in (
        ("elsewhere", "different machines"),
        ("unknown", "different machines"),
        ("other-cell", "share no cell"),
        ("other-reference", "share no cell"),
    ):
        with pytest.raises(InconclusiveError, match=words):
            across(store, "run:r1", f"run:{name}")


def test_a_reference_cell_with_another_model_file_is_another_cell(store: Store) -> None:
    keep(store, "r1", *run_of(1.0, 1.2))
    changed = []
    for item in run_of(1.0, 1.2):
        assert item.result.model is not None
        model = dataclasses.replace(item.result.model, sha256="cd" * 32)
        changed.append(dataclasses.replace(item, result=dataclasses.replace(item.result, model=model)))
    keep(store, "r2", *changed)
    with pytest.raises(InconclusiveError, match="model file"):
        across(store, "run:r1", "run:r2")


def test_a_published_folder_is_a_side_with_or_without_its_manifest(store: Store, tmp_path: Path) -> None:
    recorded(store, OLD, 1.2, 3)
    export(store, tmp_path / "published" / "tables")
    here = Store(tmp_path / "here")
    recorded(here, NEW, 1.32, 3)
    for _ in range(2):
        found = across(here, str(tmp_path / "published"), f"commit:{NEW}")
        assert found.lines[0].comparison.verdict == "slower" and found.lines[0].runs == (3, 3)
        (tmp_path / "published" / "tables" / MANIFEST).unlink(missing_ok=True)


def test_a_table_version_is_the_newest_run_as_it_stood_then(store: Store) -> None:
    for item in run_of(1.0, 1.2, count=3):
        keep(store, "r1", item)
    version = store.versions()["cells"]
    later = [dataclasses.replace(item, started_at="2026-11-21T10:00:00+00:00") for item in run_of(1.0, 1.5)]
    keep(store, "r2", *later)
    then = side(store, f"version:{version}")
    assert then is not None and [(run.run_id, len(run.blocks)) for run in then] == [("r1", 6)]
    half = side(store, f"run:r1@{(version or 0) - 3}")
    assert half is not None and len(half[0].blocks) == 3
    assert across(store, f"version:{version}", "run:r2").lines[0].comparison.ratio == pytest.approx(1.25, rel=0.02)


def test_only_the_cells_that_are_asked_for_and_different_audio_is_a_regression(store: Store) -> None:
    for name, verdict in (("r1", "equivalent"), ("r2", "different")):
        extra = rounds(cell(3), 90.0, 4, gate=judged(verdict))
        keep(store, name, *run_of(1.0, 1.2), *extra)
    found = across(store, "run:r1", "run:r2")
    assert len(found.lines) == 2 and found.outcome == "regressed"
    only = across(store, "run:r1", "run:r2", only=parse_selector("intra_op_threads=1"))
    assert len(only.lines) == 1 and only.lines[0].gate == "equivalent"


def test_a_cell_that_could_not_run_leaves_the_others_comparable(store: Store) -> None:
    absent = failed(of=cell(2, provider="cuda"), status="unavailable")
    for number in range(2):
        for code in (OLD, NEW):
            keep(store, f"{code[0]}{number}", *run_of(1.0, 1.2 + number / 1000), absent, git_commit=code)
    (line,) = across(store, f"commit:{OLD}", f"commit:{NEW}").lines
    assert line.comparison.verdict == "equivalent"


def test_a_run_is_not_compared_with_itself(store: Store) -> None:
    keep(store, "r1", *run_of(1.0, 1.2), git_commit=OLD)
    with pytest.raises(InputError, match="on both sides"):
        across(store, "run:r1", f"commit:{OLD}")


def test_sides_that_are_not_there_say_so(store: Store, tmp_path: Path) -> None:
    keep(store, "r1", *run_of(1.0, 1.2, count=1), git_commit=OLD)
    assert side(store, "intra_op_threads=1") is None
    for text in ("run:r7", f"commit:{NEW}"):
        with pytest.raises(NothingMeasuredError, match="no rows"):
            side(store, text)
    for text, words in (("run:", "names no run"), ("version:x", "a number"), ("commit:no-such-branch", "knows no")):
        with pytest.raises(InputError, match=words):
            side(store, text)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no table samples"):
        side(store, str(tmp_path / "empty"))


def test_runs_of_equal_code_are_seldom_called_different() -> None:
    """A/A trials: 3 runs against 3, whose ratios differ by 4 % from run to run. At most the 99 % limit of 5 % wrong."""
    trials, wrong = 150, 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        sides = [
            [
                StoredRun(f"{code[0]}{n}", "m", "s", code, False, tuple(run_of(1.0, ratio, count=2)))
                for n, ratio in enumerate(np.exp(rng.normal(0.0, 0.04, 3)).tolist())
            ]
            for code in (OLD, NEW)
        ]
        found = compare_across(*sides, history=(), names=("old", "new")).lines[0].comparison
        wrong += found.verdict in ("faster", "slower")
    assert wrong <= binomial_limit(trials)


SUMS = BlockIdentity(model="aa", text="bb", voice="cc", code="dd", packages="ee")


def identified(blocks: list[Block], **parts: str) -> list[Block]:
    identity = replace(SUMS, **parts)
    return [replace(each, result=replace(each.result, identity=identity)) for each in blocks]


def test_the_bytes_in_which_two_sides_differ_are_said(store: Store) -> None:
    keep(store, "a0", *identified(run_of(1.0, 1.2)), git_commit=OLD)
    keep(store, "b0", *identified(run_of(1.1, 1.2), code="00", packages="11"), git_commit=NEW)
    found = across(store, f"commit:{OLD}", f"commit:{NEW}")
    assert found.lines[0].differing == ("code", "packages")
    assert "the sides measured different bytes: code, packages" in found.notes
    assert not any(note.startswith("unverified") for note in found.notes)


def test_a_side_never_pools_two_models_and_another_reference_is_no_reference(store: Store) -> None:
    keep(store, "a0", *identified(run_of(1.0, 1.2)), git_commit=OLD)
    keep(store, "a1", *identified(run_of(1.0, 1.2), model="00"), git_commit=OLD)
    keep(store, "b0", *identified(run_of(1.1, 1.2)), git_commit=NEW)
    found = across(store, f"commit:{OLD}", f"commit:{NEW}")
    assert found.lines[0].runs == (1, 1)
    left_out = "1 ratios are left out: their runs measured another model than its last run"
    assert f"commit:{OLD}: {left_out}" in found.notes
    assert found.lines[0].comparison.verdict == "invalid"
    assert found.lines[0].comparison.reason == "Its reference measured another model on the other side."
