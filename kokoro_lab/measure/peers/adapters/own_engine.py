"""A peer engine in the worker, in place of ours, with its manifest.

This runs in the peer's environment, where little else is installed, and must load nothing that the peer does not need.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.machine.program_bytes import packages_sum, plain_sum
from kokoro_lab.measure.peers.adapters import ADAPTERS, Peer, PeerFiles, SampleListener, adapter_for
from kokoro_lab.measure.records.cell import Cell, ModelReading
from kokoro_lab.measure.records.identity import MEASURED_PACKAGES, PARTS, BlockIdentity
from kokoro_lab.runtime.session_files.native_libraries import native_libraries

__all__ = ["MANIFEST", "Manifest", "PeerEngine", "PeerSentence"]

MANIFEST = "KOKORO_LAB_PEER"
"""Environment variable with the path of the manifest."""


@dataclass(frozen=True)
class PeerSentence:
    """One of our segments, as a peer gets it."""

    phonemes: str
    pause_s: float
    """The silence that our engine appends; the peer does not use it, but the audio gate does."""


@dataclass(frozen=True)
class Manifest:
    """Everything that a peer is given."""

    files: PeerFiles
    model: ModelReading
    utterances: Mapping[str, tuple[PeerSentence, ...]]
    """Text -> its sentences; of the cell's own text, and of the text that cold-shape blocks warm up with."""
    sums: Mapping[str, str] = field(default_factory=dict)
    """Part of a block's identity -> sum, of these files."""

    def write(self, path: Path) -> None:
        """Write the manifest as JSON."""
        write_text(path, json.dumps(dataclasses.asdict(self)), durable=False)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Inverse of `write`. Raises InputError for a file that is not a manifest."""
        return as_record(cls, read_json(path, what="peer's manifest"), what=f"peer's manifest {path}")


class PeerEngine:
    """A loaded peer engine in place of ours."""

    def __init__(self, peer: Peer, manifest: Manifest, package: str, load_ms: dict[str, float]) -> None:
        self._peer = peer
        self._manifest = manifest
        self._package = package
        self.load_ms = load_ms
        """Stage -> milliseconds: peer_import, session."""

    @classmethod
    def load(cls, cell: Cell) -> PeerEngine:
        """The peer of the cell's environment, with the files of the manifest.

        Raises KokoroLabError when it does not run on the requested number of threads.
        """
        manifest = Manifest.read(Path(os.environ[MANIFEST]))
        began = time.perf_counter_ns()
        adapter = adapter_for(cell.environment)
        imported = time.perf_counter_ns()
        peer = adapter.load(manifest.files, cell.intra_op_threads)
        loaded = time.perf_counter_ns()
        if cell.intra_op_threads and peer.threads != cell.intra_op_threads:
            raise KokoroLabError(
                f"peer {cell.environment} runs on {peer.threads} threads instead of {cell.intra_op_threads}; "
                "measure it with its own number"
            )
        stages = {"peer_import": (imported - began) / 1e6, "session": (loaded - imported) / 1e6}
        return cls(peer, manifest, ADAPTERS[cell.environment].package, stages)

    @property
    def versions(self) -> dict[str, str]:
        """Package -> version, of the peer's package."""
        from importlib.metadata import version

        return {self._package: version(self._package)}

    @property
    def model(self) -> ModelReading:
        """The model whose weights it uses."""
        return self._manifest.model

    @property
    def identity(self) -> BlockIdentity | None:
        """What it measures, by its bytes; None for a manifest without sums."""
        if set(self._manifest.sums) != set(PARTS) - {"packages"}:
            return None
        packages = packages_sum((*MEASURED_PACKAGES, self._package), native_libraries(), plain_sum)
        return BlockIdentity(packages=packages, **self._manifest.sums)

    def sentences(self, text: str) -> tuple[PeerSentence, ...]:
        """The sentences of one text. KeyError for a text that is not in the manifest."""
        return self._manifest.utterances[text]

    def speak(self, text: str, speed: float, hear: SampleListener, *, stream: bool) -> None:
        """Speak one text of the manifest; see `adapters.Peer`."""
        self._peer.speak([sentence.phonemes for sentence in self.sentences(text)], speed, hear, stream=stream)

    def close(self) -> None:
        """Release the model."""
        self._peer.close()
