"""Execution providers: their names and options, and whether the installed onnxruntime has them.

onnxruntime's CPU provider silently accepts any option. Options are therefore checked here, before a session is created,
and a misspelt option is an error. Sources of the names:

- CoreML, CUDA: the option parsers in onnxruntime's source, and the Rust binding that follows onnxruntime 1.31 (`ort`,
  src/ep), which spells each of them out. XNNPACK: onnxruntime's page of that provider.
- OpenVINO: the sixteen keys its factory accepts (`ProviderInfo::valid_provider_keys`, provider 5.9), without those that
  mean nothing here: `context` (a native pointer), `device_id` (deprecated), `device_luid`, `enable_causallm`. Its flags
  are spelt True and False; it refuses 1 and 0.
- DirectML: the enumerations in `dml_provider_factory.h`; the spelling of the keys from programs that use them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kokoro_lab.errors import ProviderError, SettingError
from kokoro_lab.field_checks import shown

__all__ = [
    "PROVIDERS",
    "Availability",
    "Option",
    "ProviderKind",
    "ProviderRequest",
    "availability",
    "available",
    "parse",
    "require",
]

CPU = "CPUExecutionProvider"

Kind = Literal["choice", "flag", "count", "text"]


@dataclass(frozen=True)
class Option:
    """A provider option: its exact name, its values, and its effect."""

    name: str
    kind: Kind
    meaning: str
    choices: tuple[str, ...] = ()
    """The accepted spellings of a choice."""
    on: str = "1"
    """The provider's spelling of an enabled flag."""
    off: str = "0"
    """The provider's spelling of a disabled flag."""

    def read(self, value: object) -> str:
        """The value in the provider's own spelling; SettingError for an invalid value."""
        text = str(value).strip()
        if self.kind == "choice":
            for choice in self.choices:
                if choice.lower() == text.lower():
                    return choice
            raise SettingError(f"{self.name} is {shown(text)}; choose one of {', '.join(self.choices)}")
        if self.kind == "flag":
            if text.lower() in {"1", "true", "yes", "on"}:
                return self.on
            if text.lower() in {"0", "false", "no", "off"}:
                return self.off
            raise SettingError(f"{self.name} is {shown(text)}; use true or false")
        if self.kind == "count":
            if not text.isdecimal():
                raise SettingError(f"{self.name} is {shown(text)}; use a whole number")
            return str(int(text))
        if not text:
            raise SettingError(f"{self.name} is empty; give it a value or leave it out")
        return text


@dataclass(frozen=True)
class ProviderKind:
    """An execution provider and its options."""

    name: str
    """Short name, as users write it."""
    onnxruntime_name: str
    runs_on: str
    """Where it runs; the package that contains it."""
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> Option:
        """The option of that name, in any case; SettingError, listing the known options, for an unknown name."""
        for option in self.options:
            if option.name.lower() == name.lower():
                return option
        known = ", ".join(option.name for option in self.options) or "none"
        raise SettingError(f"provider {self.name!r} has no option {shown(name)}; available options: {known}")


def _choice(name: str, choices: str, meaning: str) -> Option:
    return Option(name, "choice", meaning, choices=tuple(choices.split()))


def _word_flag(name: str, meaning: str, on: str = "1", off: str = "0") -> Option:
    return Option(name, "flag", meaning, on=on, off=off)


