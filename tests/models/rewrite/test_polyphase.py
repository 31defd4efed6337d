"""Transposed convolutions as plain ones: the same samples where that fits, and no rewriting where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from variant_inputs import off, run

from kokoro_lab.models.rewrite.polyphase import split_phases
from kokoro_lab.models.rewrite.surgery import Surgeon

CHANNELS, OUT = 6, 4


def upsampling(stride: int, kernel: int, groups: int = 1, **attributes: Any) -> onnx.ModelProto:
    rng = np.random.default_rng(stride)
    weight = rng.standard_normal((CHANNELS, OUT // groups, kernel)).astype(np.float32)
    values = {"kernel_shape": [kernel], "strides": [stride], "pads": [stride // 2] * 2, "group": groups, **attributes}
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "up.weight", "up.bias"], ["y"], name="up", **values)],
        "upsampling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, OUT, None])],
        [
            numpy_helper.from_array(weight, "up.weight"),
            numpy_helper.from_array(rng.standard_normal(OUT).astype(np.float32), "up.bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("stride", [2, 6, 10])
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_each_phase_of_the_output_is_a_convolution_of_two_taps(stride: int, frames: int) -> None:
    model = upsampling(stride, 2 * stride)
    surgeon = Surgeon(model)
    assert split_phases(surgeon) == ["up"]
    # The graph's output is named after the node that is replaced.
    surgeon.add("Identity", next(node for node in surgeon.nodes if node.op_type == "Slice").output[0], outputs=["z"])
    surgeon.expose("z", [1, OUT, None])
    phased = surgeon.finish()
    x = np.random.default_rng(frames).standard_normal((1, CHANNELS, frames)).astype(np.float32)
    answers = run(phased, {"x": x})
    assert answers["z"].shape == (1, OUT, frames * stride)
    assert off(answers["y"], answers["z"]) < 1e-6


@pytest.mark.parametrize(
    "other",
    [
        {"stride": 2, "kernel": 3},
        {"stride": 2, "kernel": 4, "groups": 2},
        {"stride": 2, "kernel": 4, "pads": [0, 0]},
        {"stride": 2, "kernel": 4, "output_padding": [1]},
    ],
    ids=["kernel of another length", "groups", "other padding", "a longer end"],
)
def test_what_does_not_fit_is_left_as_it_is(other: dict[str, Any]) -> None:
    surgeon = Surgeon(upsampling(**other))
    assert split_phases(surgeon) == []
    assert [node.op_type for node in surgeon.nodes] == ["ConvTranspose"]


def test_only_the_modules_asked_for_are_rewritten() -> None:
    assert split_phases(Surgeon(upsampling(2, 4)), {"another"}) == []
    assert split_phases(Surgeon(upsampling(2, 4)), {"up", "another"}) == ["up"]
