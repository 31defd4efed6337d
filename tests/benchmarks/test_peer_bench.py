"""The table of peers that a run writes, and why an engine is missing in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kokoro_lab.benchmarks.benchmark import judge
from kokoro_lab.benchmarks.peer_bench import TABLE, make_ready, peer_document, read_table
from kokoro_lab.benchmarks.peer_table import PeerPlan, peer_benchmark
from kokoro_lab.errors import InputError
from kokoro_lab.measure.records.cell import Block, BlockResult, ModelReading, QuietReading, Repeat
from kokoro_lab.reports.figures.peer_charts import PeerTable

PLAN = PeerPlan("tiny", {"hello": "Hello world!"}, ("kokoro-onnx",), 2)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KOKORO_LAB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def test_the_table_is_the_newest_or_that_of_a_run(results: Path) -> None:
    with pytest.raises(InputError, match="no table of peers; measure it with make bench-peers"):
        read_table()
    for age, name in enumerate(("new", "old")):
        path = results / "runs" / name / TABLE
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"run_id": name}), encoding="utf-8")
        os.utime(path, (1000 - age, 1000 - age))
    assert (read_table()["run_id"], read_table("old")["run_id"]) == ("new", "old")
    with pytest.raises(InputError, match="in run 'none'"):
        read_table("none")


def test_the_document_is_what_the_charts_take() -> None:
    benchmark = peer_benchmark(PLAN)
    repeat = Repeat(0, 100, 100, 1, 1, 0.1, 0, 0, 0, 0, 0, 0, 50, True)
    model = ModelReading("tiny", "ab", "stand-in", "tiny", "fp32")
    blocks = [
        Block(item.cell, 0, 0, 0, BlockResult("ok", repeats=(repeat,), model=model), QuietReading(number == 0))
        for number, item in enumerate(benchmark.planned())
    ]
    document = {**peer_document(PLAN, "r", blocks, judge(benchmark, blocks)), "missing": {}}
    assert (document["run_id"], document["blocks"], document["contaminated"]) == ("r", 6, 1)
    assert set(document["noise"]) == {"hello", "hello, cold"}
    table = PeerTable.of(json.loads(json.dumps(document, allow_nan=True)))
    assert "6 blocks, weights stand-in, architecture tiny, 2 threads" in table.about()
    assert set(table.compared["what"]) >= {"first audio, hello"}


def test_an_engine_that_is_not_there_is_missing_with_its_reason() -> None:
    missing = make_ready(
        PeerPlan("tiny", PLAN.texts, ("upstream",), 2),
        peer_benchmark(PeerPlan("tiny", PLAN.texts, ("upstream",), 2)),
        install=False,
        notice=lambda _: None,
    )
    assert list(missing) == ["upstream"]
    assert ".pth" in missing["upstream"]
