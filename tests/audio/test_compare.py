import subprocess
import sys

import numpy as np
import pytest

from kokoro_lab.audio.compare import GateLimits, Limit, facts, gate, log_mel_distance_db

DURATIONS = [20, 20, 20, 20]  # 80 frames of 600 samples are the two seconds of `voice`


def with_noise(voice, decibels):
    noise = np.random.default_rng(7).standard_normal(len(voice))
    return (voice + noise * np.std(voice) * 10 ** (decibels / 20)).astype(np.float32)


def test_a_gain_is_a_distance_of_its_size(voice):
    assert log_mel_distance_db(voice, voice) == 0.0
    assert log_mel_distance_db(voice, voice * np.float32(10 ** (-2 / 20))) == pytest.approx(2.0, abs=0.1)


def test_the_same_samples_are_equivalent(voice):
    verdict = gate(voice, voice.copy(), DURATIONS, DURATIONS)
    assert verdict.verdict == "equivalent"
    assert verdict.reasons == ()
    assert verdict.duration_equal


def test_rounding_is_equivalent_noise_is_close_and_more_is_different(voice):
    assert gate(voice, (voice + np.float32(1e-6)).astype(np.float32)).verdict == "equivalent"
    assert gate(voice, with_noise(voice, -25)).verdict == "close"
    assert gate(voice, with_noise(voice, 0)).verdict == "different"


def test_a_shifted_pitch_is_different(voice):
    places = np.arange(len(voice)) * 1.06
    sharp = np.interp(places % (len(voice) - 1), np.arange(len(voice)), voice).astype(np.float32)
    assert gate(voice, sharp, DURATIONS, DURATIONS).verdict == "different"


def test_silence_is_different(voice):
    verdict = gate(voice, np.zeros_like(voice), DURATIONS, DURATIONS)
    assert verdict.verdict == "different"
    assert "it is silent" in verdict.reasons


def test_samples_that_are_not_finite_are_different(voice):
    spoiled = voice.copy()
    spoiled[5] = np.inf
    verdict = gate(voice, spoiled, DURATIONS, DURATIONS)
    assert verdict.verdict == "different"
    assert not verdict.candidate.finite
    assert log_mel_distance_db(voice, spoiled) == np.inf


def test_clipping_more_than_the_reference_is_different(voice):
    verdict = gate(voice, np.clip(voice * np.float32(1.0), -1.0, 1.0))
    assert verdict.verdict == "equivalent"
    clipped = voice.copy()
    clipped[::500] = 1.0
    assert gate(voice, clipped).verdict == "different"
    assert gate(clipped, clipped).verdict == "equivalent"


def test_longer_tokens_are_laid_over_shorter_ones_before_comparing(voice):
    stretched = np.concatenate([voice[:12_000], voice[11_400:]])  # the first token lasts one frame more
    verdict = gate(voice, stretched, DURATIONS, [21, 20, 20, 20])
    assert verdict.verdict == "close"
    assert not verdict.duration_equal
    assert verdict.reasons[0] == "its durations differ from the reference's"


def test_equal_length_with_other_durations_is_not_equivalent(voice):
    assert gate(voice, voice.copy(), DURATIONS, [21, 19, 20, 20]).verdict != "equivalent"


def test_a_much_longer_rendering_is_different(voice):
    assert gate(voice, np.concatenate([voice, voice]), DURATIONS, [40, 40, 40, 40]).verdict == "different"


def test_limits_can_be_set(voice):
    noisy = with_noise(voice, -25)
    loose = {name: Limit(1e3, 1e3) for name in ("mean_db", "worst_db", "frame_db", "level_db", "seam", "voicing_error")}
    assert gate(voice, noisy).verdict == "close"
    assert gate(voice, noisy, limits=GateLimits(f0_cents=Limit(1e3, 1e3), **loose)).verdict == "equivalent"


def test_nothing_at_all_is_measured_without_warnings():
    empty = np.zeros(0, dtype=np.float32)
    assert facts(empty).silent
    assert gate(empty, empty).verdict == "different"
    assert facts(np.full(10, np.nan, dtype=np.float32)).finite is False


def test_importing_it_is_cheap():
    code = (
        "import sys, kokoro_lab.audio.compare; print(sorted({'scipy', 'soundfile', 'pyloudnorm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
