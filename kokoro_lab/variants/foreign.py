"""What can be said of another exporter's file: alone, and against our graph of the same weights.

A foreign file has its own input names, may round the speed, may tell no durations, and has no boundaries between
stages under our names. Alone it shows whether it speaks at all: finite, not silent, whole frames. Against our graph,
its durations, its sound with noise, and, fed our source's spectrum in the place of its own, its waveform sample by
sample (`proof`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx

from kokoro_lab.audio.compare import Verdict, facts, gate, log_mel_distance_db
from kokoro_lab.audio.loudness import integrated_lufs, true_peak_dbtp
from kokoro_lab.audio.speech_distance import snr_db
from kokoro_lab.errors import ModelError
from kokoro_lab.models.architecture import FULL, Architecture
from kokoro_lab.variants.probes import Probe, Runner
from kokoro_lab.variants.proof import FED, SPECTRUM, fed_source, moved_frames, with_spectrum
from kokoro_lab.variants.verify import Limits

__all__ = ["Examination", "Heard", "examine"]

FRAME_SAMPLES = 600


@dataclass(frozen=True)
class Heard:
    """One probe. What needs our graph is None where there is none."""

    tokens: int
    audio_s: float
    finite: bool
    silent: bool
    clipped_fraction: float
    true_peak_dbtp: float
    loudness_lufs: float | None
    """None under 0.4 s."""
    durations_told: bool
    moved_tokens: int | None = None
    """Tokens whose duration differs; 1 for all where the file tells none and the lengths differ."""
    noisy_db: float | None = None
    """Log-mel distance, each with its own noise."""
    noiseless_db: float | None = None
    """Log-mel distance, both without noise, the file fed our source; None where its source was not found."""
    snr_db: float | None = None
    """The same, sample by sample."""


@dataclass(frozen=True)
class Examination:
    """All probes, and what they add up to."""

    contract: str
    verdict: Verdict | None
    """Against our graph; None without one."""
    reasons: tuple[str, ...]
    readings: tuple[Heard, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        rows = [
            {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row}
            for row in (asdict(each).items() for each in self.readings)
        ]
        return {"contract": self.contract, "verdict": self.verdict, "reasons": list(self.reasons), "readings": rows}


def examine(
    foreign: onnx.ModelProto,
    ours: onnx.ModelProto | None,
    probes: Sequence[Probe],
    *,
    arch: Architecture = FULL,
    limits: Limits | None = None,
) -> Examination:
    """Run the file on the probes, beside `ours` (our graph of the same weights) where there is one.

    Raises ModelError when it cannot be opened or is no Kokoro export, InferenceError when it fails on a probe.
    """
    bounds = limits or Limits()
    pair = _Beside(foreign, ours, arch)
    readings = tuple(pair.read(probe) for probe in probes)
    faults = [fault for each in readings for fault in _faults(each)]
    reasons = [*faults]
    verdict: Verdict | None = None
    if ours is not None:
        far = [each for each in readings if _beyond(each, bounds.close_log_mel_db, bounds.close_snr_db)]
        near = [each for each in readings if _beyond(each, bounds.equivalent_log_mel_db, bounds.equivalent_snr_db)]
        loud = [each for each in readings if each.noisy_db is not None and each.noisy_db > bounds.close_log_mel_db]
        moved = sum(each.moved_tokens or 0 for each in readings)
        if moved:
            reasons.append(f"{moved} tokens last longer or shorter than in our graph")
        if loud:
            reasons.append(f"its log-mel distance is {max(each.noisy_db or 0.0 for each in loud):.2f} dB")
        if near:
            worst = min(each.snr_db or -math.inf for each in near)
            reasons.append(f"without noise the difference lies {worst:.1f} dB below the signal")
        if pair.fed is None:
            reasons.append("its source was not found, so that no waveform was compared")
        clean = not (faults or moved or loud or far)
        verdict = ("close" if near or pair.fed is None else "equivalent") if clean else "different"
    return Examination(pair.contract, verdict, tuple(dict.fromkeys(reasons)), readings)


class _Beside:
    def __init__(self, foreign: onnx.ModelProto, ours: onnx.ModelProto | None, arch: Architecture) -> None:
        self._theirs = Runner(foreign)
        self._called = self._theirs.contract()
        self.contract = self._called.name
        self._ours = None if ours is None else Runner(with_spectrum(ours, arch))
        self.fed: Runner | None = None
        if ours is not None:
            try:
                self.fed = Runner(fed_source(foreign, arch))
            except ModelError:  # quantised files keep no convolution that reads the source as it is
                self.fed = None

    def read(self, probe: Probe) -> Heard:
        audio, durations = self._theirs.speak(probe)
        alone = facts(audio)
        heard: dict[str, Any] = {
            "tokens": len(probe.tokens) + 2,
            "audio_s": len(audio) / 24_000,
            "finite": alone.finite,
            "silent": alone.silent,
            "clipped_fraction": alone.clipped_fraction,
            "true_peak_dbtp": true_peak_dbtp(audio) if alone.finite else math.nan,
            "loudness_lufs": integrated_lufs(audio) if alone.finite else None,
            "durations_told": durations is not None,
        }
        if self._ours is not None:
            our_audio, our_durations = self._ours.speak(probe)
            moved = moved_frames(durations, our_durations, len(audio), len(our_audio))
            heard["moved_tokens"] = int(np.count_nonzero(moved))
            heard["noisy_db"] = gate(our_audio, audio, our_durations, durations).log_mel_db
            if self.fed is not None and not moved.any():
                still = self._ours.run({**probe.feeds(), "noise_scale": np.asarray(0.0, np.float32)})
                feeds = self._called.feeds([0, *probe.tokens, 0], probe.feeds()["style"], probe.speed)
                found = self.fed.run({**feeds, FED: still[SPECTRUM]})[self._called.audio]
                fed = np.asarray(found, np.float32).reshape(-1)
                heard["noiseless_db"] = log_mel_distance_db(still["audio"], fed)
                heard["snr_db"] = snr_db(still["audio"], fed)
        return Heard(**heard)


def _faults(heard: Heard) -> list[str]:
    found = []
    if not heard.finite:
        found.append("it gives NaN or infinite samples")
    elif heard.silent:
        found.append("it is silent")
    if round(heard.audio_s * 24_000) % FRAME_SAMPLES:
        found.append("its audio is no whole number of frames")
    return found


def _beyond(heard: Heard, log_mel_db: float, snr: float) -> bool:
    """Whether the noiseless comparison, where there is one, exceeds these limits."""
    if heard.noiseless_db is None or heard.snr_db is None:
        return False
    return not (heard.noiseless_db <= log_mel_db and heard.snr_db >= snr)
