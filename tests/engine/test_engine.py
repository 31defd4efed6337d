"""Text in, speech out: what is given back, that it repeats, and that bad input has a name."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from contract_models import contract_model
from patience import PATIENCE_S
from scripted_clock import ScriptedClock

from kokoro_lab.engine import engine as engine_module
from kokoro_lab.engine import loading
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import (
    EmptyTextError,
    InferenceError,
    KokoroLabError,
    LanguageError,
    ModelNotFoundError,
    ProviderError,
    SettingError,
    VoiceError,
)
from kokoro_lab.runtime.providers import availability
from kokoro_lab.text import segment as text_segment

TEXT = "Hello world! This is the second sentence, a little longer than the first. And a third."


def test_speech_carries_all_that_was_made_on_the_way(engine: Engine) -> None:
    speech = engine.synthesize(TEXT, voice="af_heart", speed=1.25, seed=3)
    assert speech.samples.dtype == np.float32
    assert speech.samples.ndim == 1
    assert (speech.sample_rate, speech.voice, speech.speed) == (24_000, "af_heart", 1.25)
    assert (speech.lang, speech.seed, speech.text) == ("en-us", 3, TEXT)
    assert " ".join(one.segment.text for one in speech.segments) == TEXT
    assert len(speech.segments) == 3
    assert speech.phonemes == " ".join(one.segment.phonemes for one in speech.segments)
    assert len(speech.tokens) == sum(len(one.segment.tokens) for one in speech.segments)
    assert speech.durations is not None
    assert len(speech.durations) == len(speech.tokens) + 2 * len(speech.segments)
    pauses = sum(one.segment.pause_s for one in speech.segments[:-1])
    assert pauses > 0
    assert speech.speech_s == pytest.approx(600 * speech.durations.sum() / 24_000)
    assert speech.duration_s == pytest.approx(speech.speech_s + pauses, abs=1e-4)
    assert speech.rtf == pytest.approx(speech.timings.total_s / speech.speech_s)
    assert speech.model.name == "tiny"
    for before, after in pairwise(speech.segments):
        assert after.start == before.start + before.samples + round(24_000 * before.segment.pause_s)


@pytest.mark.parametrize("parallel", [1, 2])
def test_each_stage_has_the_time_of_its_work_and_what_no_stage_has_is_other(
    monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    with Engine.load(EngineConfig(model="tiny", concurrency=parallel, parallel_segments=parallel)) as engine:
        clock = ScriptedClock(monkeypatch)
        clock.price(text_segment, "spoken", 1, "normalise")
        clock.price(engine._reader._ready["en-us"], "phonemize", 4, "phonemise")
        clock.price(text_segment.Vocabulary, "encode", 2, "tokenise")
        clock.price(engine.pool, "run", 64, "infer")
        clock.price(engine_module, "assembled", 8, "post_process")
        clock.price(engine_module, "key_of", 16, "other")
        timings = engine.synthesize(TEXT).timings
    spent = dict(clock.spent)
    assert spent == {"normalise": 3, "phonemise": 12, "tokenise": 6, "infer": 192, "post_process": 8, "other": 16}
    assert (timings.other_s, timings.total_s) == (16, sum(spent.values()))
    if parallel == 1:  # else a text is read while the model runs, and both take the same seconds
        assert {name: getattr(timings, f"{name}_s") for name in spent} == spent


def test_the_stages_add_up_to_the_whole(engine: Engine) -> None:
    timings = engine.synthesize(TEXT).timings
    stages = timings.normalise_s + timings.phonemise_s + timings.tokenise_s + timings.infer_s + timings.post_process_s
    assert stages + timings.other_s == pytest.approx(timings.total_s, abs=1e-9)
    assert timings.other_s > -1e-9
    assert min(timings.normalise_s, timings.phonemise_s, timings.tokenise_s, timings.infer_s) > 0


def test_hardly_any_work_is_in_no_stage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # which another process does not stretch
    tries = [engine.synthesize(TEXT).timings for _ in range(5)]
    assert min(timings.other_s / timings.total_s for timings in tries) < 0.1, "1 % is usual"


def test_the_same_call_gives_the_same_samples_and_another_seed_others(engine: Engine) -> None:
    first = engine.synthesize(TEXT, seed=1).samples
    assert np.array_equal(first, engine.synthesize(TEXT, seed=1).samples)
    with Engine.load(EngineConfig(model="tiny", parallel_start=False)) as other:
        assert np.array_equal(first, other.synthesize(TEXT, seed=1).samples)
    assert not np.array_equal(first, engine.synthesize(TEXT, seed=2).samples)


def test_markup_changes_the_rate_of_its_part_only(engine: Engine) -> None:
    plain = engine.synthesize("One two three. Four five six.")
    marked = engine.synthesize('<speak>One two three. <prosody rate="150%">Four five six.</prosody></speak>')
    assert marked.tokens == plain.tokens
    assert marked.segments[0].samples == plain.segments[0].samples
    assert marked.segments[1].samples < plain.segments[1].samples


def test_a_break_before_the_first_word_is_heard_before_it(engine: Engine) -> None:
    plain = engine.synthesize("Hello there.")
    text = '<speak><break time="0.5s"/>Hello there.</speak>'
    led = engine.synthesize(text)
    assert not led.samples[:12_000].any()
    assert np.array_equal(led.samples[12_000:], plain.samples)
    assert led.segments[0].start == 12_000
    assert led.speech_s == plain.speech_s
    chunks = list(engine.stream(text))
    assert [chunk.pause for chunk in chunks[:2]] == [True, False]
    assert np.array_equal(np.concatenate([chunk.samples for chunk in chunks]), led.samples)


@pytest.mark.parametrize("lang", ["b", "e", "f", "h", "i", "p"])
def test_a_voice_speaks_its_own_language(engine: Engine, lang: str) -> None:
    voice = {"b": "bf_emma", "e": "ef_dora", "f": "ff_siwis", "h": "hf_alpha", "i": "if_sara", "p": "pf_dora"}[lang]
    own = engine.synthesize("Radio 1", voice=voice)
    assert own.lang == {"b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "p": "pt-br"}[lang]
    assert own.phonemes != engine.synthesize("Radio 1", voice=voice, lang="en-us").phonemes or lang == "b"


@pytest.mark.parametrize("text", ["", "   \n", "!!! ...", "\u200b", "\N{GRINNING FACE}"])
def test_nothing_to_speak_is_an_error(engine: Engine, text: str) -> None:
    with pytest.raises(EmptyTextError):
        engine.synthesize(text)
    with pytest.raises(EmptyTextError):
        list(engine.stream(text))


@pytest.mark.parametrize("speed", [0, -1, 0.49, 2.01, float("nan"), float("inf"), "fast", None])
def test_a_speed_out_of_range_is_an_error(engine: Engine, speed: float) -> None:
    for call in (engine.synthesize, engine.stream):
        with pytest.raises(SettingError, match="speed"):
            call("Hello.", speed=speed)


@pytest.mark.parametrize("speed", [0.5, 2, np.float32(1.5)])
def test_speeds_within_the_range_work(engine: Engine, speed: float) -> None:
    assert engine.synthesize("Hello.", speed=speed).speed == float(speed)


def test_other_bad_arguments_have_names(engine: Engine) -> None:
    with pytest.raises(VoiceError, match="unknown voice"):
        engine.synthesize("Hello.", voice="af_nobody")
    with pytest.raises(LanguageError):
        engine.synthesize("Hello.", lang="tlh")
    with pytest.raises(SettingError, match="seed"):
        engine.synthesize("Hello.", seed=1.5)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="64 bits"):
        engine.synthesize("Hello.", seed=2**63)
    with pytest.raises(SettingError, match="type bytes"):
        engine.synthesize(b"Hello.")  # type: ignore[arg-type]


def test_loading_says_what_it_could_not_load() -> None:
    with pytest.raises(ModelNotFoundError):
        Engine.load(EngineConfig(model="no-such-model"))
    with pytest.raises(VoiceError):
        Engine.load(EngineConfig(model="tiny", voices=("af_nobody",)))
    with pytest.raises(LanguageError):
        Engine.load(EngineConfig(model="tiny", languages=("tlh",)))
    absent = next(entry.name for entry in availability() if not entry.installed)
    with pytest.raises(ProviderError):
        Engine.load(EngineConfig(model="tiny", provider=absent))
    with Engine.load(EngineConfig(model="tiny", provider=absent, provider_fallback=True)) as engine:
        assert engine.pool.primary.effective_provider().status == "unavailable"
        assert engine.synthesize("Hello.").duration_s > 0


@pytest.mark.parametrize("parallel", [False, True])
def test_the_stages_of_loading_add_up(parallel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock(monkeypatch)
    clock.price(loading, "ensure_harmless", 16, "other")
    prices = {"choose_model": ("model", 4), "_open_pool": ("session", 8), "load_voice": ("voices", 2)}
    for name, (stage, seconds) in prices.items():
        clock.price(loading, name, seconds, stage)
    clock.price(loading, "_rendered_store", 1, "caches")
    if not parallel:
        clock.price(loading.Reader, "prepare", 32, "g2p")
    with Engine.load(EngineConfig(model="tiny", parallel_start=parallel)) as engine:
        assert engine.load_seconds == {"g2p": 0.0, **clock.spent}
    assert clock.spent.keys() == {"model", "session", "voices", "caches", "other", *(() if parallel else ("g2p",))}


@pytest.mark.parametrize("parallel", [False, True])
def test_hardly_any_work_of_loading_is_in_no_stage(parallel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # which another process does not stretch
    shares = []
    for _ in range(3):
        with Engine.load(EngineConfig(model="tiny", parallel_start=parallel)) as engine:
            assert engine.load_seconds["other"] > -1e-9
            shares.append(engine.load_seconds["other"] / sum(engine.load_seconds.values()))
    assert min(shares) < 0.1, "1 % is usual"


def test_samples_that_are_not_finite_are_an_error_unless_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = str(contract_model(tmp_path_factory.mktemp("nan"), "nan").path)
    with Engine.load(EngineConfig(model=model)) as engine, pytest.raises(InferenceError, match="not finite"):
        engine.synthesize("Hello.")
    with Engine.load(EngineConfig(model=model, check_finite=False)) as engine:
        assert np.isnan(engine.synthesize("Hello.").samples).any()


def test_many_threads_get_the_samples_of_one_caller_and_errors_stay_with_their_call() -> None:
    texts = [f"This is sentence number {number}." for number in range(4)]
    with Engine.load(EngineConfig(model="tiny", concurrency=4)) as engine:
        alone = [engine.synthesize(text).samples for text in texts]
        problems: list[str] = []

        def work(offset: int) -> None:
            for step in range(2):
                number = (offset + step) % len(texts)
                if (offset + step) % 5 == 0:
                    try:
                        engine.synthesize(texts[number], voice="af_nobody")
                        problems.append("a wrong voice was spoken")
                    except VoiceError:
                        pass
                if not np.array_equal(engine.synthesize(texts[number]).samples, alone[number]):
                    problems.append(f"other samples for {number}")
                chunks = [chunk.samples for chunk in engine.stream(texts[number])]
                if not np.array_equal(np.concatenate(chunks), alone[number]):
                    problems.append(f"other chunks for {number}")

        threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)
    assert problems == []


def test_a_closed_engine_refuses() -> None:
    engine = Engine.load(EngineConfig(model="tiny"))
    engine.close()
    engine.close()
    with pytest.raises(KokoroLabError, match="closed"):
        engine.synthesize("Hello.")
    with pytest.raises(KokoroLabError, match="closed"):
        engine.stream("Hello.")


def test_speaking_loads_no_heavy_library() -> None:
    code = (
        "import sys, json\n"
        "from kokoro_lab import Engine, EngineConfig\n"
        "engine = Engine.load(EngineConfig(model='tiny', warmup='one', phoneme_cache=10, audio_cache_mb=1))\n"
        "engine.synthesize('Hello world, it costs $3.50 in 2024.')\n"
        "list(engine.stream('Hello world, it costs $3.50 in 2024.'))\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    heavy = {"onnx", "scipy", "pandas", "pyarrow", "torch", "spacy", "deltalake", "papermill", "altair", "IPython"}
    assert loaded & heavy == set()
    assert "onnxruntime" in loaded
