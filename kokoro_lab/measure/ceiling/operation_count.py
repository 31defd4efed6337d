"""How many multiplications a model file really executes, by the precision of its products.

onnxruntime's profile names every node that ran, after all graph optimisation, with the shapes of its inputs and
outputs. Counted are Conv, ConvTranspose, MatMul, Gemm and LSTM in all forms, and the compiled operators at the reduced
number of products of their fast algorithms. Everything else (element-wise operators, transforms, copies) counts as
zero: the count is a lower bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from kokoro_lab.files.writing import scratch_folder
from kokoro_lab.kernels.library import register
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.runtime.session import Session
from kokoro_lab.runtime.settings import SessionSettings, session_options
from kokoro_lab.runtime.trial.first_opening import ensure_harmless

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["OperationCount", "count", "node_multiplications", "products_an_output"]

PROBES = ((8, 1.0), (24, 1.0), (24, 2.0), (40, 1.0), (16, 0.5))
"""Tokens and speed of the calls from which the four coefficients are solved; varying the speed separates tokens from
frames."""

STYLE_SPREAD = 0.12  # standard deviation of a voice row's entries, about that of the published voices
SYMBOLS = 170

FORMS = {2: 7 / 6, 3: 8 / 6, 7: 12 / 6, 11: 44 / 18}
"""Taps -> fewest products per output and input channel of the compiled operators' forms (kernels/source/forms.h)."""


@dataclass(frozen=True)
class OperationCount:
    """Multiplications of one call: constant + token * tokens + token_pair * tokens^2 + frame * frames of 25 ms."""

    constant: float
    token: float
    token_pair: float
    frame: float

    def of(self, tokens: int, frames: int) -> float:
        """Multiplications of speech from one call or several, given its total tokens and frames.

        The quadratic term is left out, because it depends on where the text was cut: a lower bound.
        """
        return self.constant + self.token * tokens + self.frame * frames

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return asdict(self)


def products_an_output(taps: int) -> float:
    """Products of the compiled operators per output and input channel of a convolution."""
    return FORMS.get(taps, float(taps))


def count(model: ModelFile) -> dict[str, OperationCount]:
    """Precision of the products ("fp32", "int8", "int16") -> operation count."""
    ensure_harmless(model)
    runs = _profiled(model)
    kinds = sorted({kind for _, _, counts in runs for kind in counts})
    terms = np.array([(1.0, tokens, tokens**2, frames) for tokens, frames, _ in runs])
    counts_by_kind = {}
    for kind in kinds:
        solved = np.linalg.lstsq(terms, np.array([counts.get(kind, 0.0) for _, _, counts in runs]), rcond=None)[0]
        constant, token, token_pair, frame = (max(0.0, float(value)) for value in solved)
        counts_by_kind[kind] = OperationCount(constant, token, token_pair, frame)
    return counts_by_kind


def node_multiplications(event: Mapping[str, Any]) -> tuple[str, float]:
    """Precision and number of the products of one node of a profile; zero for operators without products."""
    operator = str(event["op_name"])
    inputs = [_tensor(item) for item in event["input_type_shape"]]
    outputs = [_tensor(item) for item in event["output_type_shape"]]
    shapes = [shape for _, shape in inputs]
    output_size = math.prod(outputs[0][1]) if outputs else 0
    kind = "int8" if inputs and inputs[0][0] in ("uint8", "int8") else "fp32"
    if operator in ("Conv", "FusedConv", "ConvInteger", "NhwcFusedConv"):
        return kind, float(output_size * math.prod(shapes[1][1:]))
    if operator == "QLinearConv":
        return "int8", float(output_size * math.prod(shapes[3][1:]))
    if operator == "ConvTranspose":
        return kind, float(math.prod(shapes[0]) * math.prod(shapes[1][1:]))
    if operator in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"):
        return kind, float(output_size * shapes[0][-1])
    if operator in ("DynamicQuantizeMatMul", "MatMulNBits"):
        return "int8", float(output_size * shapes[0][-1])
    if operator == "LSTM":
        steps, batch, _ = shapes[0]
        return "fp32", float(steps * batch * (math.prod(shapes[1]) + math.prod(shapes[2])))
    if operator == "Convolution":
        return "kernels", float(output_size * shapes[1][1] * products_an_output(shapes[1][2]))
    if operator == "Upsample":
        return "kernels", float(output_size * shapes[1][0] * products_an_output(2))
    return "fp32", 0.0


def _profiled(model: ModelFile) -> list[tuple[int, int, dict[str, float]]]:
    """(tokens including both end tokens, frames, products by precision) of each probe."""
    settings = SessionSettings(prepacking=False)  # a packed weight has no shape in the profile
    shorts = _shorts(model)
    runs = []
    with scratch_folder() as folder:
        for tokens, speed in PROBES:
            options = session_options(settings)
            options.enable_profiling = True
            options.profile_file_prefix = str(folder / "profile")
            if model.needs_kernels:
                register(options)
            opened = onnxruntime.InferenceSession(str(model.path), options, ["CPUExecutionProvider"], [{}])
            random = np.random.default_rng(tokens)
            style = (STYLE_SPREAD * random.standard_normal((1, 256))).astype(np.float32)
            inference = Session(opened, model, settings).run(list(random.integers(1, SYMBOLS, tokens)), style, speed)
            events = json.loads(Path(opened.end_profiling()).read_text(encoding="utf-8"))
            frames = len(inference.audio) // 600
            runs.append((tokens + 2, frames, _sums(events, shorts)))
    return runs


def _sums(events: Sequence[Mapping[str, Any]], shorts: Mapping[str, str]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        kind, products = node_multiplications(event["args"])
        if kind == "kernels":
            kind = shorts.get(name.removesuffix("_kernel_time"), "fp32")
        if products:
            sums[kind] = sums.get(kind, 0.0) + products
    return sums


def _shorts(model: ModelFile) -> dict[str, str]:
    """Name -> precision of the products of each compiled operator that multiplies 16-bit integers."""
    if not model.needs_kernels:
        return {}
    graph = read_onnx(model.path, weights=False).graph
    return {
        node.name: "int16"
        for node in graph.node
        if any(attribute.name == "shorts" and attribute.i for attribute in node.attribute)
    }


def _tensor(item: Mapping[str, Sequence[int]]) -> tuple[str, Sequence[int]]:
    return next(iter(item.items()), ("", ()))
