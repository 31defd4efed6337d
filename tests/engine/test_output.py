"""What leaves the engine: level, peak, rate, 16 bits; and words spoken as the user's file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import InputError, SettingError

TEXT = "Hello world! This is the second sentence, a little longer than the first."


def test_speech_is_brought_to_the_loudness_asked_for_under_the_peak(engine: Engine) -> None:
    with Engine.load(EngineConfig(model="tiny", loudness_lufs=-30.0)) as levelled:
        speech = levelled.synthesize(TEXT)
        assert levelled.status().calls.finished == 1
    plain = engine.synthesize(TEXT)
    assert plain.finished is None
    assert speech.finished is not None
    assert integrated_lufs(speech.samples) == pytest.approx(-30.0, abs=0.1)
    gain = 10 ** (speech.finished.gain_db / 20)
    assert np.allclose(speech.samples, plain.samples * gain, rtol=1e-5, atol=1e-7)
    with Engine.load(EngineConfig(model="tiny", loudness_lufs=0.0, peak_dbtp=-3.0)) as loud:
        assert true_peak_dbtp(loud.synthesize(TEXT).samples) == pytest.approx(-3.0, abs=0.05)


def test_another_rate_changes_the_samples_and_no_time(engine: Engine) -> None:
    plain = engine.synthesize(TEXT)
    with Engine.load(EngineConfig(model="tiny", sample_rate=48_000)) as other:
        speech = other.synthesize(TEXT)
    assert speech.sample_rate == 48_000
    assert abs(len(speech.samples) - 2 * len(plain.samples)) <= 2
    assert speech.duration_s == pytest.approx(plain.duration_s, abs=1e-3)
    assert speech.speech_s == plain.speech_s
    assert speech.word_times == plain.word_times


def test_trimming_moves_the_times_with_the_sound(engine: Engine) -> None:
    plain = engine.synthesize(TEXT)
    with Engine.load(EngineConfig(model="tiny", trim=True)) as trimming:
        speech = trimming.synthesize(TEXT)
    assert speech.finished is not None
    cut = speech.finished.trimmed_start_s
    assert speech.duration_s == pytest.approx(plain.duration_s - cut - speech.finished.trimmed_end_s, abs=1e-3)
    assert speech.segments[1].start_s == pytest.approx(plain.segments[1].start_s - cut, abs=1e-4)
    assert min(word.start_s for word in speech.word_times) >= 0
    assert speech.speech_s == plain.speech_s


def test_a_cached_answer_is_finished_too() -> None:
    with Engine.load(EngineConfig(model="tiny", audio_cache_mb=10, loudness_lufs=-30.0)) as engine:
        first, second = engine.synthesize(TEXT), engine.synthesize(TEXT)
    assert second.cached
    assert np.array_equal(first.samples, second.samples)


def test_sixteen_bits_come_with_dither_unless_it_is_off(engine: Engine) -> None:
    speech = engine.synthesize(TEXT)
    dithered, plain = speech.pcm16(), speech.pcm16(dither=False)
    assert dithered.dtype == plain.dtype == np.int16
    assert np.array_equal(dithered, speech.pcm16())
    difference = dithered.astype(np.int32) - plain
    assert difference.any()
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("wrong", [{"loudness_lufs": 3.0}, {"peak_dbtp": 1.0}, {"sample_rate": 4000}])
def test_what_no_sound_can_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        EngineConfig(**wrong)  # type: ignore[arg-type]


def test_words_of_the_users_file_are_spoken_as_it_says(engine: Engine, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("world wˈʊf\n", encoding="utf-8")
    with Engine.load(EngineConfig(model="tiny", lexicon=words)) as own:
        speech = own.synthesize("Hello world!")
        assert "wˈʊf" in speech.phonemes
        assert own.status().calls.user_words == 1
    assert "wˈʊf" not in engine.synthesize("Hello world!").phonemes


def test_cached_speech_of_another_lexicon_is_not_found(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    for number, ipa in enumerate(("wˈʊf", "wˈɑf")):
        words.write_text(f"world {ipa}\n", encoding="utf-8")
        config = EngineConfig(model="tiny", lexicon=words, audio_cache_mb=10, cache_dir=tmp_path / "kept")
        with Engine.load(config) as engine:
            speech = engine.synthesize("Hello world!")
            assert not speech.cached, number
            assert ipa in speech.phonemes


def test_a_lexicon_that_cannot_be_read_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*none.txt; check the path"):
        Engine.load(EngineConfig(model="tiny", lexicon=tmp_path / "none.txt"))
