"""Whether a variant may replace the graph it was derived from: stage by stage on equal inputs, and end to end.

Only equal inputs make the comparison meaningful. The phase of the source accumulates differences of F0, so two whole
calls drift apart as waveforms even when nobody could tell them apart; fed the same curves and the same source spectrum,
a variant's waveform can be compared with the reference's sample by sample.

Stand-in weights show whether arithmetic was changed and by how much, in dB of a signal that has speech's level and
spectral tilt. They do not show how a loss sounds: trained weights have other outliers, and ears other thresholds. A
verdict on stand-in weights is a statement about the graph, not about Kokoro's voice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.audio.compare import Verdict, facts, log_mel_distance_db
from kokoro_lab.audio.speech_distance import pitch_distance, snr_db, speech_distance
from kokoro_lab.models.graph.architecture import FULL, Architecture
from kokoro_lab.models.rewrite.partition import BOUNDARY, between
from kokoro_lab.variants.probes import Arrays, Probe, Runner

__all__ = ["Limits", "Reading", "Runs", "Verification", "judge_reading", "verify"]

FIRST_OUTPUTS = ("duration", *BOUNDARY)
LOUDNESS_SECONDS = 3.0  # s; the gate of BS.1770 makes shorter measurements unstable


@dataclass(frozen=True)
class Limits:
    """Limits of "equivalent" and of "close", for waveforms from the same source.

    Calibrated by known disturbances of the model's own audio (tests/variants/test_verify.py):
    - noise at -60 dB: equivalent. It is 60 dB below speech, and changes no band above the floor by 0.01 dB.
    - a gain of 1 %: equivalent. 0.09 dB in every band, a tenth of what is noticed; the difference is 40 dB lower.
    - a shift of 20 ms: different. It is inaudible, but it is not a rounding error either: the waveforms have nothing in
      common, and whatever shifted them is a mistake in the graph.
    - one layer with its channels in another order: never equivalent. Different where all sound passes through it
      (upsampling, the last convolution, F0, durations); close where it is one branch of several that are added, as one
      convolution of a resblock is, which leaves 16 dB. One wrong Snake parameter (30 dB) is not seen.
    """

    equivalent_log_mel_db: float = 1.0
    """About the smallest change of level in one band that a listener notices."""
    close_log_mel_db: float = 4.0
    """What another noise seed does to a voice that is plainly the same."""
    equivalent_snr_db: float = 22.0
    """Below the noise of 8 kbit/s speech codecs; the least that an int8 variant must reach. Applies to the waveform and
    to each tensor between the stages."""
    close_snr_db: float = 10.0
    equivalent_cents: float = 5.0
    """The just noticeable difference of pitch for complex tones (Moore 1973: 0.2 to 0.3 %)."""
    close_cents: float = 50.0
    """Half a semitone."""
    equivalent_voicing: float = 0.005
    close_voicing: float = 0.05
    loudness_lu: float = 0.5
    """Half of the deviation that EBU R 128 allows a programme."""
    clipped_excess: float = 1e-4


@dataclass(frozen=True)
class Reading:
    """The result of a probe: the variant compared with the reference."""

    tokens: int
    moved_tokens: int
    """Tokens whose duration differs."""
    curves_cents: float | None
    """RMS difference of the F0 curves on equal inputs, over frames voiced in both; None where the durations differ."""
    curves_voicing: float
    text_error: float
    """Relative norm of the difference of the text encodings."""
    energy_error: float
    """The same for the energy curves; infinite where the durations differ."""
    source_error: float
    """The same for the source's complex spectrum, both fed the reference's F0."""
    snr_db: float
    """Signal-to-noise ratio of the waveform after the source, with everything before it fed from the reference."""
    log_mel_db: float
    mcd_db: float
    loudness_lu: float | None
    true_peak_db: float
    whole_log_mel_db: float
    """Log-mel distance end to end, each with its own source; infinite where the durations differ."""
    finite: bool
    silent: bool
    clipped_excess: float


@dataclass(frozen=True)
class Verification:
    """The results of all probes, with a verdict."""

    verdict: Verdict
    reasons: tuple[str, ...]
    readings: tuple[Reading, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "readings": [{name: _plain(value) for name, value in asdict(reading).items()} for reading in self.readings],
        }


def verify(
    reference: onnx.ModelProto,
    candidate: onnx.ModelProto,
    probes: Sequence[Probe],
    *,
    arch: Architecture = FULL,
    limits: Limits | None = None,
    opened: Callable[[onnx.ModelProto], Runs] = Runner,
) -> Verification:
    """Compare two graphs of ours that have the stages' boundaries. Raises ModelError or InferenceError when one cannot
    run.

    `opened` opens the candidate's parts: in another provider than the reference's, where it does so.
    """
    pairs = _Pair(reference, candidate, arch, opened)
    readings = tuple(pairs.read(probe) for probe in probes)
    order: list[Verdict] = ["equivalent", "close", "different"]
    verdict: Verdict = "equivalent"
    reasons: list[str] = []
    for probe, reading in zip(probes, readings, strict=True):
        probe_verdict, why = judge_reading(reading, limits or Limits())
        verdict = max(verdict, probe_verdict, key=order.index)
        reasons += [f"{len(probe.tokens)} tokens: {each}" for each in why]
    return Verification(verdict, tuple(dict.fromkeys(reasons)), readings)


def judge_reading(reading: Reading, limits: Limits) -> tuple[Verdict, list[str]]:
    """The verdict on a probe, with a clause for each reason against "equivalent"."""
    faults = []
    if not reading.finite:
        faults.append("it contains NaN or infinite samples")
    if reading.silent:
        faults.append("it is silent")
    if reading.clipped_excess > limits.clipped_excess:
        faults.append(f"{reading.clipped_excess:.2%} more of its samples are clipped")
    if reading.moved_tokens:
        faults.append(f"{reading.moved_tokens} of {reading.tokens} durations differ")
    graded = [
        ("log-mel distance", reading.log_mel_db, limits.equivalent_log_mel_db, limits.close_log_mel_db, "dB"),
        ("noise below the signal", -reading.snr_db, -limits.equivalent_snr_db, -limits.close_snr_db, "dB"),
        ("F0 error", reading.curves_cents or 0.0, limits.equivalent_cents, limits.close_cents, "cents"),
        ("voicing error", reading.curves_voicing, limits.equivalent_voicing, limits.close_voicing, ""),
    ]
    for name, error in (
        ("text encoding", reading.text_error),
        ("energy curve", reading.energy_error if not reading.moved_tokens else 0.0),
        ("source", reading.source_error),
    ):
        graded.append(
            (f"error of the {name}", error, _share(limits.equivalent_snr_db), _share(limits.close_snr_db), "")
        )
    if reading.loudness_lu is not None:
        graded.append(("loudness", abs(reading.loudness_lu), limits.loudness_lu, math.inf, "LU"))
    reasons = []
    for name, value, equivalent, close, unit in graded:
        if not value <= close:
            faults.append(f"{name} {value:.2f} {unit}".rstrip())
        elif value > equivalent:
            reasons.append(f"{name} {value:.2f} {unit}".rstrip())
    if faults:
        return "different", [*faults, *reasons]
    return ("close" if reasons else "equivalent"), reasons


class Runs(Protocol):
    """Runs a graph: `probes.Runner` here, `provider_process` in another provider."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs by name."""
        ...


