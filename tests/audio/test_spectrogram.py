"""The log-mel spectrogram, and the distance of two of them frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from kokoro_lab.audio.spectrogram import FLOOR_DB, frame_distances, log_mel


def test_a_full_scale_sine_is_near_zero_decibels_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(24_000) / 24_000).astype(np.float32)
    picture = log_mel(tone)
    assert picture.shape == (80, 80)
    assert picture[40].max() == pytest.approx(0.0, abs=1.0)
    assert picture.min() == FLOOR_DB


def test_every_band_sees_something() -> None:
    noise = np.random.default_rng(0).standard_normal(24_000).astype(np.float32) * np.float32(0.1)
    assert (log_mel(noise)[10] > -70.0).all()


def test_a_distance_belongs_to_its_frame_and_silence_to_no_sound() -> None:
    first = np.full((3, 80), FLOOR_DB, np.float32)
    second = first.copy()
    second[1] += 6.0
    distances, active = frame_distances(first, second)
    assert distances.tolist() == pytest.approx([0.0, 6.0, 0.0]) and active.tolist() == [False, True, False]
