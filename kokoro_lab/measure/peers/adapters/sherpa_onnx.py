"""sherpa-onnx: a C++ engine with one model call and one callback per sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sherpa_onnx

from kokoro_lab.measure.peers.adapters import Peer, PeerFiles, SampleListener, Samples

__all__ = ["load"]

CONTINUE = 1


class _SherpaOnnx:
    def __init__(self, engine: Any, threads: int) -> None:
        self._engine = engine
        self.threads = threads

    def speak(self, sentences: Sequence[str], speed: float, hear: SampleListener, *, stream: bool) -> None:
        request = sherpa_onnx.GenerationConfig()
        request.sid = 0
        request.speed = speed
        request.silence_scale = 1.0  # its default shortens every silence to a fifth
        request.phoneme_codepoints = [[ord(symbol) for symbol in phonemes] for phonemes in sentences]
        pieces: list[Samples] = []

        def receive(samples: Samples, _: float) -> int:
            # The buffer is freed after the callback.
            (hear if stream else pieces.append)(np.array(samples, dtype=np.float32))
            return CONTINUE

        self._engine.generate("", request, receive)
        for samples in pieces:
            hear(samples)

    def close(self) -> None:
        self._engine = None


def load(files: PeerFiles, threads: int) -> Peer:
    """Load the engine, whose own default is one thread."""
    kokoro = sherpa_onnx.OfflineTtsKokoroModelConfig(model=files.model, voices=files.voices, tokens=files.vocabulary)
    model = sherpa_onnx.OfflineTtsModelConfig(kokoro=kokoro, num_threads=threads or 1, provider="cpu")
    return _SherpaOnnx(sherpa_onnx.OfflineTts(sherpa_onnx.OfflineTtsConfig(model=model)), model.num_threads)
