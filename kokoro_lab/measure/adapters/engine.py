"""A peer engine in the worker: what it was handed, and the engine itself, in the place of ours.

It runs in the peer's environment, where little else is installed, and must load nothing that the peer does not need.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.adapters import ADAPTERS, Files, Hear, Peer, adapter_for
from kokoro_lab.measure.cell import Cell, ModelReading

__all__ = ["MANIFEST", "Manifest", "PeerEngine", "Sentence"]

MANIFEST = "KOKORO_LAB_PEER"
"""Environment variable with the path of the manifest."""


@dataclass(frozen=True)
class Sentence:
    """What one of our segments becomes for a peer."""

    phonemes: str
    pause_s: float
    """The silence that our engine puts behind it; not the peer's affair, but the gate compares with it."""


@dataclass(frozen=True)
class Manifest:
    """All that a peer is handed."""

    files: Files
    model: ModelReading
    utterances: Mapping[str, tuple[Sentence, ...]]
    """Text -> its sentences; the cell's own, and the one that cold-shape blocks warm up with."""

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Inverse of `write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        utterances = {text: tuple(Sentence(**one) for one in said) for text, said in values["utterances"].items()}
        return cls(Files(**values["files"]), ModelReading(**values["model"]), utterances)


class PeerEngine:
    """A loaded peer in the place of our engine."""

    def __init__(self, peer: Peer, manifest: Manifest, package: str, load_ms: dict[str, float]) -> None:
        self._peer = peer
        self._manifest = manifest
        self._package = package
        self.load_ms = load_ms
        """Stage -> milliseconds: peer_import, session."""

    @classmethod
    def load(cls, cell: Cell) -> PeerEngine:
        """The peer of the cell's environment, with what the manifest names.

        Raises KokoroLabError when it does not run on as many threads as were asked for.
        """
        manifest = Manifest.read(Path(os.environ[MANIFEST]))
        began = time.perf_counter_ns()
        adapter = adapter_for(cell.environment)
        imported = time.perf_counter_ns()
        peer = adapter.load(manifest.files, cell.intra_op_threads)
        loaded = time.perf_counter_ns()
        if cell.intra_op_threads and peer.threads != cell.intra_op_threads:
            raise KokoroLabError(
                f"peer {cell.environment} runs on {peer.threads} threads where {cell.intra_op_threads} were asked for"
            )
        stages = {"peer_import": (imported - began) / 1e6, "session": (loaded - imported) / 1e6}
        return cls(peer, manifest, ADAPTERS[cell.environment].package, stages)

    @property
    def versions(self) -> dict[str, str]:
        """Of the peer's package."""
        from importlib.metadata import version

        return {self._package: version(self._package)}

    @property
    def model(self) -> ModelReading:
        """Whose weights it speaks with."""
        return self._manifest.model

    def sentences(self, text: str) -> tuple[Sentence, ...]:
        """What the peer is given for one text. KeyError for a text that the manifest does not have."""
        return self._manifest.utterances[text]

    def speak(self, text: str, speed: float, hear: Hear, *, stream: bool) -> None:
        """Speak one text of the manifest; see `adapters.Peer`."""
        self._peer.speak([one.phonemes for one in self.sentences(text)], speed, hear, stream=stream)

    def close(self) -> None:
        """Let go of the model."""
        self._peer.close()
