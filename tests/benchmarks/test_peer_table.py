"""The peers' table: the same cells for every engine, and what may be said of each against ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kokoro_lab.benchmarks.benchmark import BenchmarkRow, judge
from kokoro_lab.benchmarks.peer_table import ALL, OURS, PeerPlan, peer_benchmark
from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, GateReading, QuietReading, Repeat

TEXTS = {"hello": "Hello world!", "long": "Hello world! The train is late."}


def block(cell: Cell, number: int, value: float, *, gate: str = "equivalent", noisy: bool = False) -> Block:
    repeats = (Repeat(0, 1e3 * value, 1e3 * value, 1.0, 1.0, value, 0, 0, 0, 0, 0, 0, 100.0, True),)
    result = BlockResult("ok", repeats=repeats, rss_steady_mb=100 * value, rss_peak_mb=200 * value)
    reading = None if cell.reference else GateReading(gate, "ours")  # type: ignore[arg-type]
    return Block(cell, number, 0, number, result, QuietReading(noisy), reading)


def plan(*engines: str, use_contaminated: bool = False) -> PeerPlan:
    return PeerPlan("tiny", TEXTS, engines, 2, use_contaminated=use_contaminated)


def cells(*engines: str) -> list[Cell]:
    return [item.cell for item in peer_benchmark(plan(*engines)).planned()]


def rows_of(blocks: list[Block], *, use_contaminated: bool = False) -> list[BenchmarkRow]:
    return judge(peer_benchmark(plan("kokoro-onnx", use_contaminated=use_contaminated)), blocks)


def measured(factor: float, rounds: int = 8, **settings: object) -> list[Block]:
    """Ours takes 1 and a bit, the peer `factor` times as much, with noise that the pairs share."""
    found = []
    for number in range(rounds):
        for cell in cells("kokoro-onnx"):
            base = 1.0 + 0.1 * (number % 3)
            jitter = 1.0 + 0.001 * number
            value = base * factor * jitter if cell.environment else base
            found.append(block(cell, number, value, **(settings if cell.environment else {})))  # type: ignore[arg-type]
    return found


def row(rows: list[BenchmarkRow], engine: str, figure: str, text: str | None = None) -> BenchmarkRow:
    (found,) = [
        each for each in rows if (each.contestant, each.figure) == (engine, figure) and text in (None, each.case)
    ]
    return found


def test_every_engine_gets_the_same_texts_states_and_threads() -> None:
    made = cells("kokoro-onnx", "sherpa-onnx")
    assert len({cell.id for cell in made}) == len(made)
    kinds = {}
    for cell in made:
        key = (cell.text_preset, cell.state, cell.delivery, cell.intra_op_threads, cell.voice, cell.repeats)
        kinds.setdefault(cell.environment, set()).add(key)
    assert kinds[""] == kinds["kokoro-onnx"] == kinds["sherpa-onnx"]
    assert [cell.environment for cell in made if cell.reference] == ["", ""]


def test_a_slower_peer_has_a_ratio_with_an_interval() -> None:
    rows = rows_of(measured(1.5))
    for figure, text in [("cold start", "hello"), ("first audio", "long"), ("RTF", "hello"), ("RTF", ALL)]:
        peer = row(rows, "kokoro-onnx", figure, text)
        assert peer.verdict == "slower"
        assert peer.low is not None
        assert peer.high is not None
        assert 1.49 < peer.low <= peer.ratio <= peer.high < 1.52  # type: ignore[operator]
    assert row(rows, "kokoro-onnx", "memory peak").ratio == pytest.approx(1.5, rel=0.01)
    assert row(rows, OURS, "RTF", "hello").ratio is None
    assert row(rows, OURS, "RTF", "hello").value == pytest.approx(1.1)


def test_few_rounds_give_a_ratio_and_no_interval() -> None:
    peer = row(rows_of(measured(1.5, rounds=2)), "kokoro-onnx", "cold start")
    assert peer.ratio == pytest.approx(1.5, rel=0.01)
    assert (peer.low, peer.high, peer.verdict) == (None, None, "inconclusive")


def test_other_speech_is_never_ranked() -> None:
    peer = row(rows_of(measured(0.5, gate="different")), "kokoro-onnx", "RTF", "hello")
    assert peer.verdict == "invalid"
    assert "different" in peer.note
    assert peer.gate == "different"


def test_contaminated_blocks_are_counted_and_left_out_unless_asked_for() -> None:
    found = measured(1.5, noisy=True)
    left_out = row(rows_of(found), "kokoro-onnx", "RTF", "hello")
    assert (left_out.ratio, left_out.contaminated) == (None, 8)
    taken = row(rows_of(found, use_contaminated=True), "kokoro-onnx", "RTF", "hello")
    assert taken.ratio == pytest.approx(1.5, rel=0.01)


def test_a_peer_that_did_not_run_is_there_with_the_reason() -> None:
    found = [
        replace(each, result=BlockResult("unavailable", "environment 'kokoro-onnx' is not installed"), gate=None)
        if each.cell.environment
        else each
        for each in measured(1.0)
    ]
    peer = row(rows_of(found), "kokoro-onnx", "RTF", "hello")
    assert (peer.value, peer.ratio) == (None, None)
    assert "not installed" in peer.note


def test_a_provider_that_took_a_part_says_so_beside_its_figure() -> None:
    sentence = "openvino was assigned 99% of the nodes"
    found = [
        replace(each, result=replace(each.result, status="partial", error=sentence)) if each.cell.environment else each
        for each in measured(1.5)
    ]
    peer = row(rows_of(found), "kokoro-onnx", "RTF", "hello")
    assert (peer.status, peer.note) == ("partial", sentence)
    assert peer.ratio is not None


def test_without_ours_there_is_nothing_to_compare_with() -> None:
    peer = row(rows_of([each for each in measured(1.0) if each.cell.environment]), "kokoro-onnx", "RTF", "hello")
    assert peer.value is not None
    assert (peer.ratio, peer.pairs, peer.verdict) == (None, 0, "inconclusive")


def test_verdicts_of_one_figure_are_corrected_for_the_number_of_peers() -> None:
    both = peer_benchmark(plan("kokoro-onnx", "sherpa-onnx"))
    blocks = [
        block(item.cell, number, 1.0 + 0.1 * (number % 3) + (0.5 if item.cell.environment else 0.0))
        for number in range(6)
        for item in both.planned()
    ]
    assert row(judge(both, blocks), "kokoro-onnx", "RTF", "hello").low is None  # six pairs do for one comparison alone
    assert row(rows_of(blocks), "kokoro-onnx", "RTF", "hello").low is not None
