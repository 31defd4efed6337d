"""Warm-up, status and environment: what the engine says of itself is what it did."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from patience import PATIENCE_S, until

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import InferenceError, KokoroLabError
from kokoro_lab.runtime.session import Inference, Session
from kokoro_lab.runtime.warmup import SHAPES, WARMUP_TEXTS


@pytest.mark.parametrize(
    ("strategy", "calls"), [("none", 0), ("one", 1), ("shapes", len(SHAPES)), ("patterns", len(WARMUP_TEXTS))]
)
def test_warming_up_makes_the_calls_it_says(strategy: str, calls: int) -> None:
    with Engine.load(EngineConfig(model="tiny", warmup=strategy)) as engine:  # type: ignore[arg-type]
        status = engine.status()
        assert len(status.warmup.calls) == status.warmup.planned == calls
        assert status.warmup.finished
        assert all(call.error == "" and call.seconds > 0 for call in status.warmup.calls)
        assert sum(member.calls for member in status.sessions) == (calls if strategy == "patterns" else 0)
        assert status.calls.synthesized == 0
        assert ("warmup" in engine.load_seconds) == (strategy != "none")
        if calls:
            assert sum(call.seconds for call in status.warmup.calls) <= status.warmup.seconds + 1e-9
            assert 0 < status.warmup.seconds <= engine.load_seconds["warmup"] + 1e-9


def test_warming_up_in_the_background_does_not_hold_up_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    go, run = threading.Event(), Session.run

    def waits(*given: Any, **options: Any) -> Inference:
        assert go.wait(PATIENCE_S)
        return run(*given, **options)

    monkeypatch.setattr(Session, "run", waits)
    with Engine.load(EngineConfig(model="tiny", warmup="background")) as engine:
        assert not engine._warmup.wait(0), "it is loaded before the warm-up's first call has ended"
        assert "warmup" not in engine.load_seconds
        go.set()
        assert engine.synthesize("Hello.").duration_s > 0
        assert engine._warmup.wait(PATIENCE_S)
        status = engine.status().warmup
    assert status.finished
    assert len(status.calls) == len(SHAPES)


def test_closing_ends_a_warm_up_in_the_background() -> None:
    engine = Engine.load(EngineConfig(model="tiny", warmup="background"))
    engine.close()
    assert engine._warmup.wait(0), "closing returns when the warm-up has ended"


def test_warm_up_reaches_every_session_of_the_pool() -> None:
    with Engine.load(EngineConfig(model="tiny", warmup="one", sessions="dual")) as engine:
        assert [call.what for call in engine.status().warmup.calls] == ["16 tokens on wide", "16 tokens on narrow"]


def test_calls_are_counted_by_how_they_ended() -> None:
    with Engine.load(EngineConfig(model="tiny")) as engine:
        speech = engine.synthesize("Hello world! And again.")
        list(engine.stream("Hello."))
        engine.stream("Hello.").close()
        for wrong in ({"voice": "af_nobody"}, {"speed": 9.0}):
            with pytest.raises(KokoroLabError):
                engine.synthesize("Hello.", **wrong)  # type: ignore[arg-type]
            with pytest.raises(KokoroLabError):
                engine.stream("Hello.", **wrong)  # type: ignore[arg-type]
        with pytest.raises(KokoroLabError):
            list(engine.stream("..."))
        calls = engine.status().calls
    assert (calls.synthesized, calls.streamed, calls.cancelled, calls.failed, calls.running) == (1, 1, 1, 5, 0)
    assert calls.segments >= 3
    assert calls.tokens >= len(speech.tokens)
    assert calls.speech_s >= speech.speech_s


def wait_for_releases(engine: Engine, times: int) -> None:
    until(lambda: engine.status().calls.releases >= times)
    assert engine.status().calls.releases == times


def test_memory_goes_back_once_after_each_silence_and_the_next_call_works() -> None:
    with Engine.load(EngineConfig(model="tiny", release_idle_s=0.1)) as engine:
        for times in (1, 2):
            assert sum(len(chunk.samples) for chunk in engine.stream("Hello there, you. " * 12)) > 0
            wait_for_releases(engine, times)
        time.sleep(0.3)
        assert engine.status().calls.releases == 2


def test_memory_is_not_given_back_while_a_stream_is_heard_nor_when_that_is_off() -> None:
    with Engine.load(EngineConfig(model="tiny", release_idle_s=0.05)) as engine:
        stream = engine.stream("Hello there, you. " * 12)
        next(stream)
        engine.synthesize("Hello.")
        time.sleep(0.3)
        assert engine.status().calls.releases == 0
        stream.close()
        wait_for_releases(engine, 1)
    with Engine.load(EngineConfig(model="tiny", release_idle_s=0)) as engine:
        threads = set(threading.enumerate())
        engine.synthesize("Hello.")
        assert set(threading.enumerate()) <= threads


def test_memory_that_could_not_be_given_back_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def refuse() -> None:
        tried.set()
        raise InferenceError("refused")

    with Engine.load(EngineConfig(model="tiny", release_idle_s=0.05)) as engine:
        monkeypatch.setattr(engine.pool.members[0].session, "release_memory", refuse)
        engine.synthesize("Hello.")
        assert tried.wait(PATIENCE_S)
        time.sleep(0.1)
        assert engine.status().calls.releases == 0
        monkeypatch.undo()
        engine.synthesize("And again.")
        wait_for_releases(engine, 1)


def test_status_tells_what_runs(engine: Engine) -> None:
    engine.synthesize("Hello.", voice="bf_emma")
    status = engine.status()
    assert status.model.name == "tiny"
    assert (status.provider.status, status.provider.share) == ("ok", 1.0)
    assert status.digest == engine.pool.primary.digest()
    assert {"en-gb", "en-us"} <= set(status.languages)
    assert {"af_heart", "bf_emma"} <= set(status.voices)
    assert status.memory is None
    assert status.start.seconds == engine.load_seconds
    assert status.start.busy["g2p"] > 0
    (member,) = status.sessions
    assert member.calls > 0
    assert member.seconds_per_token is not None


def test_a_pool_of_sessions_speaks_and_counts() -> None:
    with Engine.load(EngineConfig(model="tiny", sessions="triple", concurrency=3)) as engine:
        engine.synthesize("Hello.")
        engine.synthesize("word " * 40)
        counts = {member.name: member.calls for member in engine.status().sessions}
    assert counts == {"wide": 1, "half": 0, "narrow": 1}


def test_the_watchdog_is_part_of_the_status_when_it_is_on() -> None:
    with Engine.load(EngineConfig(model="tiny", memory_watch_s=0.02, memory_pressure=0.0, audio_cache_mb=10)) as engine:
        engine.synthesize("Hello.")

        def acted() -> bool:
            memory = engine.status().memory
            assert memory is not None
            return bool(memory.actions)

        assert until(acted)
        # everything is over a pressure of 0: the caches are dropped again and again
        assert until(lambda: not engine.synthesize("Hello.").cached)


def test_each_variable_is_reported_as_applied_or_as_without_effect() -> None:
    environ = {
        "KOKORO_PROVIDER": "coreml",
        "KOKORO_PROVIDER_OPTIONS": "ModelFormat=NeuralNetwork",
        "KOKORO_COREML_COMPUTE_UNITS": "cpuandneuralengine",
        "KOKORO_COREML_MODEL_FORMAT": "MLProgram",
        "COREML_USE_FLOAT16": "true",
        "COREML_OPTIMIZE_FOR_APPLE_SILICON": "1",
        "KOKORO_MEMORY_ARENA_SIZE_MB": "512",
        "KOKORO_PRIMER_WORDS": "4",
        "KOKORO_WARMPU": "one",
        "KOKORO_LAB_HOME": "/tmp",
        "HOME": "/root",
    }
    config = EngineConfig.from_environment(environ, primer_words=5)
    assert config.session_settings.request.options == {
        "AllowLowPrecisionAccumulationOnGPU": "1",
        "MLComputeUnits": "CPUAndNeuralEngine",
        "ModelFormat": "NeuralNetwork",
    }
    found = {one.name: one for one in config.variables(environ, primer_words=5)}
    assert set(found) == set(environ) - {"HOME"}
    assert found["KOKORO_PROVIDER"].applied_to == "provider"
    assert found["KOKORO_COREML_COMPUTE_UNITS"].applied_to == "coreml.MLComputeUnits"
    assert found["KOKORO_MEMORY_ARENA_SIZE_MB"].applied_to == "arena_limit_mib"
    assert config.arena_limit_mib == 512
    assert found["COREML_USE_FLOAT16"].applied_to == "coreml.AllowLowPrecisionAccumulationOnGPU"
    for name, why in {
        "KOKORO_COREML_MODEL_FORMAT": "takes precedence",
        "COREML_OPTIMIZE_FOR_APPLE_SILICON": "no such option",
        "KOKORO_PRIMER_WORDS": "given in code",
        "KOKORO_WARMPU": "no setting has this name",
    }.items():
        assert found[name].applied_to == ""
        assert why in found[name].reason
    plain = EngineConfig.from_environment({"KOKORO_COREML_COMPUTE_UNITS": "ALL"})
    assert plain.provider_options == ()
    (only,) = plain.variables({"KOKORO_COREML_COMPUTE_UNITS": "ALL"})
    assert "the provider is cpu" in only.reason
