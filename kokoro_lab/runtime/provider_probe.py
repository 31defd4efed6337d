"""A process that opens a graph in a provider, reports which provider took each node, and runs it on given inputs.

A provider may be installed in an environment without this package's other libraries, and may crash; so it is tried in
its own process. Arguments: the path of a model, onnxruntime's name of the provider, the number of threads, and
`kernels` where the graph has our compiled operators. The first line of standard output is JSON about the session,
{"nodes": {provider: count}, "elsewhere": [[node, operator, provider], ...]}. Then, for each line of standard input,
which is the path of an .npz of inputs, a line of JSON about the call follows; its outputs are in a file of that name
with `.out` added. A failure of either is {"error": "..."}.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kokoro_lab.kernels.library import register
from kokoro_lab.runtime.assignment import read_assignment
from kokoro_lab.runtime.providers import CPU
from kokoro_lab.runtime.settings import ASSIGNMENT, ERRORS_ONLY

__all__ = ["main", "open_session"]


def open_session(path: str, provider: str, threads: int, *, kernels: bool = False) -> Any:
    """An onnxruntime.InferenceSession on that provider, with the CPU provider as its fallback."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry(ASSIGNMENT, "1")
    if kernels:
        register(options)
    return onnxruntime.InferenceSession(path, options, list(dict.fromkeys((provider, CPU))), enable_fallback=0)


def main(arguments: list[str]) -> None:
    """Process requests until standard input ends."""
    path, provider, threads, *rest = arguments
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # providers may print to standard output
    try:
        session = open_session(path, provider, int(threads), kernels="kernels" in rest)
        nodes = read_assignment(session)
    except Exception as error:
        _tell(answers, {"error": _line(error)})
        return
    elsewhere = [[each.node, each.operator, each.provider] for each in nodes if each.provider != provider]
    _tell(answers, {"nodes": Counter(each.provider for each in nodes), "elsewhere": elsewhere})
    known = {each.name for each in (*session.get_inputs(), *session.get_overridable_initializers())}
    outputs = [each.name for each in session.get_outputs()]
    for line in sys.stdin:
        inputs = Path(line.strip())
        try:
            with np.load(inputs) as given:
                feeds = {name: given[name] for name in given.files if name in known}
            with inputs.with_suffix(".npz.out").open("wb") as stream:
                np.savez(stream, **dict(zip(outputs, session.run(outputs, feeds), strict=True)))
        except Exception as error:
            _tell(answers, {"error": _line(error)})
        else:
            _tell(answers, {})


def _tell(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


if __name__ == "__main__":
    main(sys.argv[1:])
