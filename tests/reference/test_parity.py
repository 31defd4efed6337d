"""Our graph and upstream's PyTorch model, given the same weights, agree stage by stage."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from kokoro_lab.models.graph.architecture import FULL, UNREAD_PARAMETERS, parameters
from kokoro_lab.models.graph.model_graph import build_stage
from kokoro_lab.models.graph.seeded_noise import TABLE_ROWS
from kokoro_lab.models.graph.stages import STAGES
from kokoro_lab.models.graph.weights import seeded_state

torch = pytest.importorskip("torch", reason="run `make reference`")
upstream = pytest.importorskip("upstream")

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SEEDS = (0, 1, 2)
LENGTHS = (5, 60, 300)  # tokens, the zeros at the ends included
SPEEDS = (1.0, 1.3)
LIMIT = 1e-4  # norm of the difference over the norm

Arrays = dict[str, NDArray[Any]]


class Pair:
    """Upstream and our five stages with one set of weights."""

    def __init__(self, seed: int, scratch: Path) -> None:
        state = seeded_state(FULL, seed)
        self.upstream = upstream.load(state, scratch)
        self._sessions = {stage.name: _session(state, stage.name) for stage in STAGES}

    def ours(self, stage: str, inputs: Arrays) -> Arrays:
        session = self._sessions[stage]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))


def _session(state: dict[str, NDArray[np.float32]], stage: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = build_stage(FULL, state, stage).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=SEEDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(request.param, tmp_path_factory.mktemp("upstream"))


@pytest.fixture(params=[(length, speed) for length in LENGTHS for speed in SPEEDS], ids=str)
def call(request: pytest.FixtureRequest) -> Arrays:
    length, speed = request.param
    return _call(length, speed)


@cache
def _call(length: int, speed: float) -> Arrays:
    rng = np.random.default_rng(length)
    tokens = np.zeros((1, length), np.int64)
    tokens[0, 1:-1] = rng.integers(1, FULL.symbols, length - 2)
    style = (0.155 * rng.standard_normal((1, 256))).astype(np.float32)
    return {"tokens": tokens, "style": style, "speed": np.asarray([speed], np.float32)}


def _distance(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours.astype(np.float64) - theirs) / np.linalg.norm(theirs))


def test_the_parameters_are_upstreams_to_the_last_name_and_shape(pair: Pair) -> None:
    theirs = {name: tuple(tensor.shape) for name, tensor in pair.upstream.named_parameters()}
    assert theirs == parameters(FULL)
    assert set(UNREAD_PARAMETERS) <= set(theirs)


def test_every_stage_agrees_with_upstream(pair: Pair, call: Arrays, record_property: Any) -> None:
    style, speed = call["style"], float(call["speed"][0])
    text = upstream.text_stage(pair.upstream, call["tokens"], style, speed)
    ours = pair.ours("text", call)
    np.testing.assert_array_equal(ours["duration"], text["duration"])
    frame_token = np.repeat(np.arange(len(text["duration"])), text["duration"])
    np.testing.assert_array_equal(ours["frame_token"], frame_token)
    distances = {name: _distance(ours[name], text[name]) for name in ("prosody_text", "text_encoding")}

    curves = upstream.prosody_stage(pair.upstream, text["prosody_text"], frame_token, style)
    inputs = {"prosody_text": text["prosody_text"], "frame_token": frame_token, "style": style}
    ours = pair.ours("prosody", inputs)
    distances |= {name: _distance(ours[name], curves[name]) for name in ("f0", "energy")}

    shared = {"text_encoding": text["text_encoding"], "frame_token": frame_token, **curves, "style": style}
    features = upstream.decoder_stage(pair.upstream, **shared)
    distances["decoder_features"] = _distance(pair.ours("decoder", shared)["decoder_features"], features)

    spectrum = upstream.source_stage(pair.upstream, curves["f0"], torch.float32)
    inputs = {"decoder_features": features, "source_spectrum": spectrum, "style": style}
    audio = upstream.vocoder_stage(pair.upstream, features, spectrum, style)
    assert len(audio) == 600 * len(frame_token)
    distances["audio"] = _distance(pair.ours("vocoder", inputs)["audio"], audio)

    record_property("distances", distances)
    print({name: f"{distance:.1e}" for name, distance in distances.items()})
    assert max(distances.values()) <= LIMIT, distances


def test_the_source_is_at_least_as_exact_as_upstreams(pair: Pair, call: Arrays) -> None:
    text = upstream.text_stage(pair.upstream, call["tokens"], call["style"], float(call["speed"][0]))
    frame_token = np.repeat(np.arange(len(text["duration"])), text["duration"])
    f0 = upstream.prosody_stage(pair.upstream, text["prosody_text"], frame_token, call["style"])["f0"]
    exact = _complex(upstream.source_stage(pair.upstream, f0, torch.float64))
    theirs = _complex(upstream.source_stage(pair.upstream, f0, torch.float32))
    ours = _complex(pair.ours("source", {"f0": f0, "noise_scale": np.asarray(0, np.float32)})["source_spectrum"])
    size = np.linalg.norm(exact)
    ours_off, theirs_off = np.linalg.norm(ours - exact) / size, np.linalg.norm(theirs - exact) / size
    print(f"off the float64 source: ours {ours_off:.1e}, upstream {theirs_off:.1e}")
    assert ours_off <= max(theirs_off, 1e-6)


def test_upstream_draws_initial_phases_that_reach_nothing(pair: Pair) -> None:
    """Why ours are scaled by `noise_scale`: the down-sampling in upstream skips the one sample that holds them."""
    f0 = np.full((1, 1, 40), 150.0, np.float32)
    without = upstream.source_stage(pair.upstream, f0, torch.float32)
    with_phases = upstream.source_stage(pair.upstream, f0, torch.float32, phase=0.3)
    np.testing.assert_array_equal(without, with_phases)


def test_the_noise_has_upstreams_deviation_voiced_and_unvoiced(pair: Pair) -> None:
    steps = 1000
    for f0, deviation in ((150.0, 0.003), (0.0, 0.1 / 3)):
        curve = np.full((1, 1, steps), f0, np.float32)
        quiet = _excitation(pair, curve, noise_scale=0.0)
        noisy = _excitation(pair, curve, noise_scale=1.0)
        mixer = pair.upstream.decoder.generator.m_source.l_linear.weight.detach().numpy()
        if f0:  # the overtones' random phases differ too: a fourth difference takes them out and leaves white noise
            noisy, quiet = (np.diff(x, 4) / np.sqrt(70) for x in (noisy, quiet))
        expected = deviation * np.linalg.norm(mixer)
        assert np.std(noisy - quiet) == pytest.approx(expected, rel=0.25), f0
    assert TABLE_ROWS * FULL.curve_samples / 24_000 > 30


def _excitation(pair: Pair, f0: NDArray[np.float32], *, noise_scale: float) -> NDArray[np.float64]:
    """The time signal before the spectrum: the inverse of frames that do not overlap."""
    inputs = {"f0": f0, "noise_scale": np.asarray(noise_scale, np.float32)}
    spectrum = _complex(pair.ours("source", inputs)["source_spectrum"])
    frames = np.fft.irfft(spectrum, FULL.n_fft, axis=1)[0]  # [n_fft, frames], windowed
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FULL.n_fft) / FULL.n_fft)
    middle = slice(FULL.n_fft // 2 - 2, FULL.n_fft // 2 + 3)  # hop samples around the window's peak
    return (frames[middle] / window[middle, None]).T.reshape(-1)[20:-20]


def _complex(spectrum: NDArray[Any]) -> NDArray[np.complex128]:
    magnitude, phase = np.split(spectrum.astype(np.float64), 2, axis=1)
    return magnitude * np.exp(1j * phase)
