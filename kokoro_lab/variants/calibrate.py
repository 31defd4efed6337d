"""Channel ranges for static int8, observed on the sentences in data/calibration.json."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx

from kokoro_lab.models.rewrite.quantize_static import ActivationRange, observed, prepare, ranges
from kokoro_lab.variants.probes import Probe, Runner, calibration_probes

__all__ = ["calibrate"]


def calibrate(
    model: onnx.ModelProto, convs: Collection[str], probes: Sequence[Probe] | None = None
) -> dict[str, ActivationRange]:
    """`MODULE/in` and `MODULE/out` -> range of each channel over the probes, in the prepared fp32 graph.

    Takes about 20 s at full size. Raises InferenceError when the graph fails on a probe.
    """
    runner = Runner(observed(prepare(model, convs), convs))
    reach: dict[str, ActivationRange] = {}
    for probe in calibration_probes() if probes is None else probes:
        for name, observed_range in ranges(runner.run(probe.feeds())).items():
            reach[name] = reach[name].joined(observed_range) if name in reach else observed_range
    return reach
