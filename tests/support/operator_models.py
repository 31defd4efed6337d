"""Models of one of our operators, and what the operator should compute, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kokoro_lab.kernels import register
from kokoro_lab.models.rewrite.kernel_rewrite import DOMAIN, VERSION

Floats = NDArray[np.float32]
INPUTS = ("x", "weight", "bias", "statistics", "style", "norm_weight", "norm_bias", "alpha", "residual", "residual_2")
LEAKY, SNAKE = 1, 2


def operator_model(
    kind: str, tensors: dict[str, Floats], *, constants: tuple[str, ...] = ("weight",), **attributes: Any
) -> bytes:
    names = [name if name in tensors else "" for name in INPUTS]
    while not names[-1]:
        names.pop()
    node = helper.make_node(kind, names, ["y", "statistics_out"], domain=DOMAIN, **attributes)
    graph = helper.make_graph(
        [node],
        "operator",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * array.ndim)
            for name, array in tensors.items()
            if name not in constants
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "statistics_out")],
        [numpy_helper.from_array(tensors[name], name) for name in constants],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def open_operator(model: bytes, *, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    register(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_operator(
    kind: str, tensors: dict[str, Floats], *, threads: int = 2, **attributes: Any
) -> tuple[Floats, Floats]:
    session = open_operator(operator_model(kind, tensors, **attributes), threads=threads)
    y, statistics = session.run(None, {name: array for name, array in tensors.items() if name != "weight"})
    return y, statistics


@dataclass(frozen=True)
class Shape:
    rows: int
    channels: int
    out: int
    taps: int
    dilation: int = 1

    @property
    def pad(self) -> int:
        return self.dilation * (self.taps - 1) // 2

    @property
    def attributes(self) -> dict[str, int]:
        return {"dilation": self.dilation, "left": self.pad, "right": self.pad}


def convolve(x: NDArray[Any], weight: Floats, shape: Shape) -> NDArray[np.float64]:
    """[rows, channels] -> [rows, out]."""
    padded = np.pad(x.astype(np.float64), ((shape.pad, shape.pad), (0, 0)))
    rows = len(padded) - shape.dilation * (shape.taps - 1)
    parts = (padded[tap * shape.dilation :][:rows] @ weight[:, :, tap].T.astype(float) for tap in range(shape.taps))
    return np.asarray(sum(parts))


def normalise(x: NDArray[Any], tensors: dict[str, Floats]) -> NDArray[np.float64]:
    x = x.astype(np.float64)
    gamma, beta = np.split(tensors["style"].astype(np.float64)[0], 2)
    normed = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * tensors["norm_weight"] + tensors["norm_bias"]
    return np.asarray((1 + gamma) * normed + beta)


def snake(x: NDArray[np.float64], alpha: Floats) -> NDArray[np.float64]:
    wide = alpha.astype(np.float64).reshape(-1)
    return np.asarray(x + np.sin(wide * x) ** 2 / wide)


def snr(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """dB."""
    noise = float(np.square(np.asarray(got, np.float64) - expected).sum())
    signal = float(np.square(expected, dtype=np.float64).sum())
    return 10 * float(np.log10(signal / max(noise, 1e-300)))


def random_tensors(shape: Shape, rng: np.random.Generator, *, styled: bool = True) -> dict[str, Floats]:
    def draw(*sizes: int) -> Floats:
        return rng.standard_normal(sizes).astype(np.float32)

    tensors = {
        "x": draw(1, shape.rows, shape.channels),
        "weight": draw(shape.out, shape.channels, shape.taps) / np.float32(np.sqrt(shape.channels * shape.taps)),
        "bias": draw(shape.out),
    }
    if styled:
        tensors |= {
            "style": 0.3 * draw(1, 2 * shape.channels),
            "norm_weight": 1 + 0.1 * draw(shape.channels),
            "norm_bias": 0.1 * draw(shape.channels),
            "alpha": np.exp(0.3 * draw(1, shape.channels, 1)),
            "residual": draw(1, shape.rows, shape.out),
            "residual_2": draw(1, shape.rows, shape.out),
        }
    return tensors
