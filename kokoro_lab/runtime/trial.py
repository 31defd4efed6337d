"""A process that opens one graph in one provider, tells who takes each node, and runs it on what it is given.

A provider may live in an environment without the rest of this package's libraries, and may crash; so it is tried in a
process of its own. Called with the path of a model, onnxruntime's name of the provider, a number of threads, and
`kernels` where the graph names our compiled operators. Standard output: one line of JSON about the session, {"nodes":
{provider: count}, "elsewhere": [[node, operator, provider], ...]}; then, for each line of standard input, the path of
an .npz of inputs, one line about the call. Its outputs are in a file of that name with `.out` added. A failure of
either is {"error": "..."}.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kokoro_lab.runtime.assignment import read_assignment
from kokoro_lab.runtime.providers import CPU
from kokoro_lab.runtime.settings import ASSIGNMENT, ERRORS_ONLY

__all__ = ["main", "open_session"]


def open_session(path: str, provider: str, threads: int, *, kernels: bool = False) -> Any:
    """An onnxruntime.InferenceSession in that provider, with the CPU's behind it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_session_config_entry(ASSIGNMENT, "1")
    if kernels:
        from kokoro_lab.kernels.library import register

        register(options)
    return onnxruntime.InferenceSession(path, options, list(dict.fromkeys((provider, CPU))), enable_fallback=0)


def main(arguments: list[str]) -> None:
    """Serve until standard input ends."""
    path, provider, threads, *rest = arguments
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # providers print what they like
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
