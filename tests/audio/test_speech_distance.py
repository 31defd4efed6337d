"""The measures of speech against other people's arithmetic for the same definitions."""

import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import resample_poly

from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.audio.spectrogram import log_mel
from kokoro_lab.audio.speech_distance import mel_cepstral_distortion_db, pitch_distance, snr_db, speech_distance


def test_mel_cepstral_distortion_is_kubicheks(voice):
    noisy = (voice + 0.01 * np.random.default_rng(1).standard_normal(len(voice))).astype(np.float32)
    nepers = (log_mel(voice) - log_mel(noisy)).astype(np.float64) * np.log(10) / 20
    cepstra = dct(nepers, type=2, axis=1)[:, 1:14] / nepers.shape[1]
    expected = np.mean(10 / np.log(10) * np.sqrt(2 * np.sum(cepstra**2, axis=1)))
    assert mel_cepstral_distortion_db(voice, noisy) == pytest.approx(expected, rel=1e-4)
    assert expected > 0.5
    louder = (0.9 * voice).astype(np.float32)
    assert mel_cepstral_distortion_db(voice, louder) < 0.1, "a gain is no distortion, except at the floor"


def test_true_peak_is_that_of_the_signal_four_times_oversampled(voice):
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal(4_800)
        spectrum = np.fft.rfft(noise)
        spectrum[int(0.8 * len(spectrum)) :] = 0.0
        signal = (0.2 * np.fft.irfft(spectrum)).astype(np.float32)
        fine = np.abs(resample_poly(signal.astype(np.float64), 4, 1, window=("kaiser", 8.0))).max()
        assert true_peak_dbtp(signal) == pytest.approx(20 * np.log10(fine), abs=0.1)
        assert true_peak_dbtp(signal) >= 20 * np.log10(np.abs(signal).max())
    between = np.sin(2 * np.pi * 6_000 * np.arange(2_400) / 24_000 + np.pi / 4).astype(np.float32)
    assert np.abs(between).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peak_dbtp(between) == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize("cents", [1.0, 5.0, 50.0, -100.0])
def test_an_error_of_so_many_cents_is_told_as_such(cents):
    curve = 150 + 30 * np.sin(np.arange(400) / 20)
    curve[::7] = 0.0
    found, voicing = pitch_distance(curve, curve * 2 ** (cents / 1200))
    assert found == pytest.approx(abs(cents), rel=1e-9)
    assert voicing == 0.0


def test_voicing_error_is_the_share_of_frames_voiced_in_one_alone():
    ours, theirs = np.full(100, 150.0), np.full(100, 150.0)
    ours[:10] = theirs[85:] = 0.0
    theirs[:5] = 0.0
    cents, voicing = pitch_distance(ours, theirs)
    assert (cents, voicing) == (0.0, pytest.approx(0.20))


def test_loudness_is_null_under_400_ms_and_not_at_400(voice):
    assert integrated_lufs(voice[: 24_000 * 4 // 10 - 1]) is None
    assert integrated_lufs(voice[: 24_000 * 4 // 10]) is not None
    assert speech_distance(voice[:9_000], voice[:9_000]).loudness_lu is None


def test_snr_is_the_level_of_what_was_added(voice):
    rng = np.random.default_rng(3)
    for decibels in (10, 40, 60):
        added = rng.standard_normal(len(voice))
        added *= np.linalg.norm(voice) / np.linalg.norm(added) * 10 ** (-decibels / 20)
        assert snr_db(voice, (voice + added).astype(np.float32)) == pytest.approx(decibels, abs=0.05)
