"""What a block calls, and what it keeps of it: an engine that does nothing, with the times that a test wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from kokoro_lab.measure.block import block_runner
from kokoro_lab.measure.block.block_runner import BlockMeasurement
from kokoro_lab.measure.block.cache_counts import cache_counts
from kokoro_lab.measure.block.calls import Call, EmptyEngine, speak
from kokoro_lab.measure.block.listener import Arrival
from kokoro_lab.measure.records.cell import OTHER_TEXT, REQUEST_SEPARATOR, Cell

TEXT = "What is measured"
Run = Callable[..., BlockMeasurement]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(times: Iterator[float], **factors: object) -> BlockMeasurement:
        def timed(engine: object, cell: Cell, text: str | None = None) -> Call:
            said.append(text or cell.text)
            return dataclasses.replace(speak(engine, cell, text), total_s=next(times))  # type: ignore[arg-type]

        monkeypatch.setattr(block_runner, "speak", timed)
        return block_runner.measure(
            Cell.from_dict({"model": "empty", "text": TEXT, **factors}), spawned_ns=0, load_ms={}
        )

    return run


def test_warm_up_is_with_what_is_measured_until_it_is_steady(run: Run, said: list[str]) -> None:
    block = run(iter([5.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, *[1.0] * 9]), repeats=3, warmup_cap=12)
    assert block.became_steady and 4 < len(block.warmup_ms) < 12
    assert said == [TEXT] * (len(block.warmup_ms) + 3)


def test_what_never_becomes_steady_is_labelled_in_every_repeat(run: Run) -> None:
    block = run(iter([float(2**number) for number in range(20)]), repeats=3, warmup_cap=6)
    assert len(block.warmup_ms) == 6 and not block.became_steady
    assert [repeat.steady for repeat in block.repeats] == [False] * 3


def test_a_new_shape_is_the_first_call_with_it(run: Run, said: list[str]) -> None:
    block = run(iter([1.0] * 20), state="cold-shape", warmup_cap=5)
    assert said == [OTHER_TEXT] * len(block.warmup_ms) + [TEXT]


def test_an_outlier_is_labelled_and_kept(run: Run) -> None:
    block = run(iter([1.0] * 4 + [1.0, 1.01, 9.0, 0.99, 1.0]), repeats=5, warmup_cap=4)
    assert [repeat.total_ms for repeat in block.repeats] == [1000.0, 1010.0, 9000.0, 990.0, 1000.0]
    assert [repeat.outlier for repeat in block.repeats] == ["", "", "high", "", ""]


def test_gaps_are_counted_over_every_timed_stream_with_the_seconds_played(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []

    def streamed(engine: object, cell: Cell, text: str | None = None) -> Call:
        said.append(1)
        whole = speak(engine, cell, text)  # type: ignore[arg-type]
        deliveries = (Arrival(0.1, 2.0), Arrival(0.5, 1.0))
        return dataclasses.replace(whole, deliveries=deliveries, underruns=len(said))

    monkeypatch.setattr(block_runner, "speak", streamed)
    block = block_runner.measure(Cell("empty", TEXT, repeats=3, warmup_cap=1), spawned_ns=0, load_ms={})
    assert (block.figures["underruns"], block.figures["streamed_s"]) == (2 + 3 + 4, 9.0), "the warm-up does not count"
    said.clear()
    arriving = Cell("empty", TEXT, repeats=3, warmup_cap=1, arrivals="closed", clients=1)
    block = block_runner.measure(arriving, spawned_ns=0, load_ms={})
    assert (block.figures["underruns"], block.figures["streamed_s"]) == (2 + 3 + 4, 9.0), "under load, too"


def test_hits_are_the_engines_own_counts_during_the_timed_calls() -> None:
    settings = (("audio_cache_mb", 8.0), ("phoneme_cache", 10))
    requests = REQUEST_SEPARATOR.join(("Yes.", "No.", "Yes.", "Yes."))
    cell = Cell("tiny", requests, engine_settings=settings, repeats=4, warmup_cap=1)
    block = block_runner.measure(cell, spawned_ns=0, load_ms={})
    try:
        counted = {name: block.figures[name] for name in block.figures if "cache" in name}
        assert counted == {
            "audio_cache_hits": 3,
            "audio_cache_lookups": 4,  # Yes. was cached by the warm-up
            "phoneme_cache_hits": 0,
            "phoneme_cache_lookups": 1,
        }
        assert block.figures["session_ms"] == pytest.approx(sum(repeat.total_ms for repeat in block.repeats))
    finally:
        block.engine.close()
    assert cache_counts(EmptyEngine()) == {}
