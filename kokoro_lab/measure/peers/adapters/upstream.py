"""hexgrad's PyTorch package: KModel takes the phonemes of one model call; the caller splits the text.

Run as a program, this module writes the files that upstream reads: `weights TARGET.pth SEED` the stand-in's weights,
`voice TARGET.pt RAW` a voice pack.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from kokoro_lab.measure.peers.adapters import Peer, PeerFiles, SampleListener

__all__ = ["CONFIG", "load"]

CONFIG: dict[str, Any] = {
    "istftnet": {
        "upsample_kernel_sizes": [20, 12],
        "upsample_rates": [10, 6],
        "gen_istft_hop_size": 5,
        "gen_istft_n_fft": 20,
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "resblock_kernel_sizes": [3, 7, 11],
        "upsample_initial_channel": 512,
    },
    "plbert": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
        "max_position_embeddings": 512,
        "num_hidden_layers": 12,
        "dropout": 0.1,
    },
    "dropout": 0.2,
    "hidden_dim": 512,
    "max_dur": 50,
    "n_layer": 3,
    "n_mels": 80,
    "n_token": 178,
    "style_dim": 128,
    "text_encoder_kernel_size": 5,
}
"""hexgrad/Kokoro-82M's config.json without the vocabulary."""


class _Upstream:
    def __init__(self, model: Any, styles: torch.Tensor) -> None:
        self._model, self._styles = model, styles
        self.threads = int(torch.get_num_threads())

    def speak(self, sentences: Sequence[str], speed: float, hear: SampleListener, *, stream: bool) -> None:
        results = (self._call(phonemes, speed) for phonemes in sentences)
        for samples in results if stream else list(results):
            hear(samples)

    def _call(self, phonemes: str, speed: float) -> Any:
        return self._model(phonemes, self._styles[len(phonemes) - 1], speed).numpy()

    def close(self) -> None:
        self._model = None


def load(files: PeerFiles, threads: int) -> Peer:
    """Load the engine as its own pipeline does, without the text frontend: the phonemes are given."""
    if threads:
        torch.set_num_threads(threads)
    vocabulary = json.loads(Path(files.vocabulary).read_text(encoding="utf-8"))["vocab"]
    return _Upstream(_model(files.model, vocabulary), torch.load(files.voices, weights_only=True))


def _model(path: str, vocabulary: dict[str, int]) -> Any:
    """KModel with the STFT by convolution, as in every ONNX export.

    The STFT by complex numbers takes as long and gives louder audio, at a log-mel distance of 4.4 dB from this form.
    """
    config = {**CONFIG, "vocab": vocabulary}
    return _model_class()(repo_id="hexgrad/Kokoro-82M", config=config, model=path, disable_complex=True).eval()


def _model_class() -> Any:
    """KModel, without running the package's __init__, which loads an unused text pipeline with spaCy."""
    from loguru import logger

    logger.disable("kokoro")  # as that __init__ does
    if "kokoro" not in sys.modules:
        spec = find_spec("kokoro")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("the package kokoro is not installed; install the environment upstream")
        package = ModuleType("kokoro")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["kokoro"] = package
    from kokoro.model import KModel

    return KModel


def _write_weights(target: Path, seed: int) -> None:
    """The stand-in's weights as five state dicts, as hexgrad publishes them, and the STFT's constants."""
    from kokoro_lab.models.graph.architecture import FULL
    from kokoro_lab.models.graph.weights import seeded_state

    torch.save({}, target)
    model = _model(str(target), {})
    state = {name: torch.from_numpy(values) for name, values in seeded_state(FULL, seed).items()}
    result = model.load_state_dict(state, strict=False)
    if result.unexpected_keys or any(".stft." not in name for name in result.missing_keys):
        raise RuntimeError(f"the weights do not fit: {[*result.unexpected_keys, *result.missing_keys][:5]}")
    torch.save({name: part.state_dict() for name, part in model.named_children()}, target)


def _write_voice(target: Path, plain: Path) -> None:
    """A voice pack, float32 [510, 1, 256], from its raw values."""
    torch.save(torch.from_numpy(np.fromfile(plain, "<f4").reshape(-1, 1, 256)), target)


def _main(kind: str, target: str, source: str) -> None:
    if kind == "weights":
        _write_weights(Path(target), int(source))
    else:
        _write_voice(Path(target), Path(source))


if __name__ == "__main__":
    _main(*sys.argv[1:])
