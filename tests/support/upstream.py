"""Upstream's PyTorch Kokoro, opened at the boundaries of our stages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]

PLBERT = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 2048,
    "max_position_embeddings": 512,
    "num_hidden_layers": 12,
    "dropout": 0.1,
}
ISTFTNET = {
    "upsample_kernel_sizes": [20, 12],
    "upsample_rates": [10, 6],
    "gen_istft_hop_size": 5,
    "gen_istft_n_fft": 20,
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "resblock_kernel_sizes": [3, 7, 11],
    "upsample_initial_channel": 512,
}
CONFIG = {
    "istftnet": ISTFTNET,
    "plbert": PLBERT,
    "dropout": 0.2,
    "hidden_dim": 512,
    "max_dur": 50,
    "n_layer": 3,
    "n_mels": 80,
    "n_token": 178,
    "style_dim": 128,
    "text_encoder_kernel_size": 5,
    "vocab": {},
}
"""hexgrad/Kokoro-82M's config.json, as far as the model reads it."""


def load(state: dict[str, Floats], scratch: Path) -> torch.nn.Module:
    """Upstream's KModel with the weights of `state`."""
    empty = scratch / "empty.pth"
    torch.save({}, empty)
    model = _kmodel()(repo_id="hexgrad/Kokoro-82M", config=CONFIG, model=str(empty), disable_complex=True).eval()
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    result = model.load_state_dict(tensors, strict=False)
    assert not result.unexpected_keys
    assert all(".stft." in name for name in result.missing_keys), result.missing_keys
    return model


def _kmodel() -> type[torch.nn.Module]:
    """The class, without running the package's __init__, which loads a text pipeline nobody needs here."""
    if "kokoro" not in sys.modules:
        spec = find_spec("kokoro")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        package = ModuleType("kokoro")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["kokoro"] = package
    from kokoro.model import KModel

    return KModel


@torch.no_grad()
def text_stage(model: torch.nn.Module, tokens: NDArray[np.int64], style: Floats, speed: float) -> dict[str, NDArray]:
    """Durations, prosody text and text encoding, as KModel.forward_with_tokens computes them."""
    ids = torch.from_numpy(tokens)
    lengths = torch.tensor([ids.shape[1]])
    mask = torch.zeros_like(ids, dtype=torch.bool)
    features = model.bert_encoder(model.bert(ids, attention_mask=(~mask).int())).transpose(-1, -2)
    prosody = model.predictor.text_encoder(features, torch.from_numpy(style[:, 128:]), lengths, mask)
    states, _ = model.predictor.lstm(prosody)
    votes = torch.sigmoid(model.predictor.duration_proj(states)).sum(axis=-1) / speed
    return {
        "duration": torch.round(votes).clamp(min=1).long()[0].numpy(),
        "prosody_text": prosody[0].numpy(),
        "text_encoding": model.text_encoder(ids, lengths, mask)[0].T.contiguous().numpy(),
    }


@torch.no_grad()
def prosody_stage(
    model: torch.nn.Module, prosody_text: Floats, frame_token: NDArray, style: Floats
) -> dict[str, Floats]:
    """F0 and energy curves."""
    frames = torch.from_numpy(prosody_text[frame_token].T[None].copy())
    f0, energy = model.predictor.F0Ntrain(frames, torch.from_numpy(style[:, 128:]))
    return {"f0": f0[:, None].numpy(), "energy": energy[:, None].numpy()}


@torch.no_grad()
def source_stage(model: torch.nn.Module, f0: Floats, dtype: torch.dtype, phase: float = 0.0) -> NDArray:
    """The spectrum of the harmonic source without noise, computed in `dtype`; every initial phase drawn is `phase`."""
    generator = model.decoder.generator
    generator.m_source.to(dtype)
    generator.stft.to(dtype)
    try:
        with silent_source(phase):
            curve = generator.f0_upsamp(torch.from_numpy(f0).to(dtype)).transpose(1, 2)
            excitation, _, _ = generator.m_source(curve)
            spectrum = generator.stft.transform(excitation.transpose(1, 2).squeeze(1))
        return torch.cat(spectrum, dim=1).numpy()
    finally:
        generator.m_source.float()
        generator.stft.float()


@torch.no_grad()
def decoder_stage(
    model: torch.nn.Module, text_encoding: Floats, frame_token: NDArray, f0: Floats, energy: Floats, style: Floats
) -> Floats:
    """What the decoder hands to its generator."""
    seen: list[torch.Tensor] = []

    def keep(features: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        seen.append(features)
        return features

    asr = torch.from_numpy(text_encoding[frame_token].T[None].copy())
    with mock.patch.object(model.decoder.generator, "forward", keep):
        model.decoder(asr, torch.from_numpy(f0[:, 0]), torch.from_numpy(energy[:, 0]), torch.from_numpy(style[:, :128]))
    return seen[0].numpy()


@torch.no_grad()
def vocoder_stage(model: torch.nn.Module, features: Floats, spectrum: Floats, style: Floats) -> Floats:
    """Audio from the decoder's features and a given source spectrum."""
    given = torch.from_numpy(spectrum)
    magnitude, phase = given.chunk(2, dim=1)
    f0 = torch.zeros(1, features.shape[-1])
    with mock.patch.object(model.decoder.generator.stft, "transform", lambda _: (magnitude, phase)):
        audio = model.decoder.generator(torch.from_numpy(features), torch.from_numpy(style[:, :128]), f0)
    return audio.flatten().numpy()


@contextmanager
def silent_source(phase: float) -> Iterator[None]:
    """Upstream without its noise, and with a fixed number for its random phases."""
    zeros = {"rand": lambda *shape, **_: torch.full(shape, phase), "randn_like": torch.zeros_like}
    with mock.patch.multiple(torch, **zeros):
        yield
