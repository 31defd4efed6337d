"""Peer engines behind one interface. The worker loads one adapter, in the environment that holds its engine.

An adapter is a module with `load(files, threads) -> Peer`. What a peer is given is on disk: the model, the voice and
the vocabulary, in the format that it reads (see `peers`). It speaks the phonemes that our own engine speaks, so that
the same speech is compared. Where it cuts text into model calls itself, it cuts the phonemes itself, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ADAPTERS", "Adapter", "Files", "Hear", "Peer", "Samples", "adapter_for"]

Samples = npt.NDArray[np.float32]
Hear = Callable[[Samples], None]
"""Takes float32[S] at 24 kHz, the moment they are there."""


@dataclass(frozen=True)
class Adapter:
    """Where an adapter is, and what it drives."""

    module: str
    package: str
    """Distribution whose version is recorded."""


ADAPTERS: Mapping[str, Adapter] = {
    "kokoro-onnx": Adapter("kokoro_lab.measure.adapters.kokoro_onnx", "kokoro-onnx"),
    "pykokoro": Adapter("kokoro_lab.measure.adapters.pykokoro", "pykokoro"),
    "sherpa-onnx": Adapter("kokoro_lab.measure.adapters.sherpa_onnx", "sherpa-onnx"),
    "upstream": Adapter("kokoro_lab.measure.adapters.upstream", "kokoro"),
}
"""By the name of the environment. An environment that is not here runs our own engine."""


@dataclass(frozen=True)
class Files:
    """What a peer reads."""

    model: str
    voices: str
    vocabulary: str
    voice: str
    """Name of the voice in the file of voices, where that has names."""


class Peer(Protocol):
    """An engine that is loaded and ready."""

    @property
    def threads(self) -> int:
        """Threads of one model call, as the peer's runtime says; of one that tells nothing, what it was given."""

    def speak(self, sentences: Sequence[str], speed: float, hear: Hear, *, stream: bool) -> None:
        """Speak phonemes, one string a sentence of at most 510, and hand over the samples.

        stream: each piece when the peer's own streaming interface gives it, else all of them once the last is there.
        No pauses are inserted and nothing is trimmed.
        """

    def close(self) -> None:
        """Let go of the model."""


class _Module(Protocol):
    def load(self, files: Files, threads: int) -> Peer:
        """Load the engine; 0 threads leave it at its own default."""


def adapter_for(environment: str) -> _Module:
    """The adapter of a peer's environment, imported, and its engine with it. Raises KeyError for anything else."""
    module: object = importlib.import_module(ADAPTERS[environment].module)
    return module  # type: ignore[return-value]
