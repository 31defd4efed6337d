"""The ranges that static int8 rounds by, from the sentences in data/calibration.json."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx

from kokoro_lab.models.quantize_static import Range, observed, prepare, ranges
from kokoro_lab.variants.probes import Probe, Runner, calibration_probes

__all__ = ["calibrate"]


def calibrate(
    model: onnx.ModelProto, convs: Collection[str], probes: Sequence[Probe] | None = None
) -> dict[str, Range]:
    """`MODULE/in` and `MODULE/out` -> what each channel reaches over the probes, in the prepared fp32 graph.

    At full size about 20 s. InferenceError when the graph fails on a probe.
    """
    runner = Runner(observed(prepare(model, convs), convs))
    reach: dict[str, Range] = {}
    for probe in calibration_probes() if probes is None else probes:
        for name, found in ranges(runner.run(probe.feeds())).items():
            reach[name] = reach[name].joined(found) if name in reach else found
    return reach
