"""What a block calls, and what it keeps of it: an engine that does nothing, with the times that a test wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from scripted_clock import ScriptedClock

from kokoro_lab.engine import engine as engine_module
from kokoro_lab.engine import loading
from kokoro_lab.measure.block import block_runner
from kokoro_lab.measure.block.block_runner import BlockMeasurement
from kokoro_lab.measure.block.cache_counts import cache_counts
from kokoro_lab.measure.block.calls import Call, EmptyEngine, speak
from kokoro_lab.measure.block.listener import Arrival
from kokoro_lab.measure.records.cell import OTHER_TEXT, REQUEST_SEPARATOR, Cell
from kokoro_lab.runtime.pool import SessionPool
from kokoro_lab.text import segment as text_segment

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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ScriptedClock:
    """Moves on in the engine's work alone, and in `key_of`, which belongs to no stage."""
    clock = ScriptedClock(monkeypatch)
    for owner, name, seconds in (
        (text_segment, "spoken", 1),
        (SessionPool, "run", 64),
        (engine_module, "assembled", 8),
        (engine_module, "key_of", 16),
        (loading, "choose_model", 4),
        (loading, "_open_pool", 32),
        (loading, "ensure_harmless", 2),
    ):
        clock.price(owner, name, seconds)
    return clock


def test_the_stages_of_a_repeat_and_what_no_stage_has_are_its_total(clock: ScriptedClock) -> None:
    block = block_runner.measure(Cell("tiny", TEXT, repeats=2, warmup_cap=1), spawned_ns=0, load_ms={})
    block.engine.close()
    assert block.load_ms == {"model": 4e3, "session": 32e3, "other": 2e3, "first_call": 89e3} | dict.fromkeys(
        ("voices", "g2p", "caches"), 0.0
    )
    for repeat in block.repeats:
        assert (repeat.normalise_ms, repeat.phonemise_ms, repeat.tokenise_ms) == (1e3, 0.0, 0.0)
        assert (repeat.infer_ms, repeat.post_process_ms, repeat.other_ms) == (64e3, 8e3, 16e3)
        assert repeat.total_ms == 89e3


@pytest.mark.parametrize("state", ["cold", "cold-process", "cold-session"])
def test_a_cold_start_is_the_sum_of_what_it_loads_and_of_its_first_call(clock: ScriptedClock, state: str) -> None:
    before_ms = {"spawn": 128e3, "import": 256e3}
    spawned_ns = round((clock.now - 384) * 1e9)
    block = block_runner.measure(Cell("tiny", TEXT, state=state), spawned_ns=spawned_ns, load_ms=before_ms)
    block.engine.close()
    whole = block.load_ms if state != "cold-session" else {**block.load_ms, "spawn": 0.0, "import": 0.0}
    assert sum(whole.values()) == block.repeats[0].total_ms == (511e3 if state != "cold-session" else 127e3)
    assert block.repeats[0].other_ms == block.repeats[0].total_ms - 73e3


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
