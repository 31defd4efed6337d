"""One fresh process a block: start it, sleep until it ends, and turn whatever happened into a result (rule 1)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.measure.cell import BlockResult, Cell

__all__ = ["WORKER_COMMAND", "Launched", "launch"]

WORKER_COMMAND = (sys.executable, "-m", "kokoro_lab.measure.worker")

INHERITED_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Schedulers (dask's nanny, for one) set these for their children; here a cell says how many threads."""

LAST_WORDS = 2_000
"""Characters of a crashed worker's error output that are kept."""


@dataclass(frozen=True)
class Launched:
    """One worker process, ended."""

    result: BlockResult
    wall_s: float
    audio: Path | None
    """float32 .npy in the work folder; None when there is none."""


def launch(
    cell: Cell,
    work: Path,
    *,
    command: Sequence[str] = WORKER_COMMAND,
    extra: Mapping[str, Any] | None = None,
    timeout_s: float = 900.0,
) -> Launched:
    """Run one worker on one cell; `work` is an empty folder for its files.

    The worker is called with the path of a job file, {"cell", "result", "audio"} and `extra`, and the monotonic clock
    (ns) at the moment it was started. It leads a session of its own; its standard input is a pipe that we hold open: it
    ends itself when that closes, even if we are killed. A KeyboardInterrupt here kills it and goes on up.
    """
    job_path, result_path, audio_path = work / "job.json", work / "result.json", work / "audio.npy"
    job = {"cell": cell.as_dict(), "result": str(result_path), "audio": str(audio_path), **(extra or {})}
    job_path.write_text(json.dumps(job))
    environment = {key: value for key, value in os.environ.items() if key not in INHERITED_THREAD_SETTINGS}
    if cell.environment:
        try:
            command, variables = _placed(cell, command, work)
        except KokoroLabError as error:
            return Launched(BlockResult("unavailable", error.message), 0.0, None)
        environment.update(variables)
    timed_out = threading.Event()
    with tempfile.TemporaryFile() as output:
        started = time.monotonic_ns()
        process = subprocess.Popen(
            [*command, str(job_path), str(started)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )

        def give_up() -> None:
            timed_out.set()
            _kill(process)

        # Popen.wait(timeout) polls; a timer thread that sleeps, and a wait that blocks, disturb nobody.
        timer = threading.Timer(timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            process.wait()
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            timer.cancel()
            timer.join()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        wall_s = (time.monotonic_ns() - started) / 1e9
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - LAST_WORDS))
        words = output.read().decode(errors="replace").strip()
    if timed_out.is_set():
        result = _failed(f"The worker was ended after {timeout_s:g} s.", words)
    elif process.returncode != 0:
        result = _failed(f"The worker {_end(process.returncode)}.", words)
    else:
        result = _read(result_path, words)
    return Launched(result, wall_s, audio_path if audio_path.exists() and result.status != "error" else None)


def _placed(cell: Cell, command: Sequence[str], work: Path) -> tuple[list[str], dict[str, str]]:
    """The command inside the cell's environment, and the variables it needs. Raises KokoroLabError when not ready."""
    from kokoro_lab.measure.environments import inside
    from kokoro_lab.measure.peers import hand_over, is_peer

    moved, variables = inside(cell.environment, command, work)
    if is_peer(cell):
        variables.update(hand_over(cell, work))
    return moved, variables


def _read(path: Path, words: str) -> BlockResult:
    try:
        return BlockResult.from_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return _failed("The worker ended well but wrote no result.", words)
    except (ValueError, TypeError, KeyError) as error:
        return _failed(f"The worker's result cannot be read ({error}).", words)


def _failed(sentence: str, words: str) -> BlockResult:
    return BlockResult("error", f"{sentence} Its last words: {words}" if words else sentence)


def _end(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the worker and whatever it started: its session is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
