"""Proof that a rebuilt graph computes the same speech as the file that its parameters came from.

The waveforms of two whole calls cannot be compared: the phase of the source accumulates the smallest differences of F0.
Upstream's export, without noise, differs from itself by 2 dB (log-mel) when the style is scaled by 1 + 1e-6. So:
- the durations must be equal;
- with noise, each graph with its own, the log-mel distance is at most 4 dB, which is the effect of another noise seed;
- without noise, the original is fed our source's spectrum in place of its own, so that all its other parts still
  run from tokens to audio, and the distance is at most 0.1 dB.
The log-mel spectrogram is that of `audio.compare`: 80 bands from 0 to 12 kHz every 12.5 ms, 1,024 points, floor -80 dB
relative to a full-scale sine. A float16 file is compared with a graph of its own rounded weights, and may differ by one
frame in at most 2 % of its tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.audio.compare import gate, log_mel_distance_db
from kokoro_lab.errors import ModelError
from kokoro_lab.models.graph.architecture import FULL, Architecture
from kokoro_lab.models.importing.constant_folding import Constants
from kokoro_lab.variants.probes import Probe, Runner

__all__ = [
    "FED",
    "NOISELESS_DB",
    "NOISY_DB",
    "SPECTRUM",
    "ImportProof",
    "fed_source",
    "moved_frames",
    "prove",
    "with_spectrum",
]

NOISY_DB = 4.0
NOISELESS_DB = 0.1
SPECTRUM = "source_spectrum"
FED = "fed/source_spectrum"  # differs from the name that our own graphs use
HALF_TOKENS = 0.02  # share of tokens whose duration a float16 file may change by one frame


@dataclass(frozen=True)
class ImportProof:
    """The results of the probes."""

    probes: int
    tokens: int
    moved_tokens: int
    """Tokens whose duration differs; 0 where the original has no durations output and the lengths are equal."""
    most_moved_frames: int
    noisy_db: float
    """Mean log-mel distance, each graph with its own noise."""
    noiseless_db: float
    """Mean log-mel distance without noise, the original fed our source; infinite when all lengths differ."""
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the rebuilt graph may replace the original."""
        return not self.faults


def prove(
    original: onnx.ModelProto,
    rebuilt: onnx.ModelProto,
    probes: Sequence[Probe],
    *,
    half: bool = False,
    arch: Architecture = FULL,
) -> ImportProof:
    """Run both on the probes. Raises ModelError when the original cannot be opened or is not a Kokoro export."""
    theirs = Runner(original)
    contract = theirs.contract()
    fed, ours = Runner(fed_source(original, arch)), Runner(with_spectrum(rebuilt, arch))
    noisy: list[float] = []
    quiet: list[float] = []
    tokens = moved = most = 0
    for probe in probes:
        audio, durations = theirs.speak(probe)
        our_audio, our_durations = ours.speak(probe)
        tokens += len(probe.tokens) + 2
        difference = moved_frames(durations, our_durations, len(audio), len(our_audio))
        moved += int(np.count_nonzero(difference))
        most = max(most, int(np.abs(difference).max(initial=0)))
        noisy.append(gate(audio, our_audio, durations, our_durations).log_mel_db)
        if difference.any():
            continue
        still = ours.run({**probe.feeds(), "noise_scale": np.asarray(0.0, np.float32)})
        feeds = contract.feeds([0, *probe.tokens, 0], probe.feeds()["style"], probe.speed)
        their_still = fed.run({**feeds, FED: still[SPECTRUM]})[contract.audio].astype(np.float32).reshape(-1)
        quiet.append(log_mel_distance_db(their_still, still["audio"]))
    noisy_db = float(np.mean(noisy))
    noiseless_db = float(np.mean(quiet)) if quiet else math.inf
    faults: list[str] = []
    if most > (1 if half else 0) or moved > (HALF_TOKENS * tokens if half else 0):
        faults.append(f"{moved} of {tokens} tokens last longer or shorter, by up to {most} frames")
    if not noisy_db <= NOISY_DB:
        faults.append(f"its log-mel distance is {noisy_db:.2f} dB, more than {NOISY_DB:g}")
    if not noiseless_db <= NOISELESS_DB:
        faults.append(f"without noise its log-mel distance is {noiseless_db:.3f} dB, more than {NOISELESS_DB:g}")
    return ImportProof(len(probes), tokens, moved, most, noisy_db, noiseless_db, tuple(faults))


def fed_source(model: onnx.ModelProto, arch: Architecture = FULL) -> onnx.ModelProto:
    """An export without its source: `fed/source_spectrum` float32 [1, 2 bins, frames] is an input instead.

    The two noise convolutions read this spectrum. Raises ModelError when they are not identified.
    """
    constants = Constants(model.graph)
    read = {
        str(node.input[0])
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[1] in constants
        and constants.value(node.input[1]).shape[1] == 2 * arch.bins
    }
    if len(read) != 1:
        raise ModelError("the graph's harmonic source was not found, so it is not a Kokoro export; export it again")
    spectrum = read.pop()
    fed = onnx.ModelProto()
    fed.CopyFrom(model)
    for node in fed.graph.node:
        for place, name in enumerate(node.input):
            if name == spectrum:
                node.input[place] = FED
    shape = (1, 2 * arch.bins, "source_frames")
    fed.graph.input.append(onnx.helper.make_tensor_value_info(FED, onnx.TensorProto.FLOAT, shape))
    return fed


def with_spectrum(model: onnx.ModelProto, arch: Architecture) -> onnx.ModelProto:
    """Our graph with the source's spectrum as an additional output."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    shape = (1, 2 * arch.bins, "source_frames")
    extended.graph.output.append(onnx.helper.make_tensor_value_info(SPECTRUM, onnx.TensorProto.FLOAT, shape))
    return extended


def moved_frames(
    theirs: NDArray[np.int64] | None, ours: NDArray[np.int64] | None, samples: int, our_samples: int
) -> NDArray[np.int64]:
    """Frames by which each token lasts longer in our graph; a single entry if the original has no durations."""
    if theirs is None or ours is None or len(theirs) != len(ours):
        return np.asarray([(our_samples - samples) // 600], np.int64)
    return ours - theirs
