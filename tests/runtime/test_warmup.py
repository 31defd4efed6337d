"""Calls before the first real one: which there are, that an error of one ends none, and that stopping ends them."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import numpy as np
import pytest
from patience import PATIENCE_S

from kokoro_lab.errors import InferenceError
from kokoro_lab.runtime.session import Cancellation, Session
from kokoro_lab.runtime.warmup import SHAPES, WARMUP_TEXTS, WARMUP_VOICES, Warmup, pattern_calls, shape_calls


class Recorder:
    """A session that notes the lengths it is called with."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def run(self, tokens: list[int], style: Any, speed: float, *, cancellation: Cancellation) -> None:
        assert style.shape == (1, 256) and float(style[0, 0]) == len(tokens), "the style goes with the length"
        assert speed == 1.0 and not cancellation.cancelled
        assert all(0 < token < 178 for token in tokens)
        self.lengths.append(len(tokens))


def style(tokens: int) -> Any:
    return np.full((1, 256), tokens, np.float32)


@pytest.mark.parametrize(
    ("strategy", "limit", "lengths"),
    [
        ("one", 400, [16]),
        ("shapes", 400, list(SHAPES)),
        ("background", 400, list(SHAPES)),
        ("shapes", 50, [16, 32, 50]),
        ("shapes", 10, [10]),
    ],
)
def test_each_session_gets_each_length_once_and_none_beyond_the_limit(
    strategy: str, limit: int, lengths: list[int]
) -> None:
    sessions = {"wide": Recorder(), "narrow": Recorder()}
    warmup = Warmup(strategy, shape_calls(strategy, cast(dict[str, Session], sessions), style, limit))
    warmup.run()
    assert [session.lengths for session in sessions.values()] == [lengths, lengths]
    status = warmup.status()
    assert [call.what for call in status.calls][:1] == [f"{lengths[0]} tokens on wide"]
    assert status.planned == len(status.calls) == 2 * len(lengths)


def test_patterns_are_every_text_by_one_voice_after_another() -> None:
    spoken: list[tuple[str, str]] = []
    Warmup("patterns", pattern_calls(lambda text, voice, _: spoken.append((text, voice)))).run()
    assert [text for text, _ in spoken] == list(WARMUP_TEXTS)
    assert {voice for _, voice in spoken} == set(WARMUP_VOICES)


def test_an_error_of_a_call_is_recorded_and_the_next_call_is_made() -> None:
    def fails(_: Cancellation) -> None:
        raise InferenceError("scripted")

    warmup = Warmup("shapes", [("first", fails), ("second", lambda _: None)])
    warmup.run()
    status = warmup.status()
    assert [(call.what, call.error) for call in status.calls] == [("first", "scripted"), ("second", "")]
    assert status.finished


def test_a_mistake_in_a_call_is_raised() -> None:
    def broken(_: Cancellation) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Warmup("shapes", [("first", broken)]).run()


def test_stopping_cancels_the_call_that_runs_and_makes_no_more() -> None:
    began, later = threading.Event(), []

    def waits(cancellation: Cancellation) -> None:
        began.set()
        end = time.monotonic() + PATIENCE_S
        while not cancellation.cancelled:
            assert time.monotonic() < end
            time.sleep(0.005)
        raise InferenceError("cancelled")

    warmup = Warmup("background", [("first", waits), ("second", lambda _: later.append(1))])
    warmup.run_aside()
    assert began.wait(PATIENCE_S)
    assert not warmup.wait(0.01) and not warmup.status().finished
    warmup.stop()
    assert warmup.wait(0)
    status = warmup.status()
    assert [call.error for call in status.calls] == ["cancelled"] and status.planned == 2
    assert not later


def test_before_it_begins_nothing_was_done_and_without_calls_it_has_ended() -> None:
    assert not Warmup("shapes", [("first", lambda _: None)]).status().finished
    none = Warmup("none", [])
    assert none.status().finished and none.wait() and none.status().seconds == 0
