"""A session of mixed requests: what the worker records of it, and what its benchmark asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kokoro_lab.benchmarks.benchmark import judge, run_benchmark
from kokoro_lab.benchmarks.endurance import endurance_benchmark
from kokoro_lab.measure.block import block_runner
from kokoro_lab.measure.records.cell import REQUEST_SEPARATOR, Cell


def test_a_cell_of_one_text_is_one_request_and_its_id_does_not_know_of_sessions() -> None:
    assert Cell("tiny", "Hello world!").requests == ("Hello world!",)
    assert Cell("tiny", REQUEST_SEPARATOR.join(("Hi", "Ho"))).requests == ("Hi", "Ho")
    assert Cell("tiny", "Hello world!").id == "086c7bb5bf30"


def test_a_session_keeps_its_memory_and_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "RESULTS", "LOCK"):
        monkeypatch.setenv(f"KOKORO_LAB_{name}", str(tmp_path / name.lower()))
    benchmark = endurance_benchmark("tiny", calls=14, threads=1, blocks=1)
    (planned,) = benchmark.planned()
    assert planned.cell.reference
    assert len(planned.cell.requests) == 6
    (block,) = run_benchmark(benchmark, "r", budget_s=3600.0)
    assert len(block.result.repeats) == 14
    spoken = {round(repeat.audio_s, 3) for repeat in block.result.repeats}
    assert len(spoken) == 6
    assert block.result.figures["differing"] == 0
    assert block.result.figures["rss_idle_mb"] > 30
    rows = {row.figure: row for row in judge(benchmark, [block])}
    assert rows["calls with different samples"].state == "met"
    assert rows["memory growth"].state in ("met", "missed")
    other = replace(block, result=replace(block.result, figures={"differing": 1}))
    assert {row.figure: row.state for row in judge(benchmark, [other])}["calls with different samples"] == "missed"
    grown = [replace(repeat, rss_mb=100.0 + number) for number, repeat in enumerate(block.result.repeats)]
    leaking = replace(block, result=replace(block.result, repeats=tuple(grown)))
    assert {row.figure: row.state for row in judge(benchmark, [leaking])}["memory growth"] == "missed"


def test_calls_with_other_samples_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_runner, "IDLE_S", 0.0)
    cell = Cell("empty", REQUEST_SEPARATOR.join(("Hi", "Ho")), repeats=6, warmup_cap=2)
    block = block_runner.measure(cell, spawned_ns=0, load_ms={})
    assert block.figures["differing"] == 0
    assert len(block.warmup_ms) == 2
    assert not block.became_steady
    engine = block.engine
    assert isinstance(engine, block_runner.EmptyEngine)
    block.repeats.clear()
    plain = engine._samples
    calls = iter(range(6))
    monkeypatch.setattr(engine, "speak", lambda: plain + (0.5 if next(calls) == 4 else 0.0))
    block_runner._session(cell, block, 6)
    assert block.figures["differing"] == 1
