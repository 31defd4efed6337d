"""Peer engines behind one interface. The worker loads one adapter, in the environment that holds its engine.

An adapter is a module with `load(files, threads) -> Peer`. A peer reads files: the model, the voice and the vocabulary,
in its own format (see `peer_files`). It is given the phonemes of our own engine, so that the same speech is compared.
A peer that splits text into model calls itself splits these phonemes itself, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

__all__ = ["ADAPTERS", "Adapter", "Peer", "PeerFiles", "SampleListener", "Samples", "adapter_for"]

Samples = npt.NDArray[np.float32]
SampleListener = Callable[[Samples], None]
"""Receives float32[S] at 24 kHz as soon as they arrive."""


@dataclass(frozen=True)
class Adapter:
    """The module of an adapter, and the package that it drives."""

    module: str
    package: str
    """Distribution whose version is recorded."""


ADAPTERS: Mapping[str, Adapter] = {
    "kokoro-onnx": Adapter("kokoro_lab.measure.peers.adapters.kokoro_onnx", "kokoro-onnx"),
    "pykokoro": Adapter("kokoro_lab.measure.peers.adapters.pykokoro", "pykokoro"),
    "sherpa-onnx": Adapter("kokoro_lab.measure.peers.adapters.sherpa_onnx", "sherpa-onnx"),
    "upstream": Adapter("kokoro_lab.measure.peers.adapters.upstream", "kokoro"),
}
"""Environment -> adapter. Environments that are not listed run our own engine."""


@dataclass(frozen=True)
class PeerFiles:
    """The paths of the files that a peer reads."""

    model: str
    voices: str
    vocabulary: str
    voice: str
    """Name of the voice in the voice file, if it has names."""


class Peer(Protocol):
    """An engine that is loaded and ready."""

    @property
    def threads(self) -> int:
        """Threads of one model call, as the peer's runtime reports; where it reports none, the requested number."""

    def speak(self, sentences: Sequence[str], speed: float, hear: SampleListener, *, stream: bool) -> None:
        """Speak phonemes, one string of at most 510 per sentence, and pass the samples to `hear`.

        stream: pass each piece as the peer's own streaming interface yields it, otherwise all after the last.
        No pauses are inserted and nothing is trimmed.
        """

    def close(self) -> None:
        """Release the model."""


class _Module(Protocol):
    def load(self, files: PeerFiles, threads: int) -> Peer:
        """Load the engine; with 0 threads it uses its own default."""


def adapter_for(environment: str) -> _Module:
    """Import the adapter of a peer's environment, and with it the engine. Raises KeyError for any other environment."""
    return cast("_Module", importlib.import_module(ADAPTERS[environment].module))
