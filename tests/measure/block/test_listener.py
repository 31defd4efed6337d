from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kokoro_lab.measure.block.listener import AUDIBLE, Arrival, arrival, first_audible, listen, rechunk, sweep, ttfa_s

streams = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.integers(1, 50), st.booleans()), min_size=1, max_size=12
).map(  # a gap before each delivery, its length in units of 10 ms, whether it is audible
    lambda items: [
        Arrival(float(at), units / 100, 0.0 if loud else None)
        for at, (_, units, loud) in zip(np.cumsum([gap for gap, _, _ in items]), items, strict=True)
    ]
)


def samples(seconds: float, level: float) -> np.ndarray:
    return np.full(round(seconds * 24_000), level, dtype=np.float32)


def test_a_sample_at_minus_50_dbfs_is_not_audible_and_one_above_is() -> None:
    quiet = np.float32(AUDIBLE)
    assert first_audible(np.array([0.0, quiet * 0.999], np.float32)) is None
    assert first_audible(np.array([0.0, -quiet * 1.001], np.float32)) == 1
    assert first_audible(np.zeros(0, np.float32)) is None


def test_ttfa_is_the_arrival_of_sound_and_not_of_a_header_or_of_silence() -> None:
    header = arrival(0.001, np.zeros(0, np.float32))
    silence = arrival(0.002, samples(0.05, 0.0))
    speech = arrival(0.400, samples(1.0, 0.1))
    assert ttfa_s([header, silence, speech]) == pytest.approx(0.400)


def test_ttfa_includes_what_is_still_playing_when_speech_arrives_and_silence_inside_it() -> None:
    silence = arrival(0.100, samples(2.0, 0.0))
    speech = arrival(0.400, np.concatenate([samples(0.25, 0.0), samples(1.0, 0.1)]))
    assert ttfa_s([silence, speech]) == pytest.approx(0.100 + 2.0 + 0.25)
    assert ttfa_s([speech]) == pytest.approx(0.65)


def test_a_stream_of_silence_has_no_ttfa() -> None:
    assert ttfa_s([arrival(0.1, samples(1.0, 0.0))]) is None


def test_a_late_chunk_is_one_underrun_and_the_listener_waits_for_it() -> None:
    heard = listen([Arrival(0.1, 0.5), Arrival(0.5, 0.5), Arrival(1.4, 0.5)])
    assert (heard.underruns, heard.stalled_s) == (1, pytest.approx(0.3))
    assert heard.started_s == 0.1
    assert heard.ended_s == pytest.approx(1.9)
    assert heard.gap_max_s == pytest.approx(0.9)


def test_a_prebuffer_trades_a_later_start_for_no_underrun() -> None:
    deliveries = [Arrival(0.1, 0.5), Arrival(0.5, 0.5), Arrival(1.4, 0.5)]
    heard = listen(deliveries, prebuffer=2)
    assert (heard.started_s, heard.underruns) == (0.5, 0)


def test_a_player_of_small_chunks_starts_before_the_whole_delivery_of_large_ones_would_end() -> None:
    chunks = rechunk([Arrival(0.1, 0.25), Arrival(0.3, 0.1)], 100.0)
    assert [round(chunk.duration_s, 3) for chunk in chunks] == [0.1, 0.1, 0.1, 0.05]
    assert [chunk.at_s for chunk in chunks] == [0.1, 0.1, 0.3, 0.3]


@given(streams, st.integers(1, 4), st.sampled_from([None, 20.0, 50.0, 130.0]))
def test_time_is_conserved(deliveries: list[Arrival], prebuffer: int, chunk_ms: float | None) -> None:
    heard = listen(deliveries, chunk_ms=chunk_ms, prebuffer=prebuffer)
    played = sum(delivery.duration_s for delivery in deliveries)
    assert heard.ended_s - heard.started_s == pytest.approx(played + heard.stalled_s)


@given(streams, st.sampled_from([None, 30.0, 80.0]))
def test_more_prebuffer_never_stalls_more_nor_ends_earlier(deliveries: list[Arrival], chunk_ms: float | None) -> None:
    heard = [listen(deliveries, chunk_ms=chunk_ms, prebuffer=depth) for depth in range(1, 6)]
    for shallow, deep in itertools.pairwise(heard):
        assert deep.stalled_s <= shallow.stalled_s + 1e-9
        assert deep.underruns <= shallow.underruns
        assert deep.ended_s >= shallow.ended_s - 1e-9


@given(streams)
def test_the_clock_agrees_with_a_simulation_in_steps_of_ten_milliseconds(deliveries: list[Arrival]) -> None:
    rounded = [Arrival(round(delivery.at_s, 2), delivery.duration_s) for delivery in deliveries]
    queue = 0
    underruns = 0
    started = starved = False
    remaining = [(round(delivery.at_s * 100), round(delivery.duration_s * 100)) for delivery in rounded]
    for step in range(10_000):
        while remaining and remaining[0][0] <= step:
            queue += remaining.pop(0)[1]
            started = True
            starved = False
        if started and queue == 0 and remaining and not starved:
            underruns += 1
            starved = True
        queue = max(queue - 1, 0)
    assert listen(rounded).underruns == underruns


def test_the_grid_has_every_combination() -> None:
    grid = sweep([Arrival(0.1, 1.0)])
    assert {(heard.chunk_ms, heard.prebuffer) for heard in grid} == {
        (size, depth) for size in (30.0, 50.0, 80.0, 120.0) for depth in (1, 2, 3)
    }


def test_nothing_to_listen_to_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one arrival"):
        listen([])
