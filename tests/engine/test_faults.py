"""What breaks around the engine ends in a named error or a documented fallback, and the next request works."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract_models import contract_model
from patience import PATIENCE_S, until

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.loading import load_parts
from kokoro_lab.engine.reader import Reader
from kokoro_lab.errors import EmptyTextError, InferenceError, ModelNotFoundError, PhonemizeError, ProviderError
from kokoro_lab.runtime import opening
from kokoro_lab.text.phonemize import Phonemized, phonemizer_for


class Flaky:
    """A phonemiser that fails, or sleeps until it is woken, on words that ask for it."""

    lang = "en-us"

    def __init__(self, wake: threading.Event) -> None:
        self.wake = wake

    def phonemize(self, text: str) -> Phonemized:
        if "crash" in text:
            raise ZeroDivisionError("scripted")
        if "sleep" in text:
            assert self.wake.wait(PATIENCE_S)
        return phonemizer_for("en-us").phonemize(text)


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


@pytest.fixture
def flaky(tmp_path: Path, wake: threading.Event) -> Iterator[Engine]:
    parts = load_parts(EngineConfig(model=str(contract_model(tmp_path).path)))
    parts.reader = Reader(make=lambda _: Flaky(wake))
    with Engine(parts) as engine:
        yield engine


def test_a_phonemiser_that_raises_is_a_named_error_and_the_next_request_works(flaky: Engine) -> None:
    with pytest.raises(PhonemizeError, match="scripted"):
        flaky.synthesize("Now crash.")
    stream = flaky.stream("This is fine and long enough. Now crash. Never said.")
    heard = []
    with pytest.raises(PhonemizeError, match="scripted"):
        for chunk in stream:
            heard.append(chunk)
    assert heard
    assert flaky.synthesize("All is well.").duration_s > 0
    calls = flaky.status().calls
    assert (calls.failed, calls.synthesized, calls.running) == (2, 1, 0)


def test_a_phonemiser_that_sleeps_holds_up_neither_other_calls_nor_closing(
    flaky: Engine, wake: threading.Event
) -> None:
    slow = threading.Thread(target=flaky.synthesize, args=("Please sleep.",))
    slow.start()
    flaky.synthesize("All is well.")
    flaky.stream("Please sleep.").close()
    assert slow.is_alive(), "it still sleeps: neither call waited for it"
    wake.set()
    slow.join(PATIENCE_S)
    assert not slow.is_alive()


def test_a_listener_that_leaves_frees_the_engine(flaky: Engine) -> None:
    for _ in range(20):
        next(flaky.stream("One sentence. " * 50))
    until(lambda: not flaky.status().calls.running)
    calls = flaky.status().calls
    assert (calls.cancelled, calls.running) == (20, 0)
    assert flaky.synthesize("All is well.").duration_s > 0


def test_a_model_that_vanishes_matters_at_the_next_load_only(tmp_path: Path) -> None:
    path = contract_model(tmp_path).path
    config = EngineConfig(model=str(path))
    with Engine.load(config) as engine:
        path.unlink()
        assert engine.synthesize("All is well.").duration_s > 0
    with pytest.raises(ModelNotFoundError):
        Engine.load(config)


def test_a_provider_that_does_not_start_is_a_named_error_or_the_fallback_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = opening._create

    def failing(*given: Any) -> Any:
        if len(given[4]) > 1:  # the provider asked for, and the CPU behind it
            raise RuntimeError("scripted: no device")
        return create(*given)

    monkeypatch.setattr(opening, "require", lambda _: None)
    monkeypatch.setattr(opening, "_create", failing)
    config = EngineConfig(model=str(contract_model(tmp_path).path), provider="cuda")
    with pytest.raises(ProviderError, match="no device"):
        Engine.load(config)
    with Engine.load(replace(config, provider_fallback=True)) as engine:
        assert engine.status().provider.status == "unavailable"
        assert engine.synthesize("All is well.").duration_s > 0


def test_a_model_that_fails_on_one_text_speaks_the_next(tmp_path: Path) -> None:
    with Engine.load(EngineConfig(model=str(contract_model(tmp_path, "failure").path))) as engine:
        ten = next(text for text in ("a b c.", "Hi there.", "Hello.", "Go on.") if len(tokens(text)) == 10)
        with pytest.raises(InferenceError, match="failed on"):
            engine.synthesize("This is too long for it.")
        assert engine.synthesize(ten).duration_s > 0


def tokens(text: str) -> tuple[int, ...]:
    (segment,) = Reader().read((text,), "en-us")
    return segment.tokens


def test_out_of_memory_is_a_named_error_and_the_next_request_works() -> None:
    code = (
        "import resource\n"
        "from kokoro_lab import Engine, EngineConfig\n"
        "from kokoro_lab.errors import KokoroLabError\n"
        "engine = Engine.load(EngineConfig(model='tiny', warmup='one'))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    engine.synthesize('word ' * 90)\n"
        "    print('no error')\n"
        "except KokoroLabError as error:\n"
        "    print(type(error).__name__)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(engine.synthesize('word ' * 90).duration_s > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["InferenceError", "True"]


def test_500_calls_from_16_threads_end_and_are_right(tmp_path: Path) -> None:
    texts = [f"This is text number {number}." for number in range(5)]
    config = EngineConfig(
        model=str(contract_model(tmp_path).path), concurrency=2, phoneme_cache=3, audio_cache_mb=0.2, primer_cache=2
    )
    with Engine.load(config) as engine:
        alone = [Engine.synthesize(engine, text).samples for text in texts]
        problems: list[str] = []

        def work(offset: int) -> None:
            for step in range(32):
                number = (offset + step) % len(texts)
                match step % 4:
                    case 0:
                        with pytest.raises(EmptyTextError):
                            engine.synthesize("...")
                    case 1:
                        parts = [chunk.samples for chunk in engine.stream(texts[number])]
                        if not np.array_equal(np.concatenate(parts), alone[number]):
                            problems.append(f"stream {number}")
                    case 2:
                        engine.stream(texts[number]).close()
                    case _:
                        if not np.array_equal(engine.synthesize(texts[number]).samples, alone[number]):
                            problems.append(f"whole {number}")

        threads = [threading.Thread(target=work, args=(offset,), daemon=True) for offset in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads), "deadlock"
        assert problems == []
        calls = engine.status().calls
    assert calls.synthesized + calls.streamed + calls.cancelled + calls.failed == 16 * 32 + len(texts)
    assert (calls.failed, calls.running) == (16 * 8, 0)
