"""Providers: names, options and what is installed."""

from __future__ import annotations

import pickle

import onnxruntime
import pytest

from kokoro_lab.errors import ProviderError, SettingError
from kokoro_lab.runtime import providers


def test_a_request_spells_names_and_values_as_the_provider_does() -> None:
    request = providers.parse(
        "CoreML", {"mlcomputeunits": "cpuandgpu", "RequireStaticInputShapes": "yes", "ModelCacheDirectory": "/tmp/x"}
    )
    assert request.onnxruntime_name == "CoreMLExecutionProvider"
    assert request.options == {
        "MLComputeUnits": "CPUAndGPU",
        "ModelCacheDirectory": "/tmp/x",
        "RequireStaticInputShapes": "1",
    }
    assert providers.parse("OpenVINOExecutionProvider", [("disable_dynamic_shapes", "no")]).options == {
        "disable_dynamic_shapes": "False"
    }


def test_flags_are_spelt_as_their_provider_wants_them() -> None:
    """OpenVINO refuses 1 and 0; CUDA reads them."""
    openvino = providers.parse("openvino", {"enable_qdq_optimizer": "1", "model_priority": "high"})
    assert openvino.options == {"enable_qdq_optimizer": "True", "model_priority": "HIGH"}
    cuda = providers.parse("cuda", {"cudnn_conv1d_pad_to_nc1d": "true", "prefer_nhwc": "off"})
    assert cuda.options == {"cudnn_conv1d_pad_to_nc1d": "1", "prefer_nhwc": "0"}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("ane", {}, "unknown provider 'ane'"),
        ("cpu", {"use_arena": "1"}, "has no option 'use_arena'; available options: none"),
        ("coreml", {"MLComputeUnits": "ANE"}, "choose one of ALL, CPUOnly"),
        ("openvino", {"device_id": "CPU"}, "no option 'device_id'"),
        ("cuda", {"device_id": "-1"}, "use a whole number"),
        ("coreml", {"EnableOnSubgraphs": "maybe"}, "use true or false"),
        ("coreml", {"ModelCacheDirectory": " "}, "is empty"),
    ],
)
def test_what_a_provider_does_not_know_is_refused_before_a_session_is_made(
    name: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingError, match=says):
        providers.parse(name, options)


def test_the_installed_onnxruntime_knows_every_provider_described_here() -> None:
    for entry in providers.availability():
        assert entry.known, f"onnxruntime {onnxruntime.__version__} does not know {entry.onnxruntime_name}"
        assert entry.installed == (entry.onnxruntime_name in onnxruntime.get_available_providers())
    assert "cpu" in providers.available()


def test_a_provider_that_is_not_installed_is_a_named_error() -> None:
    missing = next(entry.name for entry in providers.availability() if not entry.installed)
    with pytest.raises(ProviderError, match=f"provider '{missing}' is unavailable") as caught:
        providers.require(providers.parse(missing))
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    providers.require(providers.parse("cpu"))
