"""Examination of another exporter's file: on its own, and compared with our graph of the same weights.

A foreign file has its own input names, may round the speed, may have no durations output, and has no boundaries between
stages under our names. On its own, it is checked for intelligible output: finite, not silent, whole frames. Compared
with our graph, its durations are checked, its sound with noise, and its waveform sample by sample, with our source's
spectrum in place of its own (see `import_proof`).
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
from kokoro_lab.models.graph.architecture import FULL, Architecture
from kokoro_lab.units import FRAME_SAMPLES
from kokoro_lab.variants.import_proof import FED, SPECTRUM, fed_source, moved_frames, with_spectrum
from kokoro_lab.variants.probes import Probe, Runner
from kokoro_lab.variants.verify import Limits

__all__ = ["Examination", "ForeignResult", "examine"]


@dataclass(frozen=True)
class ForeignResult:
    """The result of a probe. Fields that need our graph are None without it."""

    tokens: int
    audio_s: float
    finite: bool
    silent: bool
    clipped_fraction: float
    true_peak_dbtp: float
    loudness_lufs: float | None
    """Loudness in LUFS; None under 0.4 s."""
    durations_told: bool
    moved_tokens: int | None = None
    """Tokens whose duration differs; 1 in total where the file has no durations output and the lengths differ."""
    noisy_db: float | None = None
    """Log-mel distance, each file with its own noise."""
    noiseless_db: float | None = None
    """Log-mel distance without noise, the file fed with our source; None where its source was not identified."""
    snr_db: float | None = None
    """Signal-to-noise ratio of the same comparison, sample by sample."""


@dataclass(frozen=True)
class Examination:
    """The results of all probes, with a verdict."""

    contract: str
    verdict: Verdict | None
    """Compared with our graph; None without it."""
    reasons: tuple[str, ...]
    readings: tuple[ForeignResult, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
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
    """Run the file on the probes, and compare it with `ours` (our graph of the same weights) where that is given.

    Raises ModelError when it cannot be opened or is not a Kokoro export, InferenceError when it fails on a probe.
    """
    bounds = limits or Limits()
    pair = _Comparison(foreign, ours, arch)
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
            reasons.append("its source was not identified, so no waveform was compared")
        clean = not (faults or moved or loud or far)
        verdict = ("close" if near or pair.fed is None else "equivalent") if clean else "different"
    return Examination(pair.contract, verdict, tuple(dict.fromkeys(reasons)), readings)


class _Comparison:
    def __init__(self, foreign: onnx.ModelProto, ours: onnx.ModelProto | None, arch: Architecture) -> None:
        self._theirs = Runner(foreign)
        self._called = self._theirs.contract()
        self.contract = self._called.name
        self._ours = None if ours is None else Runner(with_spectrum(ours, arch))
        self.fed: Runner | None = None
        if ours is not None:
            try:
                self.fed = Runner(fed_source(foreign, arch))
            except ModelError:  # in quantised files no convolution reads the source unchanged
                self.fed = None

    def read(self, probe: Probe) -> ForeignResult:
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
                fed_audio = self.fed.run({**feeds, FED: still[SPECTRUM]})[self._called.audio]
                fed = np.asarray(fed_audio, np.float32).reshape(-1)
                heard["noiseless_db"] = log_mel_distance_db(still["audio"], fed)
                heard["snr_db"] = snr_db(still["audio"], fed)
        return ForeignResult(**heard)


def _faults(heard: ForeignResult) -> list[str]:
    faults = []
    if not heard.finite:
        faults.append("its output contains NaN or infinite samples")
    elif heard.silent:
        faults.append("it is silent")
    if round(heard.audio_s * 24_000) % FRAME_SAMPLES:
        faults.append("its audio is not a whole number of frames")
    return faults


def _beyond(heard: ForeignResult, log_mel_db: float, snr: float) -> bool:
    """Whether the noiseless comparison, where it was possible, exceeds these limits."""
    if heard.noiseless_db is None or heard.snr_db is None:
        return False
    return not (heard.noiseless_db <= log_mel_db and heard.snr_db >= snr)
