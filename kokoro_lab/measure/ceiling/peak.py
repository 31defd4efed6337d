"""The peak rate of this machine's processor: products a second by precision and number of threads, measured.

The peak of a precision is the fastest run of several operators that do little but multiply: other processes must not
lower the bound. A run of a sweep measures it once, in a process of its own:
`python -m kokoro_lab.measure.ceiling.peak THREADS MODEL ...` prints the peaks as JSON, with the operation counts of the
models.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.kernels.library import register
from kokoro_lab.measure.ceiling.operation_count import count
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.rewrite.kernel_rewrite import DOMAIN

__all__ = ["peaks"]

SECONDS = 0.5
"""Seconds that each operator is run, twice; its fastest run counts."""
ROUNDS = 2
SIDE = 1024  # of the matrices
CHANNELS, ROWS = 128, 8192  # of the fp32 convolution, the shape that takes most of the vocoder's time
WIDE, FEW_ROWS = 512, 4096  # of the compiled operator's convolution: its transforms cost little beside its products
TAPS = 11


def peaks(threads: int) -> dict[str, float]:
    """Precision -> multiplications a second with this number of threads; int16 only where the compiled operators
    run."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for precision, rate in _once(threads).items():
            best[precision] = max(best.get(precision, 0.0), rate)
    return best


def _once(threads: int) -> dict[str, float]:
    rates = {
        "fp32": max(_rate(*_matrices(np.float32), threads), _rate(*_convolution(), threads)),
        "int8": _rate(*_matrices(np.uint8), threads),
    }
    for precision, shorts in (("fp32", 0), ("int16", 1)):
        try:
            rate = _rate(*_compiled(shorts), threads, compiled=True)
        except KokoroLabError:
            break  # no compiled operators here
        rates[precision] = max(rates.get(precision, 0.0), rate)
    return rates


def _rate(model: bytes, feeds: dict[str, Any], products: float, threads: int, *, compiled: bool = False) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if compiled:
        register(options)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feeds)
        best = min(best, time.perf_counter() - start)
    return products / best


def _matrices(kind: type[np.generic]) -> tuple[bytes, dict[str, Any], float]:
    random = np.random.default_rng(0)
    left, right = random.integers(0, 100, (2, SIDE, SIDE)).astype(kind)
    if kind is np.float32:
        return _model("MatMul", {"x": left}, {"weight": right}), {"x": left}, float(SIDE**3)
    signed = right.astype(np.int8)
    return _model("MatMulInteger", {"x": left}, {"weight": signed}), {"x": left}, float(SIDE**3)


def _convolution() -> tuple[bytes, dict[str, Any], float]:
    random = np.random.default_rng(0)
    x = random.standard_normal((1, CHANNELS, ROWS)).astype(np.float32)
    weight = random.standard_normal((CHANNELS, CHANNELS, TAPS)).astype(np.float32)
    model = _model("Conv", {"x": x}, {"weight": weight}, pads=[TAPS // 2, TAPS // 2])
    return model, {"x": x}, float(ROWS * CHANNELS**2 * TAPS)


def _compiled(shorts: int) -> tuple[bytes, dict[str, Any], float]:
    """A wide convolution with three taps, which takes two products per output in its compiled form."""
    random = np.random.default_rng(0)
    x = random.standard_normal((1, FEW_ROWS, WIDE)).astype(np.float32)
    weight = random.standard_normal((WIDE, WIDE, 3)).astype(np.float32)
    model = _model(
        "Convolution", {"x": x}, {"weight": weight}, domain=DOMAIN, dilation=1, left=1, right=1, shorts=shorts
    )
    return model, {"x": x}, float(FEW_ROWS * WIDE**2 * 2)


def _model(
    operator: str, inputs: dict[str, Any], weights: dict[str, Any], *, domain: str = "", **attributes: Any
) -> bytes:
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
    output_kind = helper.np_dtype_to_tensor_dtype(np.dtype(np.int32 if operator == "MatMulInteger" else np.float32))
    graph = helper.make_graph(
        [helper.make_node(operator, [*inputs, *weights], ["y"], domain=domain, **attributes)],
        "peak",
        [helper.make_tensor_value_info(name, kinds[name], list(array.shape)) for name, array in inputs.items()],
        [helper.make_tensor_value_info("y", output_kind, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    serialised: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialised


def main(arguments: list[str]) -> int:
    """Print the peaks by threads, and the operation counts of each named model, as one JSON document."""
    document: dict[str, Any] = {"peaks": {}, "work": {}}
    best: dict[str, float] = {}
    for threads in sorted(map(int, arguments[0].split(","))):
        for precision, rate in peaks(threads).items():  # more threads are never slower: a lower peak was disturbed
            best[precision] = max(best.get(precision, 0.0), rate)
        document["peaks"][str(threads)] = dict(best)
    for name in arguments[1:]:
        try:
            model = resolve(name)
            work = {kind: operations.as_dict() for kind, operations in count(model).items()}
        except Exception as error:  # a model that accepts a single length, or is missing, has no bound; the others do
            print(f"cannot count the operations of model {name}: {error}", file=sys.stderr)
            continue
        document["work"][model.sha256] = {"model": model.name, "work": work}
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
