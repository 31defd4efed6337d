"""A graph in a provider of this installation or of an environment, run in a process by `runtime.provider_probe`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kokoro_lab.errors import InferenceError, ProviderError
from kokoro_lab.field_checks import as_record
from kokoro_lab.files.documents import parse_json
from kokoro_lab.files.writing import write_bytes
from kokoro_lab.measure.peers.environments import environments, inside
from kokoro_lab.models.rewrite.kernel_rewrite import uses_kernels
from kokoro_lab.runtime.providers import available, parse, require
from kokoro_lab.variants.probes import THREADS, Arrays

__all__ = ["ProviderProcess", "environment_of"]

COMMAND = (sys.executable, "-m", "kokoro_lab.runtime.provider_probe")
MOST_ANSWER = 16 << 20  # characters; an answer names every node that another provider took
WORDS = 400  # characters of a failed process's standard error that an error message is taken from


def environment_of(provider: str) -> str:
    """The name of the environment that has the provider; empty for this installation.

    Raises SettingError for an unknown provider and ProviderError for a provider that neither this installation nor a
    recipe in data/environments has.
    """
    request = parse(provider)
    if request.name in available():
        return ""
    if all(known.name != request.name or known.recipe is None for known in environments()):
        require(request)
    return request.name


@dataclass(frozen=True)
class _Answer:
    """A line of `runtime.provider_probe`."""

    error: str = ""
    nodes: dict[str, int] = field(default_factory=dict)
    elsewhere: tuple[tuple[str, str, str], ...] = ()


class ProviderProcess:
    """A graph opened in a provider, in its own process. Call `run` any number of times; `close` it, or use `with`."""

    def __init__(self, model: onnx.ModelProto, provider: str, *, threads: int = THREADS) -> None:
        """Raises ProviderError when the provider is missing or refuses the graph, and what `environment_of` raises."""
        self.provider = parse(provider)
        self.environment = environment_of(provider)
        self._folder = tempfile.TemporaryDirectory(prefix="kokoro-lab-trial-")
        self._process: subprocess.Popen[str] | None = None
        self._calls = 0
        try:
            self._start(model, threads)
            answer = self._answer()
            if answer.error:
                raise ProviderError(
                    f"provider {self.provider.name!r} refused the graph ({answer.error}); use another provider"
                )
        except BaseException:
            self.close()
            raise
        self.nodes = answer.nodes
        """onnxruntime's name of a provider -> number of nodes that it took."""
        self.elsewhere = list(answer.elsewhere)
        """(node, operator, provider) of each node that another provider took."""

    def _start(self, model: onnx.ModelProto, threads: int) -> None:
        folder = Path(self._folder.name)
        path = folder / "graph.onnx"
        write_bytes(path, model.SerializeToString(), error=ProviderError, durable=False)
        command = [*COMMAND, str(path), self.provider.onnxruntime_name, str(threads)]
        if uses_kernels(model):
            command.append("kernels")
        variables = None
        if self.environment:
            command, environment_variables = inside(self.environment, command, folder)
            variables = {"PATH": "/usr/bin:/bin", **environment_variables}
        self._words = (folder / "words").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True, env=variables
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs by name, for those feeds that the graph has inputs for. Raises InferenceError on failure."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._calls += 1
        inputs = Path(self._folder.name) / f"{self._calls}.npz"
        np.savez(inputs, **feeds)  # type: ignore[arg-type]
        try:
            self._process.stdin.write(f"{inputs}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last output on stderr is read below
        answer = self._answer()
        if answer.error:
            raise InferenceError(
                f"provider {self.provider.name!r} failed on a probe ({answer.error}); use another provider"
            )
        with np.load(inputs.with_suffix(".npz.out")) as outputs:
            return {name: outputs[name] for name in outputs.files}

    def _answer(self) -> _Answer:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline(MOST_ANSWER)
        if line:
            what = f"answer of provider {self.provider.name!r}"
            return as_record(_Answer, parse_json(line, what=what, error=ProviderError), what=what, error=ProviderError)
        code = self._process.wait()
        self._words.seek(0)
        words = self._words.read()[-WORDS:].strip().splitlines()
        return _Answer(f"its process ended with code {code}" + (f"; last stderr line: {words[-1]}" if words else ""))

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

    def __enter__(self) -> ProviderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
