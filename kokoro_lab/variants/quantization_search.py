"""Which layers to quantise: the noise that each group adds against the time it saves, and the best set within a limit.

A group's noise is what it adds to the waveform after the source, with everything before it fed in fp32. Noise of
different groups is uncorrelated, so its power adds up, to within 1 or 2 dB. Time does not add up: what a group saves
depends on the layouts of its neighbours. (The last convolution saves time on its own, but costs a tenth among int8
neighbours.) So it is measured with all groups in int8 against all but this group. The set is then chosen greedily by
time saved per noise, and must be verified as a whole before use.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.audio.speech_distance import snr_db
from kokoro_lab.errors import ModelError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.writing import write_text
from kokoro_lab.models.graph.architecture import FULL, Architecture
from kokoro_lab.models.rewrite.partition import BOUNDARY, between
from kokoro_lab.models.rewrite.quantize_static import conv_names, prepare, quantize_static, selected
from kokoro_lab.paths import data_folder
from kokoro_lab.variants.calibrate import calibrate
from kokoro_lab.variants.make import plain_model
from kokoro_lab.variants.probes import Arrays, Probe, Runner, calibration_probes, check_probes

__all__ = ["GROUPS", "LEAST_SNR_DB", "Sensitivity", "best_set", "sensitivities", "stored"]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "encode": ("decoder.encode.*",),
    **{f"decode {index}": (f"decoder.decode.{index}.*",) for index in range(4)},
    **{f"noise {stage}": (f"decoder.generator.noise_res.{stage}.*",) for stage in range(2)},
    **{f"resblock {index}": (f"decoder.generator.resblocks.{index}.*",) for index in range(6)},
    **{f"upsampling {stage}": (f"decoder.generator.ups.{stage}",) for stage in range(2)},
    "spectrum": ("decoder.generator.conv_post",),
}
"""Layer groups by name: patterns over module names. Layers before the source belong to no group."""
ROUNDS = 7  # interleaved measurements of each group's time
LEAST_SNR_DB = 22.0  # signal-to-noise ratio that an int8 variant must reach
RESOLUTION = 0.02  # error of a median of ROUNDS measurements on a busy machine, share of the time
STORED = "sensitivity.json"

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """The effect of a group in int8."""

    group: str
    patterns: tuple[str, ...]
    convolutions: int
    snr_db: float
    """Signal-to-noise ratio of the waveform after the source, over all probes together."""
    saved: float
    """Share of the wall time after the source that it saves, on two threads, when all other groups are int8; the median
    of interleaved pairs, negative when it costs time."""

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
    """Quantise a group at a time; sorted by noise per time saved. Takes some minutes at full size."""
    say = notice or (lambda _: None)
    chosen = {name: selected(conv_names(model), patterns) for name, patterns in groups.items()}
    chosen = {name: convs for name, convs in chosen.items() if convs}
    everything = [conv for convs in chosen.values() for conv in convs]
    reach = calibrate(model, everything, calibration_probes() if calibration is None else calibration)
    probes = list(check_probes() if probes is None else probes)
    front = Runner(between(model, arch, ("tokens", "style", "speed"), BOUNDARY))
    feeds = [{**probe.feeds(), **front.run(probe.feeds())} for probe in probes]
    reference = Runner(_back(prepare(model, ()), arch))
    longest = feeds[int(np.argmax([len(probe.tokens) for probe in probes]))]
    clean = [reference.run(each)["audio"] for each in feeds]

    def runner(convs: Sequence[str]) -> Runner:
        return Runner(_back(quantize_static(prepare(model, convs), convs, reach), arch))

    quantised = runner(everything)
    groups_measured = []
    for name, convs in chosen.items():
        say(f"{name}: {len(convs)} convolutions")
        others = [conv for conv in everything if conv not in convs]
        snr = _snr(clean, runner(convs), feeds)
        saved = _saved(runner(others) if others else reference, quantised, longest, rounds)
        groups_measured.append(Sensitivity(name, tuple(groups[name]), len(convs), snr, saved))
    return sorted(groups_measured, key=lambda each: each.noise / max(each.saved, 1e-6))


def best_set(candidates: Sequence[Sensitivity], least_snr_db: float) -> list[Sensitivity]:
    """Groups chosen by time saved per noise, as long as the sum of their noise stays within the limit.

    A group whose change in time is too small to be measured is chosen as well, after those that save more: its
    weights are a quarter as large.
    """
    budget = 10.0 ** (-least_snr_db / 10.0)
    taken: list[Sensitivity] = []
    fit = [each for each in candidates if each.saved > -RESOLUTION]
    for each in sorted(fit, key=lambda each: each.noise / max(each.saved, RESOLUTION)):
        if each.noise + sum(other.noise for other in taken) <= budget:
            taken.append(each)
    return taken


@dataclass(frozen=True)
class _Search:
    """The file of a search."""

    comment: str
    source: dict[str, Any]
    tools: dict[str, Any]
    rows: tuple[Sensitivity, ...]


def stored() -> list[Sensitivity]:
    """The search's result on the whole-size stand-in (data/sensitivity.json); the recipe `int8` is its best set.

    `python -m kokoro_lab.variants.quantization_search` repeats the search.
    """
    path = data_folder() / STORED
    return list(as_record(_Search, read_json(path, what="search"), what=f"search {path}").rows)


def _back(model: onnx.ModelProto, arch: Architecture) -> onnx.ModelProto:
    return between(model, arch, (*BOUNDARY, "style"), ("audio",))


def _snr(clean: Sequence[NDArray[Any]], candidate: Runner, feeds: Sequence[Arrays]) -> float:
    return snr_db(np.concatenate(clean), np.concatenate([candidate.run(each)["audio"] for each in feeds]))


def _saved(reference: Runner, candidate: Runner, feeds: Arrays, rounds: int) -> float:
    """1 minus the median ratio of interleaved runs."""
    for runner in (reference, candidate):
        runner.run(feeds)  # warm-up for these shapes
    ratios = []
    for turn in range(rounds):
        times = {}
        for runner in (reference, candidate) if turn % 2 else (candidate, reference):
            start = time.perf_counter()
            runner.run(feeds)
            times[id(runner)] = time.perf_counter() - start
        ratios.append(times[id(candidate)] / times[id(reference)])
    return 1.0 - float(np.median(ratios)) if ratios else math.nan


def main(arguments: Sequence[str]) -> int:
    """Search on the named plain model (default: the stand-in) and store the result in data/."""
    file, model, arch = plain_model(arguments[0] if arguments else "stand-in")
    if arch != FULL:
        raise ModelError(f"{file.name} is not whole-size, so the search means nothing; use a whole-size model")
    results = sensitivities(model, arch=arch, notice=lambda message: print(message, file=sys.stderr))
    rows = [{**asdict(each), "snr_db": round(each.snr_db, 2), "saved": round(each.saved, 4)} for each in results]
    content = {
        "comment": "Noise a group adds alone after the source, and the share of wall time it saves among the others.",
        "source": {"name": file.name, "sha256": file.sha256, "weights": file.weights},
        "tools": {tool: version(tool) for tool in ("kokoro-lab", "numpy", "onnx", "onnxruntime")},
        "rows": rows,
    }
    write_text(data_folder() / STORED, json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
