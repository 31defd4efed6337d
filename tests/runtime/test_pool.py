"""Several sessions: routing, rest after errors, fallback, and a bound on what runs at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from patience import PATIENCE_S

from kokoro_lab.errors import InferenceError, InputError, SettingError
from kokoro_lab.models.catalog import ModelFile
from kokoro_lab.runtime.pool import SessionPool, complexity, role_settings
from kokoro_lab.runtime.session import Cancellation, Inference, Session
from kokoro_lab.runtime.settings import SessionSettings

STYLE = np.zeros((1, 256), np.float32)
SHORT, MEDIUM, LONG = "Hello there.", "word " * 18, "word " * 50


class ScriptedSession:
    """A session of scripted latency and failures; its first calls wait until a `crowd` of them runs at once."""

    def __init__(self, seconds: float = 0.0, fails: int = 0, error: Exception | None = None, crowd: int = 0) -> None:
        self.seconds = seconds
        self.crowd = crowd
        self.crowded = threading.Event()
        self.fails = fails
        self.error = error or InferenceError("scripted")
        self.running = self.most = self.calls = 0
        self.lock = threading.Lock()

    def run(self, tokens: Sequence[int], *_: object, cancellation: Cancellation | None = None, **__: object) -> Any:
        with self.lock:
            self.running += 1
            self.calls += 1
            self.most = max(self.most, self.running)
            failing = self.fails > 0
            self.fails -= failing
        try:
            if self.most >= self.crowd:
                self.crowded.set()
            assert self.crowded.wait(PATIENCE_S)
            time.sleep(self.seconds)
            if failing:
                raise self.error
            return Inference(np.zeros(600, np.float32), None, self.seconds)
        finally:
            with self.lock:
                self.running -= 1

    def close(self) -> None:
        pass


def pool_of(**sessions: ScriptedSession) -> dict[str, Session]:
    return cast(dict[str, Session], sessions)


def triple() -> dict[str, Session]:
    return pool_of(wide=ScriptedSession(), half=ScriptedSession(), narrow=ScriptedSession())


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (LONG, ["wide", "half", "narrow"]),
        ("a" * 201, ["wide", "half", "narrow"]),
        (MEDIUM, ["narrow", "wide", "half"]),
        ("a" * 81, ["narrow", "wide", "half"]),
        (SHORT, ["narrow", "half", "wide"]),
    ],
)
def test_length_routes_as_the_documents_have_it(text: str, order: list[str]) -> None:
    assert SessionPool(triple(), routing="length").preference(text, 10) == order


def test_complexity_is_the_documents_score() -> None:
    assert complexity("") == 0
    assert complexity("aaaa") == pytest.approx(0.4 * 4 / 200 + 0.3 * 1 / 50)
    assert complexity("!" * 300) == pytest.approx(0.4 + 0.3 / 50 + 0.3)
    everything = "".join(chr(code) for code in range(33, 127)) * 3
    assert complexity(everything) == 1
    pool = SessionPool(triple(), routing="complexity")
    assert pool.preference(everything, 10)[0] == "wide"
    assert pool.preference(SHORT, 10) == ["narrow", "half", "wide"]


def test_cost_prefers_the_session_that_was_measured_faster_and_is_free() -> None:
    slow, fast = ScriptedSession(0.02), ScriptedSession(0.002)
    pool = SessionPool(pool_of(slow=slow, fast=fast), routing="cost", concurrency=2)
    for _ in range(6):
        pool.run([1] * 10, STYLE, 1.0)
    assert slow.calls == 1
    assert fast.calls == 5
    assert pool.preference(SHORT, 10) == ["fast", "slow"]


def test_a_session_that_failed_rests_and_another_answers() -> None:
    now = [0.0]
    narrow, half = ScriptedSession(fails=1), ScriptedSession()
    pool = SessionPool(pool_of(half=half, narrow=narrow), rest_s=60, now=lambda: now[0])
    assert pool.run([1], STYLE, 1.0, text=SHORT).session == "half"
    assert pool.fallbacks == 1
    assert pool.run([1], STYLE, 1.0, text=SHORT).session == "half"
    resting = next(one for one in pool.status() if one.name == "narrow")
    assert (resting.errors, resting.resting_s) == (1, 60)
    now[0] = 61.0
    assert pool.run([1], STYLE, 1.0, text=SHORT).session == "narrow"


def test_the_last_error_is_raised_when_no_session_answers_and_the_next_call_works() -> None:
    pool = SessionPool(pool_of(wide=ScriptedSession(fails=1), narrow=ScriptedSession(fails=1)))
    with pytest.raises(InferenceError, match="scripted"):
        pool.run([1], STYLE, 1.0)
    assert pool.run([1], STYLE, 1.0).waited_s >= 0


def test_wrong_input_is_no_reason_to_rest() -> None:
    wide, narrow = ScriptedSession(fails=1, error=InputError("no tokens")), ScriptedSession()
    pool = SessionPool(pool_of(narrow=wide, wide=narrow))
    with pytest.raises(InputError):
        pool.run([], STYLE, 1.0)
    assert narrow.calls == 0
    assert all(one.resting_s == 0 and one.running == 0 for one in pool.status())


def test_a_cancelled_call_is_not_tried_elsewhere() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    first, second = ScriptedSession(fails=1), ScriptedSession()
    pool = SessionPool(pool_of(narrow=first, wide=second))
    with pytest.raises(InferenceError):
        pool.run([1], STYLE, 1.0, text=SHORT, cancellation=cancellation)
    assert second.calls == 0
    assert pool.status()[0].errors == 0


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_calls_run_at_once_than_allowed(concurrency: int) -> None:
    session = ScriptedSession(0.01, crowd=concurrency)
    pool = SessionPool(pool_of(wide=session), concurrency=concurrency)
    threads = [threading.Thread(target=pool.run, args=([1], STYLE, 1.0)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.calls == 12
    assert session.most == concurrency
    assert pool.waited_s > 0


def test_roles_differ_in_threads() -> None:
    settings = role_settings(SessionSettings(intra_op_threads=8), "triple", cores=8)
    assert {role: one.intra_op_threads for role, one in settings.items()} == {"wide": 8, "half": 4, "narrow": 1}
    assert list(role_settings(SessionSettings(), "dual", cores=2)) == ["wide", "narrow"]
    with pytest.raises(SettingError):
        role_settings(SessionSettings(), "quadruple", cores=2)


def test_real_sessions_of_a_pool_answer_alike(tiny: ModelFile, style: NDArray[np.float32]) -> None:
    settings = role_settings(SessionSettings(), "dual", cores=2)
    pool = SessionPool({role: Session.open(tiny, one) for role, one in settings.items()})
    short, long = (pool.run(list(range(1, 21)), style, 1.0, text=text) for text in (SHORT, LONG))
    assert (short.session, long.session) == ("narrow", "wide")
    assert np.array_equal(short.inference.durations, long.inference.durations)  # type: ignore[arg-type]
    pool.close()
    with pytest.raises(InferenceError, match="closed"):
        pool.run([1], style, 1.0)
