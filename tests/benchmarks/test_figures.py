"""Figures are read off a block, and there is none where the block does not have it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kokoro_lab.benchmarks.figures import LOAD, MEMORY, SPEED, BenchmarkFigure, value_of
from kokoro_lab.measure.records.cell import REQUEST_SEPARATOR, Block, BlockResult, Cell, QuietReading, Repeat


def block(totals: Sequence[float] = (), memory: Sequence[float] = (), text: str = "Hi", **result: object) -> Block:
    repeats = tuple(
        Repeat(number, total, total / 2, 1, 1, 0.1, 0, 0, 0, 0, 0, 0, memory[number] if memory else 50.0, True)
        for number, total in enumerate(totals)
    )
    return Block(Cell("tiny", text), 0, 0, 0, BlockResult("ok", repeats=repeats, **result), QuietReading(False))  # type: ignore[arg-type]


def test_times_are_medians_and_the_rest_is_the_blocks_own() -> None:
    full = block([1.0, 5.0, 3.0], rss_peak_mb=70.0, load_ms={"session": 40.0}, figures={"cpu_ms": 8.0})
    assert [value_of(figure, full) for figure in (SPEED, MEMORY, LOAD)] == [3.0, 70.0, 40.0]
    assert value_of(BenchmarkFigure("first", "ttfa_ms"), full) == 1.5
    assert value_of(BenchmarkFigure("cpu", "cpu_ms"), full) == 8.0
    assert value_of(BenchmarkFigure("cpu", "cpu_ms"), block([1.0])) is None
    assert value_of(LOAD, block([1.0])) is None
    assert value_of(MEMORY, block(rss_peak_mb=70.0)) is None, "a block without a completed call has no figure"


def test_a_p95_takes_59_repeats() -> None:
    tail = BenchmarkFigure("tail", "total_ms p95")
    assert value_of(tail, block([1.0] * 95 + [50.0] * 5)) == 1.0
    assert value_of(tail, block([1.0] * 94 + [50.0] * 6)) == 50.0
    assert value_of(tail, block([1.0] * 58)) is None


@pytest.mark.parametrize(
    ("requests", "memory", "growth"),
    [
        (2, [50.0, 100.0, 100.0, 103.0], 0.03),  # half of a short session
        (1, [90.0] * 9 + [100.0] * 21 + [150.0], 0.5),  # ten rounds of a long one
    ],
)
def test_memory_grows_from_when_the_session_has_settled(requests: int, memory: list[float], growth: float) -> None:
    session = block([1.0] * len(memory), memory, REQUEST_SEPARATOR.join(["Hi"] * requests))
    assert value_of(BenchmarkFigure("growth", "rss_growth"), session) == pytest.approx(growth)
    assert value_of(BenchmarkFigure("last", "rss_last_mb"), session) == memory[-1]


def test_a_player_that_starts_at_once_runs_dry() -> None:
    underruns = BenchmarkFigure("underruns", "underruns")
    assert value_of(underruns, block([1.0], deliveries=((0.1, 1.0, 0.0), (0.5, 1.0, 0.0)))) == 0.0
    assert value_of(underruns, block([1.0], deliveries=((0.1, 0.2, 0.0), (0.5, 1.0, 0.0)))) == 1.0
    assert value_of(underruns, block([1.0])) is None
