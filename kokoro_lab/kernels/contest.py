"""The contestants' processes, and what they said, kept line by line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.kernels import contestant as program
from kokoro_lab.kernels.contestant import Contestant

__all__ = ["Readings", "Row", "Speaker", "peak", "speaking"]

Row = dict[str, Any]


class Readings:
    """What was measured, kept line by line, until the budget is spent."""

    def __init__(self, path: Path, budget_s: float) -> None:
        self._path = path
        self._end = time.monotonic() + budget_s
        self.incomplete = False
        self._values: dict[str, Any] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                key, value = json.loads(line)
                self._values[key] = value

    def get(self, measure: Callable[[], Any], *key: Any) -> Any:
        """The reading kept under `key`, else a new one; None when there is no time left for it."""
        name = "/".join(map(str, key))
        if name not in self._values:
            if time.monotonic() > self._end:
                self.incomplete = True
                return None
            self._values[name] = measure()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, self._values[name]]) + "\n")
        return self._values[name]


class Speaker:
    """A contestant's process."""

    def __init__(self, contestant: Contestant, python: Path) -> None:
        package = Path(program.__file__).resolve().parents[2]
        variables = {**os.environ, "PYTHONSAFEPATH": "1"}
        if contestant.peer:
            variables.pop("PYTHONPATH", None)
        else:
            variables["PYTHONPATH"] = str(package)
        self._process = subprocess.Popen(
            [str(python), program.__file__, json.dumps(asdict(contestant))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )
        self._read("ready")

    def speak(self, tokens: int) -> Row:
        """wall_ms, cpu_ms and peak_mb of one call."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{tokens}\n")
        self._process.stdin.flush()
        return self._read("wall_ms")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _read(self, wanted: str) -> Row:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and wanted in (found := json.loads(line)):
                return dict(found)
        raise KokoroLabError(f"a contestant ended with {self._process.wait()}; its reason is above")


@contextmanager
def speaking(contestant: Contestant, python: Path) -> Iterator[Speaker]:
    """A process that lives as long as the block."""
    speaker = Speaker(contestant, python)
    try:
        yield speaker
    finally:
        speaker.close()


def peak(contestant: Contestant, python: Path, tokens: int) -> float:
    """Peak of a fresh process that spoke one length twice, MB (10^6 bytes)."""
    with speaking(contestant, python) as speaker:
        return float([speaker.speak(tokens) for _ in range(2)][-1]["peak_mb"])
