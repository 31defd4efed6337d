"""Seeded weights of the stand-in: every parameter of the architecture, scaled so that signals keep a healthy level.

The stand-in has Kokoro's exact shapes and so its exact cost, and says nothing about how Kokoro sounds. By construction,
durations are about 2.6 frames (65 ms) per token, F0 is between 100 and 250 Hz, the level is near that of speech, and no
sample exceeds +-1.
"""

from __future__ import annotations

import zlib
from math import prod

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.models.graph.architecture import Architecture, parameters

__all__ = ["seeded_state"]

Floats = NDArray[np.float32]

MEAN_FRAMES = 2.6  # duration frames per token, 65 ms: ordinary reading speed
DURATION_SPREAD = 0.22  # standard deviation of the log of a token's frames
STYLE_FAN_IN = 128  # inputs of the layers that read the style
F0_MEAN, F0_SPREAD = 170.0, 22.0  # Hz: within 100 to 250 at three deviations
LOG_MAGNITUDE = 0.15  # of the vocoder's lowest bin: puts the output near -24 dBFS
LOG_MAGNITUDE_TILT = -0.22  # per bin (1.2 kHz): the slope of speech's long-term spectrum, about 1.6 dB/kHz
ZERO_BIN = -0.9  # under a Hann window the next bin pulls the mean the other way: this leaves little at 0 Hz
STYLE_GAIN = 0.16  # of AdaIN's linear layers: voice rows have norm 1.6 to 2.1, so gamma and beta spread by 0.3
RESIDUAL_GAIN = 0.4  # of a resblock's convolutions: three residual sums grow the signal by a fifth
LSTM_INPUT_GAIN, LSTM_STATE_GAIN = 2.5, 0.5  # states follow the present token more than the past
BERT_RESIDUAL_GAIN = 0.05  # of what each shared layer adds: with more, twelve layers would average all tokens
F0_CONV_GAIN = 1 / F0_MEAN  # brings hertz to the scale of the channels they are joined with
LOG_MAGNITUDE_GAIN = 0.3  # spreads a bin's log magnitude by about 3 dB; with much more, exp would clip


def seeded_state(arch: Architecture, seed: int) -> dict[str, Floats]:
    """An upstream state dict of random weights: the same architecture and seed give the same arrays.

    Each parameter has its own generator, so that its values do not depend on which other parameters exist.
    """
    state = {name: _draw(name, shape, seed) for name, shape in parameters(arch).items()}
    for name in [name for name in state if name.endswith(".weight_g")]:
        state[name] = _gain(state[name.removesuffix("g") + "v"], _generator(name, seed))
    _shape_durations(state, arch, _generator("durations", seed))
    _shape_f0(state, arch)
    _shape_spectrum(state, arch)
    return state


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _draw(name: str, shape: tuple[int, ...], seed: int) -> Floats:
    rng = _generator(name, seed)
    values: Floats = rng.standard_normal(shape, dtype=np.float32)
    if ".alpha" in name:
        return np.asarray(np.exp(0.3 * values), np.float32)
    if name.endswith((".gamma", "norm.weight", "LayerNorm.weight", "layer_norm.weight")):
        return 1.0 + 0.05 * values
    if len(shape) == 1:
        return 0.02 * values
    if "embedding" in name and "mapping" not in name:
        return values
    return values * np.float32(_weight_gain(name) / np.sqrt(_fan_in(name, shape)))


def _weight_gain(name: str) -> float:
    if ".fc." in name:
        return STYLE_GAIN * float(np.sqrt(STYLE_FAN_IN))
    if "resblocks" in name or "noise_res" in name:
        return RESIDUAL_GAIN
    if "attention.dense" in name or "ffn_output" in name:
        return BERT_RESIDUAL_GAIN
    if ".weight_ih" in name:
        return LSTM_INPUT_GAIN
    if ".weight_hh" in name:
        return LSTM_STATE_GAIN
    if "F0_conv" in name:
        return F0_CONV_GAIN
    return 1.0


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    """Number of terms in the sum of an output value.

    The taps of an upsampling kernel are divided among its stride's phases, two for each sample.
    """
    if ".ups." in name:
        return 2 * shape[0]
    return prod(shape[1:])


def _gain(direction: Floats, rng: np.random.Generator) -> Floats:
    """Weight normalisation's gain.

    Near the direction's own norm, but not equal to it, so that folding has work to do.
    """
    norm = np.sqrt(np.sum(np.square(direction), axis=(1, 2), keepdims=True))
    return np.asarray(norm * rng.uniform(0.9, 1.1, norm.shape), np.float32)


def _shape_durations(state: dict[str, Floats], arch: Architecture, rng: np.random.Generator) -> None:
    """Make a token's duration outputs lean the same way, by a shared direction; independent, they would average out."""
    weight, bias = "predictor.duration_proj.linear_layer.weight", "predictor.duration_proj.linear_layer.bias"
    shared = rng.standard_normal(arch.hidden, dtype=np.float32)
    state_deviation = 0.25  # over tokens, of a seeded LSTM's output
    shared *= DURATION_SPREAD / (state_deviation * np.sqrt(arch.hidden))
    state[weight] = shared + 0.1 * state[weight]
    share = MEAN_FRAMES / arch.max_duration
    state[bias] = np.full(arch.max_duration, np.log(share / (1 - share)), np.float32)


def _shape_f0(state: dict[str, Floats], arch: Architecture) -> None:
    state["predictor.F0_proj.weight"] *= F0_SPREAD
    state["predictor.F0_proj.bias"][:] = F0_MEAN


def _shape_spectrum(state: dict[str, Floats], arch: Architecture) -> None:
    post = "decoder.generator.conv_post"
    state[f"{post}.weight_g"][: arch.bins] *= LOG_MAGNITUDE_GAIN
    state[f"{post}.bias"][: arch.bins] = LOG_MAGNITUDE + LOG_MAGNITUDE_TILT * np.arange(arch.bins)
    state[f"{post}.bias"][0] += ZERO_BIN
