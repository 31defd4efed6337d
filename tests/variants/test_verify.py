"""The limits mean something: known disturbances of known size land where they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from kokoro_lab.audio.compare import Gate, gate
from kokoro_lab.audio.speech_distance import (
    f0_track,
    mel_cepstral_distortion_db,
    pitch_distance,
    snr_db,
    speech_distance,
)
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.folding import optimize
from kokoro_lab.models.rewrite.surgery import Surgeon
from kokoro_lab.variants.probes import Runner, check_probes
from kokoro_lab.variants.verify import Limits, Verification, judge_reading, verify

PROBES = check_probes()[:1]


def _disturbed(model: onnx.ModelProto, *nodes: tuple[str, tuple[np.ndarray, ...], dict[str, float]]) -> onnx.ModelProto:
    """The model with operations applied to its audio in turn: (operator, further inputs, attributes)."""
    surgeon = Surgeon(model)
    last = surgeon.maker("audio")
    assert last is not None
    last.output[0] = x = "undisturbed"
    for index, (kind, values, attributes) in enumerate(nodes):
        inputs = [surgeon.put(f"disturbance/{index}.{place}", value) for place, value in enumerate(values)]
        name = "audio" if index == len(nodes) - 1 else ""
        x = surgeon.add(kind, x, *inputs, name=name, **attributes)
    return surgeon.finish()


def _gained(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    return _disturbed(model, ("Mul", (np.asarray(factor, np.float32),), {}))


def _shifted(model: onnx.ModelProto, samples: int) -> onnx.ModelProto:
    return _disturbed(model, ("Pad", (np.asarray([samples, -samples], np.int64),), {}))


def _noisy(model: onnx.ModelProto, decibels: float) -> onnx.ModelProto:
    """White noise so far below the model's own audio."""
    level = np.std(Runner(model).run(PROBES[0].feeds())["audio"]) * 10 ** (decibels / 20)
    surgeon = Surgeon(model)
    last = surgeon.maker("audio")
    assert last is not None
    last.output[0] = "undisturbed"
    noise = surgeon.add("RandomNormalLike", "undisturbed", scale=float(level), seed=1.0)
    surgeon.add("Add", "undisturbed", noise, name="audio")
    return surgeon.finish()


def _wrong(name: str) -> onnx.ModelProto:
    """One layer's channels in another order."""
    state = seeded_state(TINY, 1)
    axis = 0 if state[name].shape[0] > 1 else 1
    return build(TINY, {**state, name: np.ascontiguousarray(np.flip(state[name], axis))})


def _heard(whole: onnx.ModelProto, candidate: onnx.ModelProto) -> Gate:
    (audio, durations), (other, moved) = (Runner(model).speak(PROBES[0]) for model in (whole, candidate))
    return gate(audio, other, durations, moved)


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


def test_noise_60_db_down_is_equivalent_and_in_steps_no_more(whole: onnx.ModelProto) -> None:
    levels = (-60, -20, -6)
    found = [_against(whole, _noisy(whole, level)) for level in levels]
    assert [each.verdict for each in found] == ["equivalent", "close", "different"]
    for level, each in zip(levels, found, strict=True):
        assert each.readings[0].snr_db == pytest.approx(-level, abs=0.5)
    assert _heard(whole, _noisy(whole, -60)).verdict == "equivalent"


def test_one_percent_of_gain_is_equivalent_and_six_decibels_are_different(whole: onnx.ModelProto) -> None:
    little = _against(whole, _gained(whole, 1.01))
    assert little.verdict == "equivalent"
    assert little.readings[0].snr_db == pytest.approx(40, abs=0.1)
    assert little.readings[0].log_mel_db == pytest.approx(0.086, abs=0.005)
    assert little.readings[0].true_peak_db == pytest.approx(0.086, abs=0.005)
    assert _against(whole, _gained(whole, 0.5)).verdict == "different"
    assert _heard(whole, _gained(whole, 1.01)).verdict == "equivalent"


def test_a_shift_of_20_ms_is_different(whole: onnx.ModelProto) -> None:
    found = _against(whole, _shifted(whole, 480))
    assert found.verdict == "different"
    assert found.readings[0].snr_db < 0
    assert _heard(whole, _shifted(whole, 480)).verdict != "equivalent"


@pytest.mark.parametrize(
    ("layer", "verdicts"),
    [
        ("text_encoder.cnn.0.0.weight_v", "different"),
        ("predictor.lstm.weight_ih_l0", "different"),
        ("predictor.F0.1.conv1.weight_v", "different"),
        ("predictor.N.1.conv1.weight_v", "different"),
        ("decoder.generator.m_source.l_linear.weight", "different"),
        ("decoder.generator.noise_convs.0.weight", "different"),
        ("decoder.encode.conv2.weight_v", "close different"),
        ("decoder.generator.ups.1.weight_v", "different"),
        ("decoder.generator.resblocks.4.convs1.1.weight_v", "close different"),
        ("decoder.generator.conv_post.weight_v", "different"),
    ],
)
def test_one_wrong_layer_is_never_equivalent(whole: onnx.ModelProto, layer: str, verdicts: str) -> None:
    assert _against(whole, _wrong(layer)).verdict in verdicts.split()


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
        ({"text_error": 0.4}, "text encoding"),
        ({"energy_error": 0.4}, "energy"),
        ({"source_error": 0.4}, "source"),
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
