import math

import numpy as np
import pytest

from kokoro_lab.audio.finish import Finish, finish, resample, trim
from kokoro_lab.audio.loudness import integrated_lufs, level, true_peak_dbtp
from kokoro_lab.errors import SettingError


def tone(hertz, amplitude, seconds=2.0, phase=0.0, rate=24_000):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate + phase)).astype(np.float32)


def test_the_calibration_tone_of_the_standard():
    assert integrated_lufs(tone(997, 1.0)) == pytest.approx(-3.01, abs=0.1)
    assert integrated_lufs(tone(997, 0.1)) == pytest.approx(-23.01, abs=0.1)


def test_what_has_no_loudness_has_none():
    assert integrated_lufs(tone(997, 0.5, seconds=0.39)) is None
    assert integrated_lufs(np.zeros(24_000, dtype=np.float32)) is None
    assert integrated_lufs(tone(997, 1e-6)) is None


def test_a_peak_between_samples_is_seen():
    between = tone(6_000, 0.5, phase=math.pi / 4) * np.hanning(48_000).astype(np.float32)
    assert 20 * math.log10(np.abs(between).max()) == pytest.approx(-9.03, abs=0.02)
    assert true_peak_dbtp(between) == pytest.approx(-6.02, abs=0.1)
    assert true_peak_dbtp(np.zeros(10, dtype=np.float32)) == -math.inf
    assert true_peak_dbtp(np.zeros(0, dtype=np.float32)) == -math.inf


def test_levelling_reaches_the_target_or_stops_at_the_ceiling(voice):
    levelled, gain = level(voice, target_lufs=-20.0)
    assert integrated_lufs(levelled) == pytest.approx(-20.0, abs=0.05)
    assert np.allclose(levelled, voice * 10 ** (gain / 20), atol=1e-6)
    loud, _ = level(voice, target_lufs=-3.0)
    assert true_peak_dbtp(loud) == pytest.approx(-1.0, abs=0.01)
    assert integrated_lufs(loud) < -3.0


def test_levelling_leaves_silence_and_short_sounds_alone():
    assert level(np.zeros(24_000, dtype=np.float32))[1] == 0.0
    assert level(tone(300, 0.2, seconds=0.1))[1] == 0.0


def test_silence_at_the_ends_is_shortened_to_a_tenth_of_a_second(voice):
    padded = np.concatenate([np.zeros(24_000), voice, np.zeros(12_000)]).astype(np.float32)
    trimmed, start, end = trim(padded)
    assert start == pytest.approx(0.9, abs=0.02)
    assert end == pytest.approx(0.4, abs=0.02)
    assert len(trimmed) == len(padded) - round((start + end) * 24_000)
    assert np.array_equal(trimmed, padded[round(start * 24_000) :][: len(trimmed)])


def test_trimming_takes_nothing_from_speech_or_from_silence(voice):
    assert trim(voice)[1:] == (0.0, 0.0)
    nothing = np.zeros(24_000, dtype=np.float32)
    assert len(trim(nothing)[0]) == 24_000
    assert len(trim(nothing[:0])[0]) == 0


def test_resampling_keeps_a_tone():
    up = resample(tone(1_000, 0.5), 24_000, 48_000)
    assert up.dtype == np.float32
    assert len(up) == 96_000
    assert np.abs(up[5_000:-5_000] - tone(1_000, 0.5, rate=48_000)[5_000:-5_000]).max() < 1e-3
    with pytest.raises(SettingError, match="8000"):
        resample(up, 24_000, 10)


def test_everything_is_off_unless_asked_for(voice):
    done = finish(voice)
    assert np.array_equal(done.samples, voice)
    assert (done.gain_db, done.trimmed_start_s, done.sample_rate) == (0.0, 0.0, 24_000)


def test_a_whole_policy(voice):
    padded = np.concatenate([np.zeros(24_000, dtype=np.float32), voice])
    done = finish(padded, Finish(trim=True, target_lufs=-16.0, sample_rate=48_000))
    assert done.trimmed_start_s == pytest.approx(0.9, abs=0.02)
    assert done.sample_rate == 48_000
    assert done.true_peak_dbtp <= -0.99
    assert done.lufs is not None and done.lufs <= -15.95
    with pytest.raises(SettingError, match="LUFS"):
        finish(voice, Finish(target_lufs=3.0))
