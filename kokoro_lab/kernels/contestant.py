"""One side of a comparison, in a process of its own: it opens a model, then speaks as many tokens as it is told.

Run by `kernels.bench`, in our environment or in that of kokoro-onnx, as a file: it imports nothing of the package
before it knows that it is needed. The first argument is a `Contestant` as JSON; each line of standard input is a
number of tokens; each line of standard output is a JSON object with `wall_ms`, `cpu_ms` and `peak_mb` (10^6 bytes).
Once the model is open it answers `{"ready": ...}` with the name of the instruction set, or with an empty one.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Contestant", "decibels", "feeds", "open_graph"]

SYMBOLS = 178
STYLE_SPREAD = 0.12  # of a voice row's entries: about the published voices'
LETTERS = 0x4E00  # of the alphabet that kokoro-onnx is given: one character a token
ROWS = 510  # of a voice


@dataclass(frozen=True)
class Contestant:
    """Who speaks, and how."""

    model: str
    """The file's path."""
    threads: int
    kernels: bool = False
    """Whether the graph needs our operators."""
    peer: bool = False
    """Through kokoro-onnx instead of a bare session."""


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


def open_graph(path: str, threads: int, *, kernels: bool) -> Any:
    """An onnxruntime session with that many threads and nothing else set."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if kernels:
        from kokoro_lab.kernels.library import register

        register(options)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _graph(contestant: Contestant) -> Callable[[int], Callable[[], object]]:
    session = open_graph(contestant.model, contestant.threads, kernels=contestant.kernels)

    def prepare(tokens: int) -> Callable[[], object]:
        inputs = feeds(tokens)
        return lambda: session.run(None, inputs)

    return prepare


def _peer(contestant: Contestant) -> Callable[[int], Callable[[], object]]:
    """kokoro-onnx takes phonemes and a voice with a row for every length."""
    from kokoro_onnx import Kokoro

    session = open_graph(contestant.model, contestant.threads, kernels=False)
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, voice=np.zeros((1, 1, 256), np.float32))
        file.flush()
        vocabulary = {chr(LETTERS + token): token for token in range(1, SYMBOLS)}
        kokoro: Any = Kokoro.from_session(session, file.name, vocab_config={"vocab": vocabulary})

    def prepare(tokens: int) -> Callable[[], object]:
        inputs = feeds(tokens)
        text = "".join(chr(LETTERS + int(token)) for token in inputs["tokens"][0, 1:-1])
        voice = np.repeat(inputs["style"][None], ROWS, axis=0)
        return lambda: kokoro.create(text, voice=voice, speed=1.0, is_phonemes=True, trim=False)

    return prepare


def _peak_mb() -> float:
    """Of this process alone: ru_maxrss would begin with the parent's."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> int:
    """Open, then answer until standard input ends."""
    contestant = Contestant(**json.loads(sys.argv[1]))
    prepare = (_peer if contestant.peer else _graph)(contestant)
    chosen = ""
    if contestant.kernels:
        from kokoro_lab.kernels.library import choose

        chosen = choose().instruction_set or ""
    print(json.dumps({"ready": chosen}), flush=True)
    for line in sys.stdin:
        call = prepare(int(line))
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall_ms": 1e3 * wall, "cpu_ms": 1e3 * cpu, "peak_mb": _peak_mb()}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
