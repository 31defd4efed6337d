"""Where a rendering differs from another one: each figure is that of its own fault, with the right time."""

from __future__ import annotations

import numpy as np
import pytest

from kokoro_lab.audio.compare import gate
from kokoro_lab.audio.signal_differences import differences

AT = 24_000  # a second


def changed(voice: np.ndarray, part: slice, sound: object) -> np.ndarray:
    other = voice.copy()
    other[part] = sound
    return other


def test_equal_renderings_differ_in_nothing(voice: np.ndarray) -> None:
    found = differences(voice, voice.copy())
    assert (found.mean_db, found.worst_db.value, found.frame_db.value) == (0.0, 0.0, 0.0)
    assert (found.level_db.value, found.seam.value, found.f0_cents, found.voicing_error) == (0.0, 0.0, 0.0, 0.0)
    assert found.polarity is not None and found.polarity.value == pytest.approx(1.0)


def test_the_mean_hides_what_the_worst_window_shows(voice: np.ndarray) -> None:
    noise = 0.1 * np.random.default_rng(3).standard_normal(4_800)
    found = differences(voice, changed(voice, slice(AT, AT + 4_800), noise))
    assert found.mean_db < found.worst_db.value / 5.0
    assert found.worst_db.at_s == pytest.approx(1.0, abs=0.03)
    assert found.frame_db.value > found.mean_db and 0.95 <= found.frame_db.at_s <= 1.25


def test_a_level_has_its_sign_and_its_place(voice: np.ndarray) -> None:
    quieter = differences(voice, changed(voice, slice(AT, AT + 4_800), voice[AT : AT + 4_800] / 2))
    assert quieter.level_db.value == pytest.approx(-6.0, abs=0.1) and quieter.level_db.at_s == pytest.approx(1.0)
    louder = gate(voice, changed(voice, slice(AT, AT + 4_800), voice[AT : AT + 4_800] * 1.2))
    assert "1.0 s: 200 ms are 1.6 dB louder" in louder.reasons


def test_a_jump_counts_by_its_height_however_loud_the_speech_around_it(voice: np.ndarray) -> None:
    click = changed(voice, slice(AT, AT + 1), voice[AT] + 0.05)
    assert differences(voice, click).seam.value == pytest.approx(0.05, rel=0.01)
    assert differences(voice, click).seam.at_s == pytest.approx(1.0)
    assert "1.0 s: a jump by 0.050 of full scale that the reference does not have" in gate(voice, click).reasons


def test_noise_in_the_difference_is_no_jump(voice: np.ndarray) -> None:
    noise = 0.002 * np.random.default_rng(3).standard_normal(len(voice))
    assert differences(voice, (voice + noise).astype(np.float32)).seam.value < 0.01


def test_clicks_that_come_in_twos_do_not_hide_one_another(voice: np.ndarray) -> None:
    assert differences(voice, changed(voice, slice(AT, AT + 60, 50), 0.9)).seam.value > 0.3


def test_where_lengths_differ_only_a_jump_beyond_the_references_counts(voice: np.ndarray) -> None:
    longer = np.concatenate([voice, voice])
    alignment = np.arange(160) * 2
    assert differences(voice, longer, alignment).seam.value < 0.01
    assert differences(voice, changed(longer, slice(30_000, 30_001), 0.9), alignment).seam.value > 0.3


def test_an_inverted_place_has_the_correlation_of_an_inversion(voice: np.ndarray) -> None:
    assert differences(voice, -voice).polarity.value == pytest.approx(-1.0)
    assert gate(voice, -voice).verdict == "close"
    found = differences(voice, changed(voice, slice(AT, AT + 6_000), -voice[AT : AT + 6_000]))
    assert found.polarity.value == pytest.approx(-1.0) and found.polarity.at_s == pytest.approx(1.0, abs=0.06)
    assert differences(voice, np.roll(voice, 400)).polarity.value > -0.9, "another phase is no inversion"


def test_a_higher_pitch_has_its_cents_and_a_whisper_is_a_voicing_error(voice: np.ndarray) -> None:
    time = np.arange(48_000) / 24_000

    def tone(cents: float) -> np.ndarray:
        phase = 2 * np.pi * np.cumsum(np.full(48_000, 150 * 2 ** (cents / 1200))) / 24_000
        return (0.1 * sum(np.sin(number * phase) / number for number in range(1, 20))).astype(np.float32)

    assert differences(tone(0), tone(20)).f0_cents == pytest.approx(20.0, abs=1.5)
    assert differences(tone(0), tone(1200)).voicing_error > 0.9, "an octave is another pitch, not a large error of one"
    whisper = (0.05 * np.random.default_rng(2).standard_normal(len(time))).astype(np.float32)
    found = differences(tone(0), whisper)
    assert found.voicing_error > 0.9


def test_short_and_silent_renderings_have_figures(voice: np.ndarray) -> None:
    short = differences(voice[:500], voice[:500])
    assert short.worst_db.value == 0.0
    silence = np.zeros(2_400, np.float32)
    hush = np.full(2_400, 1e-6, np.float32)
    found = differences(silence, hush)
    assert (found.mean_db, found.polarity, found.f0_cents) == (0.0, None, None)
    nearly = differences(voice, (voice + np.float32(1e-7)).astype(np.float32))
    assert nearly.f0_cents == pytest.approx(0.0, abs=0.01), "what is computed agrees with what is known of equals"
