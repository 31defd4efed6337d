"""A process that opens and runs model files within limits, so that a crash, a hang or a flood of memory is its own.

Each line of standard input is a JSON object {"path", "kernels", "seconds", "bytes"}: a model file, whether it has our
compiled operators, and the processor time and memory that it may take. The answer is a line of JSON on standard output:
{"refused": sentence} for a file that our own reader refuses, {"memory": sentence} where the memory did not suffice,
else {}: an ordinary error of onnxruntime is no harm, and the engine will meet it again. No answer comes of a file that
ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.kernels.library import register
from kokoro_lab.models.files.contract import read_contract
from kokoro_lab.models.files.onnxfile import read_onnx
from kokoro_lab.models.graph.architecture import STYLE_WIDTH

__all__ = ["main"]

SILENT = 4  # onnxruntime's log severity
TOKENS = (50, 83, 54, 57)  # of the one call
MEMORY_WORDS = ("bad_alloc", "bad allocation", "failed to allocate", "not enough memory", "cannot allocate memory")


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # onnxruntime may print to standard output
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import onnxruntime  # before the limits, which are relative to what is loaded

    del onnxruntime
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, str]:
    _limit(request["seconds"], request["bytes"])
    path = Path(request["path"])
    try:
        read_onnx(path, weights=False)
        _run(path, request["kernels"])
    except KokoroLabError as error:
        return {"refused": error.message}
    except MemoryError:
        return {"memory": "out of memory"}
    except Exception as error:
        words = str(error)
        return {"memory": words[:200]} if any(each in words.lower() for each in MEMORY_WORDS) else {}
    finally:
        _limit_memory(None)
    return {}


def _run(path: Path, kernels: bool) -> None:
    """Open the file as the engine does, and run one short call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = 1
    if kernels:
        register(options)
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"], [{}], enable_fallback=0)
    try:
        contract = read_contract(session.get_inputs(), session.get_outputs())
    except KokoroLabError:
        return  # it opens and does no harm; the engine says what it lacks
    length = next(port.shape for port in session.get_inputs() if port.name == contract.tokens)[-1:]
    tokens = TOKENS if not length or not isinstance(length[0], int) else TOKENS[:1] * min(512, max(1, length[0]))
    session.run(contract.outputs, contract.feeds(tokens, np.full((1, STYLE_WIDTH), 0.1, np.float32), 1.0))


def _limit(seconds: float, allowance: int) -> None:
    """Limit the processor time and address space from now on to what has been used and this much more."""
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, resource.RLIM_INFINITY))
    _limit_memory(allowance)


def _limit_memory(allowance: int | None) -> None:
    """Limit the address space to its present size and `allowance` bytes; not at all when None."""
    most = resource.RLIM_INFINITY
    with contextlib.suppress(OSError, ValueError):  # a system without /proc has no limit of this kind
        if allowance is not None:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            most = pages * resource.getpagesize() + allowance
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
