"""Which layers to quantise: each group alone, its damage against the time it saves, and the best set under a limit.

A group's damage is the noise that it adds to the waveform after the source, everything before it fed in fp32. Noise of
different groups is uncorrelated, so its power adds up; the set is then chosen greedily by time saved per noise, and
verified as a whole by whoever takes it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from kokoro_lab.audio.speech_distance import snr_db
from kokoro_lab.models.architecture import FULL, Architecture
from kokoro_lab.models.partition import BOUNDARY, between
from kokoro_lab.models.quantize_static import conv_names, prepare, quantize_static, selected
from kokoro_lab.variants.calibrate import calibrate
from kokoro_lab.variants.probes import Arrays, Probe, Runner, calibration_probes, check_probes

__all__ = ["GROUPS", "Sensitivity", "best_set", "sensitivities"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "encode": ("decoder.encode.*",),
    **{f"decode {index}": (f"decoder.decode.{index}.*",) for index in range(4)},
    **{f"noise {stage}": (f"decoder.generator.noise_res.{stage}.*",) for stage in range(2)},
    **{f"resblock {index}": (f"decoder.generator.resblocks.{index}.*",) for index in range(6)},
    **{f"upsampling {stage}": (f"decoder.generator.ups.{stage}",) for stage in range(2)},
    "spectrum": ("decoder.generator.conv_post",),
}
"""Layer groups by name: patterns over module names. What lies before the source is none of them."""
ROUNDS = 5  # interleaved readings of each group's time

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """One group quantised alone."""

    group: str
    patterns: tuple[str, ...]
    convolutions: int
    snr_db: float
    """Of the waveform after the source, the noise of all probes taken together."""
    saved: float
    """Share of the time after the source that it saves, the median of interleaved pairs; negative when it costs."""

    @property
    def noise(self) -> float:
        """Power of the noise relative to the signal's."""
        return math.pow(10.0, -self.snr_db / 10.0)


def sensitivities(
    model: onnx.ModelProto,
    *,
    arch: Architecture = FULL,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    probes: Sequence[Probe] | None = None,
    calibration: Sequence[Probe] | None = None,
    rounds: int = ROUNDS,
    notice: Notice | None = None,
) -> list[Sensitivity]:
    """Quantise one group at a time; the least damage for the time saved first. At full size some minutes."""
    say = notice or (lambda _: None)
    chosen = {name: selected(conv_names(model), patterns) for name, patterns in groups.items()}
    chosen = {name: convs for name, convs in chosen.items() if convs}
    everything = [conv for convs in chosen.values() for conv in convs]
    reach = calibrate(model, everything, calibration_probes() if calibration is None else calibration)
    probes = list(check_probes() if probes is None else probes)
    front = Runner(between(model, arch, ("tokens", "style", "speed"), BOUNDARY))
    feeds = [{**probe.feeds(), **front.run(probe.feeds())} for probe in probes]
    reference = Runner(_back(prepare(model, ()), arch))
    found = []
    for name, convs in chosen.items():
        say(f"{name}: {len(convs)} convolutions")
        candidate = Runner(_back(quantize_static(prepare(model, convs), convs, reach), arch))
        found.append(
            Sensitivity(
                name,
                tuple(groups[name]),
                len(convs),
                _snr(reference, candidate, feeds),
                _saved(reference, candidate, feeds[-1], rounds),
            )
        )
    return sorted(found, key=lambda each: each.noise / max(each.saved, 1e-6))


def best_set(found: Sequence[Sensitivity], least_snr_db: float) -> list[Sensitivity]:
    """Groups that save time, taken by time saved per noise as long as the sum of their noise stays under the limit."""
    budget = 10.0 ** (-least_snr_db / 10.0)
    taken: list[Sensitivity] = []
    for each in sorted((e for e in found if e.saved > 0), key=lambda e: e.noise / e.saved):
        if each.noise + sum(other.noise for other in taken) <= budget:
            taken.append(each)
    return taken


def _back(model: onnx.ModelProto, arch: Architecture) -> onnx.ModelProto:
    return between(model, arch, (*BOUNDARY, "style"), ("audio",))


def _snr(reference: Runner, candidate: Runner, feeds: Sequence[Arrays]) -> float:
    pairs = [(reference.run(each)["audio"], candidate.run(each)["audio"]) for each in feeds]
    return snr_db(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]))


def _saved(reference: Runner, candidate: Runner, feeds: Arrays, rounds: int) -> float:
    """1 less the median ratio of interleaved runs; both were warmed up on these very shapes."""
    ratios = []
    for turn in range(rounds):
        times = {}
        for runner in (reference, candidate) if turn % 2 else (candidate, reference):
            start = time.perf_counter()
            runner.run(feeds)
            times[id(runner)] = time.perf_counter() - start
        ratios.append(times[id(candidate)] / times[id(reference)])
    return 1.0 - float(np.median(ratios)) if ratios else math.nan
