"""How much faster a rewritten graph is than the plain one on this machine: `python -m kokoro_lab.kernels.bench`.

Runs are interleaved (plain, fast, plain, fast, ...) with the same feeds, and a ratio is taken of neighbours, so that
what else the machine does falls on both. `--clock cpu` with one thread measures processor time instead of wall time:
the figure to read on a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokoro_lab.kernels.library import KERNELS_VARIABLE, choose, register

__all__ = ["Reading", "compare", "decibels", "feeds"]

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
TOKENS = (16, 50, 150, 400)
REPEATS = 7
SYMBOLS = 178
STYLE_SPREAD = 0.12  # of a voice row's entries: about the published voices'


@dataclass(frozen=True)
class Reading:
    """The plain graph against the fast one at one length."""

    tokens: int
    audio_s: float
    plain_ms: float
    fast_ms: float
    ratio: float
    """Median of the neighbours' ratios."""
    low: float
    high: float
    snr_db: float
    same_durations: bool


def feeds(tokens: int) -> dict[str, NDArray[Any]]:
    """Inputs of a call with that many random tokens and a random voice."""
    rng = np.random.default_rng(tokens)
    return {
        "tokens": np.concatenate([[0], rng.integers(1, SYMBOLS, tokens), [0]]).astype(np.int64)[None],
        "style": (STYLE_SPREAD * rng.standard_normal((1, 256))).astype(np.float32),
        "speed": np.ones(1, np.float32),
    }


def decibels(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Signal over difference."""
    signal = float(np.square(expected, dtype=np.float64).sum())
    noise = float(np.square(np.subtract(got, expected, dtype=np.float64)).sum())
    return 10 * float(np.log10(signal / max(noise, 1e-300)))


def compare(plain: Any, fast: Any, tokens: int, *, repeats: int = REPEATS, clock: str = "wall") -> Reading:
    """Time two onnxruntime sessions against each other; both are warmed up with the shape first."""
    inputs = feeds(tokens)
    expected, frames = plain.run(None, inputs)
    audio, fast_frames = fast.run(None, inputs)
    times = np.array([[_timed(session, inputs, clock) for session in (plain, fast)] for _ in range(repeats)])
    ratios = times[:, 0] / times[:, 1]
    plain_ms, fast_ms = 1e3 * np.median(times, axis=0)
    return Reading(
        tokens,
        len(expected) / 24_000,
        float(plain_ms),
        float(fast_ms),
        float(np.median(ratios)),
        float(ratios.min()),
        float(ratios.max()),
        decibels(expected, audio),
        bool(np.array_equal(frames, fast_frames)),
    )


def _timed(session: Any, inputs: dict[str, NDArray[Any]], clock: str) -> float:
    start = CLOCKS[clock]()
    session.run(None, inputs)
    return CLOCKS[clock]() - start


def _open(path: Path, threads: int, *, kernels: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if kernels:
        register(options)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; a table on standard error, JSON on standard output."""
    import onnx

    from kokoro_lab.models.catalog import resolve
    from kokoro_lab.models.kernel_rewrite import PRECISIONS, rewrite_for_kernels

    parser = argparse.ArgumentParser(description="the compiled kernels against the plain graph")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--precision", choices=PRECISIONS, nargs="*", default=list(PRECISIONS))
    parser.add_argument("--instruction-set", default="", help="force one, as KOKORO_KERNELS does")
    parser.add_argument("--tokens", type=int, nargs="*", default=list(TOKENS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    asked = parser.parse_args(arguments)
    if asked.instruction_set:
        os.environ[KERNELS_VARIABLE] = asked.instruction_set
    choice = choose()
    if choice.path is None:
        print(f"no kernels: {choice.reason}", file=sys.stderr)
        return 1
    path = resolve(asked.model).path
    plain = _open(path, asked.threads, kernels=False)
    rows = []
    for precision in asked.precision:
        with tempfile.TemporaryDirectory(prefix="kokoro-lab-kernels-") as folder:
            rewritten = Path(folder) / "fast.onnx"
            onnx.save(rewrite_for_kernels(onnx.load(path), precision), rewritten)
            fast = _open(rewritten, asked.threads, kernels=True)
        for tokens in asked.tokens:
            reading = compare(plain, fast, tokens, repeats=asked.repeats, clock=asked.clock)
            rows.append({"precision": precision, "instruction_set": choice.instruction_set, **asdict(reading)})
            print(
                f"{precision:6} {choice.instruction_set:5} {tokens:4d} tokens: {reading.plain_ms:7.0f} -> "
                f"{reading.fast_ms:6.0f} ms, {reading.ratio:.2f} times as fast ({reading.low:.2f} to "
                f"{reading.high:.2f}), {reading.snr_db:.1f} dB",
                file=sys.stderr,
            )
    print(json.dumps({"rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
