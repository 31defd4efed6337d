"""The limits mean something: known disturbances of known size land where they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from kokoro_lab.audio.speech_distance import (
    f0_track,
    mel_cepstral_distortion_db,
    pitch_distance,
    snr_db,
    speech_distance,
)
from kokoro_lab.models.architecture import TINY
from kokoro_lab.models.graph import build
from kokoro_lab.models.rewrite import optimize
from kokoro_lab.models.surgery import Surgeon
from kokoro_lab.models.weights import seeded_state
from kokoro_lab.variants.probes import check_probes
from kokoro_lab.variants.verify import Limits, Verification, judge_reading, verify

PROBES = check_probes()[:1]


def _disturbed(model: onnx.ModelProto, *steps: tuple[str, np.ndarray]) -> onnx.ModelProto:
    """The model with operations applied to its audio, in turn."""
    surgeon = Surgeon(model)
    last = surgeon.maker("audio")
    assert last is not None
    last.output[0] = x = "undisturbed"
    for index, (kind, value) in enumerate(steps):
        name = "audio" if index == len(steps) - 1 else ""
        x = surgeon.add(kind, x, surgeon.put(f"disturbance/{index}", value), name=name)
    return surgeon.finish()


def _against(whole: onnx.ModelProto, candidate: onnx.ModelProto) -> Verification:
    return verify(whole, candidate, PROBES, arch=TINY)


def test_a_graph_is_equivalent_to_itself_and_to_its_optimised_form(whole: onnx.ModelProto) -> None:
    same = _against(whole, whole)
    assert same.verdict == "equivalent"
    assert same.readings[0].snr_db == float("inf")
    optimised = _against(whole, optimize(whole))
    assert optimised.verdict == "equivalent"
    assert optimised.readings[0].snr_db > 80  # 1e-4
    assert optimised.readings[0].whole_log_mel_db < 1.0


def test_one_percent_of_gain_is_equivalent_and_six_decibels_are_not(whole: onnx.ModelProto) -> None:
    assert _against(whole, _disturbed(whole, ("Mul", np.asarray(1.01, np.float32)))).verdict == "equivalent"
    assert _against(whole, _disturbed(whole, ("Mul", np.asarray(0.5, np.float32)))).verdict != "equivalent"


def test_noise_60_db_down_is_equivalent_and_12_db_down_is_not(whole: onnx.ModelProto) -> None:
    reading = _against(whole, whole).readings[0]
    limits = Limits()
    assert judge_reading(replace(reading, snr_db=60.0, log_mel_db=0.3), limits)[0] == "equivalent"
    assert judge_reading(replace(reading, snr_db=12.0), limits)[0] == "close"
    assert judge_reading(replace(reading, snr_db=5.0), limits)[0] == "different"


def test_a_shift_of_20_ms_is_different(whole: onnx.ModelProto) -> None:
    surgeon = Surgeon(whole)
    last = surgeon.maker("audio")
    assert last is not None
    last.output[0] = "undisturbed"
    pads = surgeon.put("pads", np.asarray([480, -480], np.int64))
    surgeon.add("Pad", "undisturbed", pads, name="audio")
    found = _against(whole, surgeon.finish())
    assert found.verdict == "different"


def test_one_convolution_with_anothers_weights_is_different() -> None:
    state = seeded_state(TINY, 1)
    whole = build(TINY, state)
    name = "decoder.generator.resblocks.4.convs1.1.weight_v"
    wrong = build(TINY, {**state, name: np.ascontiguousarray(state[name][::-1])})
    found = _against(whole, wrong)
    assert found.verdict != "equivalent"
    assert found.readings[0].moved_tokens == 0


def test_other_durations_are_different_whatever_the_audio(whole: onnx.ModelProto) -> None:
    state = seeded_state(TINY, 1)
    state["predictor.duration_proj.linear_layer.bias"] += 0.5
    found = _against(whole, build(TINY, state))
    assert found.verdict == "different"
    assert found.readings[0].moved_tokens > 0
    assert found.readings[0].whole_log_mel_db == float("inf")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"finite": False}, "NaN"),
        ({"silent": True}, "silent"),
        ({"clipped_excess": 0.01}, "clipped"),
        ({"curves_cents": 80.0}, "F0"),
        ({"curves_voicing": 0.2}, "voicing"),
        ({"log_mel_db": float("inf")}, "log-mel"),
        ({"log_mel_db": float("nan")}, "log-mel"),
    ],
)
def test_each_fault_is_told_in_its_own_words(whole: onnx.ModelProto, change: dict[str, float], word: str) -> None:
    reading = replace(_against(whole, whole).readings[0], **change)
    verdict, reasons = judge_reading(reading, Limits())
    assert verdict == "different"
    assert any(word in reason for reason in reasons)


def _tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(24_000 * seconds)) / 24_000
    return (0.2 * sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 6))).astype(np.float32)


@pytest.mark.parametrize("hertz", [80.0, 170.0, 300.0])
def test_the_pitch_of_a_tone_is_found_within_five_cents(hertz: float) -> None:
    track = f0_track(_tone(hertz))[4:-4]
    assert np.abs(1200 * np.log2(track / hertz)).max() < 5


def test_a_semitone_is_a_hundred_cents_and_silence_has_no_pitch() -> None:
    cents, voicing = pitch_distance(f0_track(_tone(150.0))[4:-4], f0_track(_tone(150.0 * 2 ** (1 / 12)))[4:-4])
    assert cents == pytest.approx(100, abs=6)
    assert voicing == 0.0
    assert not f0_track(np.zeros(4_800, np.float32)).any()
    assert pitch_distance(np.zeros(3), np.asarray([0.0, 100.0, 0.0])) == (None, pytest.approx(1 / 3))


def test_distances_grow_with_the_disturbance_and_vanish_without() -> None:
    tone = _tone(150.0)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(len(tone)).astype(np.float32)
    little, much = tone + 1e-4 * noise, tone + 1e-2 * noise
    assert mel_cepstral_distortion_db(tone, tone) == 0.0
    assert 0 < mel_cepstral_distortion_db(tone, little) < mel_cepstral_distortion_db(tone, much)
    assert snr_db(tone, tone) == float("inf")
    assert snr_db(tone, tone[:-1]) == float("-inf")
    assert snr_db(tone, np.full_like(tone, np.nan)) == float("-inf")
    assert snr_db(tone, 0.9 * tone) == pytest.approx(20, abs=0.01)


def test_loudness_is_null_below_400_ms() -> None:
    assert speech_distance(_tone(150.0, 0.3), _tone(150.0, 0.3)).loudness_lu is None
    louder = speech_distance(_tone(150.0, 3.0), 2 * _tone(150.0, 3.0))
    assert louder.loudness_lu == pytest.approx(6.02, abs=0.1)
    assert louder.true_peak_db == pytest.approx(6.02, abs=0.1)
