"""Runs in a line each: counted from the rows of their blocks."""

from __future__ import annotations

from pathlib import Path

from store_blocks import block, cell, failed, keep

from kokoro_lab.store import Store
from kokoro_lab.store.store_reader import run_summaries


def test_a_run_counts_its_cells_blocks_and_calls_by_how_they_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(
        store, "r1",
        block(0), block(1), block(0, of=cell(2), repeats=5), failed(), failed(1, status="unavailable"),
    )  # fmt: skip
    keep(store, "r2", block(0, of=cell(4)), notebook="warmup")
    first, second = run_summaries(store.cells())
    assert (first["run_id"], second["run_id"]) == ("r1", "r2")
    assert (first["cells"], first["blocks"], first["samples"]) == (3, 5, 11)
    assert {name: first[name] for name in ("ok", "partial", "unavailable", "error")} == {
        "ok": 3, "partial": 0, "unavailable": 1, "error": 1,
    }  # fmt: skip
    assert (second["blocks"], second["error"], second["notebooks"]) == (1, 0, ["warmup"])
    assert (first["plan"], first["weights"], first["architectures"]) == ("test", ["stand-in"], ["tiny"])


def test_a_run_starts_with_its_first_block(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "r1", block(7), block(3), block(9))
    (run,) = run_summaries(store.cells())
    assert run["started_at"].startswith("2026-11-20T10:00:03")


def test_no_rows_are_no_runs(tmp_path: Path) -> None:
    assert run_summaries(Store(tmp_path).cells()) == []


def test_a_benchmark_is_not_the_default_of_a_report_while_there_is_a_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "tuning", block(30), plan="variants")
    assert store.latest_run() == "tuning"
    keep(store, "sweep", block(3, of=cell(2)))
    keep(store, "bench-kernels", block(9, of=cell(4)), plan="bench")
    assert store.latest_run() == "sweep"
