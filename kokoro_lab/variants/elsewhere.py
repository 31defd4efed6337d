"""A graph in a provider of this installation or of an environment, in a process of its own (`runtime.trial`)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, ProviderError
from kokoro_lab.measure.environments import environments, inside
from kokoro_lab.models.kernel_rewrite import uses_kernels
from kokoro_lab.runtime.providers import available, parse, require
from kokoro_lab.variants.probes import THREADS, Arrays

__all__ = ["Elsewhere", "environment_of"]

COMMAND = (sys.executable, "-m", "kokoro_lab.runtime.trial")
WORDS = 400  # characters of a dead process's error output that are told


def environment_of(provider: str) -> str:
    """The environment that brings the provider, by its name; empty for this installation.

    Raises SettingError for an unknown provider and ProviderError for one that neither this installation nor a recipe
    in data/environments has.
    """
    request = parse(provider)
    if request.name in available():
        return ""
    if all(known.name != request.name or known.recipe is None for known in environments()):
        require(request)
    return request.name


class Elsewhere:
    """Opens the graph when it is made; `run` as often as wanted; `close` it, or use it in a `with`."""

    def __init__(self, model: onnx.ModelProto, provider: str, *, threads: int = THREADS) -> None:
        """Raises ProviderError when the provider is not here or refuses, and what `environment_of` raises."""
        self.provider = parse(provider)
        self.environment = environment_of(provider)
        self._folder = tempfile.TemporaryDirectory(prefix="kokoro-lab-trial-")
        self._process: subprocess.Popen[str] | None = None
        self._calls = 0
        try:
            self._start(model, threads)
            answer = self._answer()
            if "error" in answer:
                raise ProviderError(f"provider {self.provider.name!r} refused the graph: {answer['error']}")
        except BaseException:
            self.close()
            raise
        self.nodes: dict[str, int] = answer["nodes"]
        """onnxruntime's name of a provider -> nodes that it took."""
        self.elsewhere: list[tuple[str, str, str]] = [(a, b, c) for a, b, c in answer["elsewhere"]]
        """(node, operator, provider) of each node that another provider took."""

    def _start(self, model: onnx.ModelProto, threads: int) -> None:
        folder = Path(self._folder.name)
        path = folder / "graph.onnx"
        path.write_bytes(model.SerializeToString())
        command = [*COMMAND, str(path), self.provider.onnxruntime_name, str(threads)]
        if uses_kernels(model):
            command.append("kernels")
        variables = None
        if self.environment:
            command, found = inside(self.environment, command, folder)
            variables = {"PATH": "/usr/bin:/bin", **found}
        self._words = (folder / "words").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True, env=variables
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """Every output by its name, for those of the feeds that the graph has inputs for. InferenceError else."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._calls += 1
        inputs = Path(self._folder.name) / f"{self._calls}.npz"
        np.savez(inputs, **feeds)  # type: ignore[arg-type]
        try:
            self._process.stdin.write(f"{inputs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said last is read below
        answer = self._answer()
        if "error" in answer:
            raise InferenceError(f"provider {self.provider.name!r} failed on a probe: {answer['error']}")
        with np.load(inputs.with_suffix(".npz.out")) as found:
            return {name: found[name] for name in found.files}

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read()[-WORDS:].strip().splitlines()
        return {"error": f"its process ended with code {code}" + (f": {words[-1]}" if words else "")}

    def close(self) -> None:
        """End the process and delete its files."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.wait()
            self._process = None
            self._words.close()
        self._folder.cleanup()

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
