"""How many multiplications a model file really executes, by the precision of its products.

onnxruntime's profile names every node that ran, after all graph optimisation, with the shapes that went in and came
out. Counted are Conv, ConvTranspose, MatMul, Gemm and LSTM in all forms, and the compiled operators at the reduced
number of products of their fast algorithms. Everything else (element by element, transforms, copies) counts as nothing:
the count is a lower bound of the work.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kokoro_lab.models.catalog import ModelFile

__all__ = ["Work", "count", "node_multiplications", "products_an_output"]

PROBES = ((8, 1.0), (24, 1.0), (24, 2.0), (40, 1.0), (16, 0.5))
"""Tokens and speed of the calls that the four coefficients are solved from; speed tells tokens from frames."""

STYLE_SPREAD = 0.12  # of a voice row's entries: about the published voices'
SYMBOLS = 170

FORMS = {2: 7 / 6, 3: 8 / 6, 7: 12 / 6, 11: 44 / 18}
"""Taps -> fewest products an output and input channel of the compiled operators' forms (kernels/source/forms.h)."""


@dataclass(frozen=True)
class Work:
    """Multiplications of one call: constant + token * tokens + token_pair * tokens^2 + frame * frames of 25 ms."""

    constant: float
    token: float
    token_pair: float
    frame: float

    def of(self, tokens: int, frames: int) -> float:
        """Multiplications of speech made in one call or several, its tokens and frames added up.

        Without the squares, whose share depends on where the text was cut: a lower bound.
        """
        return self.constant + self.token * tokens + self.frame * frames

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return asdict(self)


def products_an_output(taps: int) -> float:
    """Products that the compiled operators make for one output and input channel of a convolution."""
    return FORMS.get(taps, float(taps))


def count(model: ModelFile) -> dict[str, Work]:
    """Precision of the products ("fp32", "int8", "int16") -> how many there are."""
    runs = _profiled(model)
    kinds = sorted({kind for _, _, counts in runs for kind in counts})
    terms = np.array([(1.0, tokens, tokens**2, frames) for tokens, frames, _ in runs])
    found = {}
    for kind in kinds:
        solved = np.linalg.lstsq(terms, np.array([counts.get(kind, 0.0) for _, _, counts in runs]), rcond=None)[0]
        constant, token, token_pair, frame = (max(0.0, float(value)) for value in solved)
        found[kind] = Work(constant, token, token_pair, frame)
    return found


def node_multiplications(event: Mapping[str, Any]) -> tuple[str, float]:
    """Precision and number of the products of one node of a profile; zero for operators that have none."""
    operator = str(event["op_name"])
    inputs = [_tensor(item) for item in event["input_type_shape"]]
    outputs = [_tensor(item) for item in event["output_type_shape"]]
    shapes = [shape for _, shape in inputs]
    made = math.prod(outputs[0][1]) if outputs else 0
    kind = "int8" if inputs and inputs[0][0] in ("uint8", "int8") else "fp32"
    if operator in ("Conv", "FusedConv", "ConvInteger", "NhwcFusedConv"):
        return kind, float(made * math.prod(shapes[1][1:]))
    if operator == "QLinearConv":
        return "int8", float(made * math.prod(shapes[3][1:]))
    if operator == "ConvTranspose":
        return kind, float(math.prod(shapes[0]) * math.prod(shapes[1][1:]))
    if operator in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"):
        return kind, float(made * shapes[0][-1])
    if operator in ("DynamicQuantizeMatMul", "MatMulNBits"):
        return "int8", float(made * shapes[0][-1])
    if operator == "LSTM":
        steps, batch, _ = shapes[0]
        return "fp32", float(steps * batch * (math.prod(shapes[1]) + math.prod(shapes[2])))
    if operator == "Convolution":
        return "kernels", float(made * shapes[1][1] * products_an_output(shapes[1][2]))
    if operator == "Upsample":
        return "kernels", float(made * shapes[1][0] * products_an_output(2))
    return "fp32", 0.0


def _profiled(model: ModelFile) -> list[tuple[int, int, dict[str, float]]]:
    """(tokens with both ends, frames, products by precision) of each probe."""
    import onnxruntime

    from kokoro_lab.kernels.library import register
    from kokoro_lab.runtime.session import Session
    from kokoro_lab.runtime.settings import SessionSettings, session_options

    settings = SessionSettings(prepacking=False)  # a packed weight has no shape in the profile
    shorts = _shorts(model)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for tokens, speed in PROBES:
            options = session_options(settings)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            if model.needs_kernels:
                register(options)
            opened = onnxruntime.InferenceSession(str(model.path), options, ["CPUExecutionProvider"], [{}])
            random = np.random.default_rng(tokens)
            style = (STYLE_SPREAD * random.standard_normal((1, 256))).astype(np.float32)
            made = Session(opened, model, settings).run(list(random.integers(1, SYMBOLS, tokens)), style, speed)
            events = json.loads(Path(opened.end_profiling()).read_text(encoding="utf-8"))
            frames = len(made.audio) // 600
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
    """Name -> precision of the products of each compiled operator that makes them of 16-bit integers."""
    if not model.needs_kernels:
        return {}
    import onnx

    graph = onnx.load(str(model.path), load_external_data=False).graph
    return {
        node.name: "int16"
        for node in graph.node
        if any(attribute.name == "shorts" and attribute.i for attribute in node.attribute)
    }


def _tensor(item: Mapping[str, Sequence[int]]) -> tuple[str, Sequence[int]]:
    return next(iter(item.items()), ("", ()))
