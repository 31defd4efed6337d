"""Models that name our operators wrongly get an error from onnxruntime, whatever they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_models import SNAKE, Shape, open_operator, operator_model, random_tensors

SHAPE = Shape(40, 16, 16, 3)


def tensors(**changed: Any) -> dict[str, Any]:
    made = random_tensors(SHAPE, np.random.default_rng(1)) | changed
    return {name: array for name, array in made.items() if array is not None}


def run(case: dict[str, Any], kind: str = "Convolution", **attributes: Any) -> None:
    session = open_operator(operator_model(kind, case, **attributes))
    session.run(None, {name: array for name, array in case.items() if name != "weight"})


def floats(*sizes: int) -> Any:
    return np.ones(sizes, np.float32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": floats(1, 40, 17)}, "channels"),
        ({"x": floats(2, 40, 16)}, "rows, channels"),
        ({"x": floats(40, 16)}, "rows, channels"),
        ({"bias": floats(15)}, "bias"),
        ({"statistics": floats(2, 15)}, "statistics"),
        ({"statistics": floats(32)}, "statistics"),
        ({"style": floats(1, 31)}, "style"),
        ({"norm_weight": floats(1)}, "norm"),
        ({"norm_bias": None}, "norm"),
        ({"alpha": floats(1, 15, 1)}, "alpha"),
        ({"alpha": None}, "alpha"),
        ({"residual": floats(1, 39, 16)}, "residual"),
        ({"residual_2": floats(1, 40, 1)}, "residual"),
        ({"weight": floats(16, 16)}, "three axes"),
        ({"weight": floats(16, 0, 3)}, "empty"),
        ({"weight": floats(1, 1, 65)}, "too long"),
    ],
)
def test_shapes_that_do_not_fit(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run(tensors(**changed), activation=SNAKE, **SHAPE.attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"dilation": 0},
        {"dilation": -1},
        {"dilation": 2**40},
        {"left": -1},
        {"right": 2**62},
        {"activation": 3},
        {"activation": -1},
        {"epsilon": -1.0},
        {"epsilon": float("nan")},
    ],
)
def test_attributes_out_of_range(attributes: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="kokoro_lab kernels"):
        run(tensors(), **(SHAPE.attributes | attributes))


@pytest.mark.parametrize(
    ("weight", "attributes", "message"),
    [
        (floats(16, 16, 4), {"stride": 3}, "twice the stride"),
        (floats(16, 16, 4), {"stride": 0}, "stride"),
        (floats(16, 15, 4), {"stride": 2}, "multiple of 16"),
        (floats(16, 16, 4), {"stride": 2, "trim": 3}, "trim"),
        (floats(16, 16, 4), {"stride": 2, "reflect": 2}, "reflect"),
    ],
)
def test_upsampling_that_does_not_fit(weight: Any, attributes: dict[str, int], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run({"x": floats(1, 5, 16), "weight": weight}, "Upsample", **attributes)


def test_nothing_can_be_reflected_in_one_row() -> None:
    with pytest.raises(Exception, match="reflect"):
        run({"x": floats(1, 1, 16), "weight": floats(16, 16, 2)}, "Upsample", stride=1, reflect=1)


def test_an_input_shorter_than_the_kernel() -> None:
    with pytest.raises(Exception, match="shorter"):
        run({"x": floats(1, 3, 16), "weight": floats(16, 16, 7)}, "Convolution")


def test_weights_must_be_constant() -> None:
    case = {"x": floats(1, 5, 16), "weight": floats(16, 16, 3)}
    with pytest.raises(Exception, match="initializer"):
        open_operator(operator_model("Convolution", case, constants=()))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.fixed_dictionaries(
        {
            "x": st.lists(st.integers(0, 33), min_size=1, max_size=4),
            "weight": st.lists(st.integers(0, 33), min_size=2, max_size=4),
            "bias": st.lists(st.integers(0, 33), min_size=0, max_size=2),
            "residual": st.lists(st.integers(0, 33), min_size=3, max_size=3),
        }
    ),
    kind=st.sampled_from(["Convolution", "Upsample"]),
    attributes=st.dictionaries(
        st.sampled_from(["dilation", "left", "right", "activation", "stride", "trim", "reflect"]),
        st.one_of(st.integers(-2, 12), st.sampled_from([2**31, 2**63 - 1, -(2**63)])),
    ),
    kept=st.sets(st.sampled_from(["bias", "residual"])),
)
def test_no_model_crashes_the_process(
    sizes: dict[str, list[int]], kind: str, attributes: dict[str, int], kept: set[str]
) -> None:
    case = {name: floats(*shape) for name, shape in sizes.items() if name in kept | {"x", "weight"}}
    try:
        run(case, kind, **attributes)
    except Exception as error:
        assert type(error).__module__.startswith("onnxruntime"), error