class _Pair:
    """Reference and candidate, whole and split at the source."""

    def __init__(
        self,
        reference: onnx.ModelProto,
        candidate: onnx.ModelProto,
        arch: Architecture,
        opened: Callable[[onnx.ModelProto], Runs],
    ) -> None:
        def both(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> list[Runs]:
            return [
                Runner(between(reference, arch, inputs, outputs)),
                opened(between(candidate, arch, inputs, outputs)),
            ]

        self._front = both(("tokens", "style", "speed"), FIRST_OUTPUTS)
        self._source = both(("f0",), ("source_spectrum",))
        self._back = both((*BOUNDARY, "style"), ("audio",))

    def read(self, probe: Probe) -> Reading:
        feeds = probe.feeds()
        ours, theirs = (runner.run(feeds) for runner in self._front)
        audio, other = (runner.run({**feeds, **ours})["audio"] for runner in self._back)
        spectra = [_complex(runner.run({"f0": ours["f0"]})["source_spectrum"]) for runner in self._source]
        same = np.array_equal(ours["duration"], theirs["duration"])
        whole = self._back[1].run({**feeds, **theirs})["audio"] if same else None
        cents, voicing = pitch_distance(ours["f0"].ravel(), theirs["f0"].ravel()) if same else (None, 0.0)
        before, after = facts(audio), facts(other)
        finite = after.finite and before.finite
        speech = speech_distance(audio, other) if finite else None
        long_enough = len(audio) >= LOUDNESS_SECONDS * 24_000
        return Reading(
            tokens=len(probe.tokens) + 2,
            moved_tokens=_moved(ours, theirs),
            curves_cents=cents,
            curves_voicing=voicing,
            text_error=_relative(ours["text_encoding"], theirs["text_encoding"]),
            energy_error=_relative(ours["energy"], theirs["energy"]) if same else math.inf,
            source_error=_relative(*spectra),
            snr_db=snr_db(audio, other),
            log_mel_db=log_mel_distance_db(audio, other),
            mcd_db=speech.mcd_db if speech else math.inf,
            loudness_lu=speech.loudness_lu if speech and long_enough else None,
            true_peak_db=speech.true_peak_db if speech else math.inf,
            whole_log_mel_db=math.inf if whole is None else log_mel_distance_db(audio, whole),
            finite=after.finite,
            silent=after.silent and not before.silent,
            clipped_excess=after.clipped_fraction - before.clipped_fraction,
        )


def _moved(ours: Arrays, theirs: Arrays) -> int:
    return int(np.count_nonzero(ours["duration"] != theirs["duration"]))


def _relative(ours: Any, theirs: Any) -> float:
    size = float(np.linalg.norm(ours))
    return float(np.linalg.norm(ours - theirs)) / max(size, 1e-30)


def _complex(spectrum: NDArray[Any]) -> NDArray[Any]:
    """Magnitudes and phases [1, 2 bins, frames] as complex numbers, which ignore whole turns of phase."""
    magnitude, phase = np.split(spectrum.astype(np.float64), 2, axis=1)
    return np.asarray(magnitude * np.exp(1j * phase))


def _share(decibels: float) -> float:
    """The relative norm of a difference that is this many dB below the signal."""
    return float(10.0 ** (-decibels / 20.0))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