_KINDS = (
    ProviderKind("cpu", CPU, "every machine; onnxruntime"),
    ProviderKind(
        "coreml",
        "CoreMLExecutionProvider",
        "macOS; onnxruntime for macOS",
        (
            _choice("ModelFormat", "MLProgram NeuralNetwork", "which Core ML format subgraphs are converted to"),
            _choice("MLComputeUnits", "ALL CPUOnly CPUAndGPU CPUAndNeuralEngine", "which processors may run them"),
            _word_flag("RequireStaticInputShapes", "take only nodes of static shape"),
            _word_flag("EnableOnSubgraphs", "also take nodes inside Loop, If and Scan"),
            _choice("SpecializationStrategy", "Default FastPrediction", "compile for load time or for speed"),
            _word_flag("ProfileComputePlan", "log which processor each operation is planned for"),
            _word_flag("AllowLowPrecisionAccumulationOnGPU", "accumulate in fp16 on the GPU"),
            Option("ModelCacheDirectory", "text", "folder that keeps compiled models"),
        ),
    ),
    ProviderKind(
        "cuda",
        "CUDAExecutionProvider",
        "NVIDIA GPUs; onnxruntime-gpu",
        (
            Option("device_id", "count", "which GPU"),
            Option("gpu_mem_limit", "count", "bytes the arena may take"),
            _choice("arena_extend_strategy", "kNextPowerOfTwo kSameAsRequested", "how the arena grows"),
            _choice("cudnn_conv_algo_search", "EXHAUSTIVE HEURISTIC DEFAULT", "HEURISTIC suits varying shapes"),
            _word_flag("cudnn_conv_use_max_workspace", "let convolutions use unlimited scratch memory"),
            _word_flag("cudnn_conv1d_pad_to_nc1d", "pad 1-d convolutions to [N, C, 1, D] instead of [N, C, D, 1]"),
            _word_flag("prefer_nhwc", "channels last, for tensor cores"),
            _word_flag("do_copy_in_default_stream", "copy and compute in one stream"),
            _word_flag("use_tf32", "TF32 in matrix products"),
            _word_flag("enable_cuda_graph", "capture and replay; needs static shapes"),
        ),
    ),
    ProviderKind(
        "openvino",
        "OpenVINOExecutionProvider",
        "Intel CPUs, GPUs and NPUs (its CPU plugin runs on AMD too); onnxruntime-openvino",
        (
            Option("device_type", "text", "CPU, GPU, NPU, or AUTO:..., HETERO:..."),
            _choice("precision", "FP32 FP16 ACCURACY", "CPU: FP32, ACCURACY (the model's own); NPU: FP16, ACCURACY"),
            Option("num_of_threads", "count", "threads"),
            Option("num_streams", "count", "parallel streams; 1 under AUTO, MULTI and HETERO"),
            _choice("model_priority", "LOW MEDIUM HIGH DEFAULT", "among models that share a device"),
            Option("cache_dir", "text", "folder that keeps compiled models"),
            Option("load_config", "text", "JSON text of OpenVINO properties by device"),
            Option("reshape_input", "text", "fixed or bounded shapes, as in tokens[1,1..512]"),
            Option("layout", "text", "order of axes by tensor, as in tokens[NC]"),
            _word_flag("disable_dynamic_shapes", "compile again for each shape", "True", "False"),
            _word_flag("enable_opencl_throttling", "spare the processor while the GPU is busy", "True", "False"),
            _word_flag("enable_qdq_optimizer", "drop pairs of quantise and dequantise for the NPU", "True", "False"),
        ),
    ),
    ProviderKind(
        "directml",
        "DmlExecutionProvider",
        "Windows with DirectX 12; onnxruntime-directml",
        (
            Option("device_id", "count", "which adapter"),
            _choice("performance_preference", "default high_performance minimum_power", "which adapter is preferred"),
            _choice("device_filter", "gpu npu any", "which kind of adapter"),
            _word_flag("disable_metacommands", "no vendor-made kernels", "true", "false"),
        ),
    ),
    ProviderKind(
        "xnnpack",
        "XnnpackExecutionProvider",
        "phones, browsers and custom builds of onnxruntime",
        (Option("intra_op_num_threads", "count", "threads of its own pool; turn off spinning of the session's"),),
    ),
)

PROVIDERS: Mapping[str, ProviderKind] = {kind.name: kind for kind in _KINDS}
"""Every provider that this package supports, by its short name."""


@dataclass(frozen=True)
class ProviderRequest:
    """A provider with its requested options, whose names and values have been checked."""

    name: str
    onnxruntime_name: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Availability:
    """Whether a provider can be used here."""

    name: str
    onnxruntime_name: str
    installed: bool
    """Whether the installed onnxruntime was built with it."""
    known: bool
    """Whether onnxruntime knows the name at all: if not, this package's list no longer matches onnxruntime."""
    runs_on: str


@functools.cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    import onnxruntime

    return frozenset(onnxruntime.get_available_providers()), frozenset(onnxruntime.get_all_providers())


def availability() -> list[Availability]:
    """Each provider of `PROVIDERS`, with its state in the installed onnxruntime."""
    installed, known = _names()
    return [
        Availability(kind.name, kind.onnxruntime_name, kind.onnxruntime_name in installed,
                     kind.onnxruntime_name in known, kind.runs_on)
        for kind in _KINDS
    ]  # fmt: skip


def available() -> list[str]:
    """Short names of the providers that can be used here; "cpu" is always among them."""
    return [entry.name for entry in availability() if entry.installed]


def parse(name: str, options: Mapping[str, object] | Sequence[tuple[str, object]] = ()) -> ProviderRequest:
    """Turn "coreml" (or "CoreMLExecutionProvider") and options into a checked request.

    Raises SettingError for an unknown provider, option or value. Whether the provider is installed is not checked here.
    """
    wanted = name.strip().lower()
    for kind in _KINDS:
        if wanted in {kind.name, kind.onnxruntime_name.lower()}:
            break
    else:
        raise SettingError(f"unknown provider {shown(name)}; choose one of {', '.join(PROVIDERS)}")
    checked: dict[str, str] = {}
    for key, value in dict(options).items():
        option = kind.option(key)
        checked[option.name] = option.read(value)
    return ProviderRequest(kind.name, kind.onnxruntime_name, dict(sorted(checked.items())))


def require(request: ProviderRequest) -> None:
    """Raise ProviderError when the installed onnxruntime was built without the provider."""
    installed, _ = _names()
    if request.onnxruntime_name not in installed:
        raise ProviderError(
            f"provider {request.name!r} is unavailable: the installed onnxruntime has no {request.onnxruntime_name} "
            f"({PROVIDERS[request.name].runs_on}); use one of {', '.join(available())}"
        )
