"""The parent's side of `trial_process`: it hands on files, waits as long as the limits say, and judges how it ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from kokoro_lab.errors import ModelError
from kokoro_lab.files.reading import reason
from kokoro_lab.runtime.trial.verdict import TrialLimits, Verdict

__all__ = ["TrialProcess"]

COMMAND = (sys.executable, "-m", "kokoro_lab.runtime.trial.trial_process")


class TrialProcess:
    """A process that tries files one after the other; it is started when it is needed, and again after a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def verdict(self, path: Path, limits: TrialLimits, *, kernels: bool = False) -> Verdict:
        """Try a file. Raises ModelError where no process can be started."""
        process = self._started()
        assert process.stdin is not None
        request = {"path": str(path), "kernels": kernels, **asdict(limits)}
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        line = self._line(process, 3 * limits.seconds)
        if line is None:
            self.close()
            return Verdict("hung", f"more than {limits.seconds:.0f} s")
        if not line:
            return self._ended(process)
        answer: dict[str, str] = json.loads(line)
        for kind in ("refused", "memory"):
            if kind in answer:
                return Verdict(kind, answer[kind])
        return Verdict("harmless")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def __enter__(self) -> TrialProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            try:
                self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    text=True,
                    start_new_session=True,
                )
            except OSError as problem:
                raise ModelError(
                    f"cannot start a process to try the model in: {reason(problem)}; end other programs first"
                ) from problem
        return self._process

    def _line(self, process: subprocess.Popen[str], seconds: float) -> str | None:
        """The next answer; empty when the process has ended, None when the time is over."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            end = time.monotonic() + seconds
            while not selector.select(max(0.0, end - time.monotonic())):
                if time.monotonic() >= end:
                    return None
        return process.stdout.readline()

    def _ended(self, process: subprocess.Popen[str]) -> Verdict:
        code = process.wait()
        last = ""
        if self._errors is not None:
            self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2000))
            last = self._errors.read().decode("utf-8", "replace").lower()
        self.close()
        if code == -signal.SIGXCPU:
            return Verdict("hung", "its processor time was over")
        if "bad_alloc" in last or "memoryerror" in last or code == -signal.SIGKILL:
            return Verdict("memory", f"exit code {code}")
        return Verdict("crashed", signal.Signals(-code).name if code < 0 else f"exit code {code}")
