"""sherpa-onnx: a C++ engine, one model call a sentence, a callback after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sherpa_onnx

from kokoro_lab.measure.adapters import Files, Hear, Peer, Samples

__all__ = ["load"]

GO_ON = 1


class _SherpaOnnx:
    def __init__(self, engine: Any, threads: int) -> None:
        self._engine = engine
        self.threads = threads

    def speak(self, sentences: Sequence[str], speed: float, hear: Hear, *, stream: bool) -> None:
        request = sherpa_onnx.GenerationConfig()
        request.sid = 0
        request.speed = speed
        request.silence_scale = 1.0  # its default shortens every silence to a fifth
        request.phoneme_codepoints = [[ord(symbol) for symbol in phonemes] for phonemes in sentences]
        kept: list[Samples] = []

        def called(samples: Samples, _: float) -> int:
            # The buffer is gone after the call.
            (hear if stream else kept.append)(np.array(samples, dtype=np.float32))
            return GO_ON

        self._engine.generate("", request, called)
        for samples in kept:
            hear(samples)

    def close(self) -> None:
        self._engine = None


def load(files: Files, threads: int) -> Peer:
    """Its own default is one thread."""
    kokoro = sherpa_onnx.OfflineTtsKokoroModelConfig(model=files.model, voices=files.voices, tokens=files.vocabulary)
    model = sherpa_onnx.OfflineTtsModelConfig(kokoro=kokoro, num_threads=threads or 1, provider="cpu")
    return _SherpaOnnx(sherpa_onnx.OfflineTts(sherpa_onnx.OfflineTtsConfig(model=model)), model.num_threads)
