"""A fresh process for one cell or for the cells of a visit (measurement rule 1): start it, sleep until it ends, and
turn any outcome into results.
"""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.peers.environments import inside
from kokoro_lab.measure.peers.peer_files import is_peer, write_manifest
from kokoro_lab.measure.records.cell import BlockResult, Cell

__all__ = ["WORKER_COMMAND", "VisitPart", "WorkerOutcome", "launch", "launch_visit"]

WORKER_COMMAND = (sys.executable, "-m", "kokoro_lab.measure.worker")

INHERITED_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Schedulers (dask's nanny, for one) set these for their children; here the cell sets the number of threads."""

LAST_OUTPUT = 2_000
"""Characters of a failed worker's output that are stored."""


@dataclass(frozen=True)
class VisitPart:
    """A cell that a process is to measure."""

    cell: Cell
    work: Path
    """An empty folder for its files."""
    made_cold: Callable[[], Mapping[str, str]] | None = None
    """Called last, when this process has read every file that it has to read for the cell: drops them from the page
    cache. Its result is the member "cold" of the cell's part of the job."""


@dataclass(frozen=True)
class WorkerOutcome:
    """What a worker process left of one cell when it ended."""

    result: BlockResult
    wall_s: float
    """Of the process; of one that several cells shared, the part of this cell."""
    audio: Path | None
    """float32 .npy in the work folder; None without audio."""


def launch(
    cell: Cell,
    work: Path,
    *,
    command: Sequence[str] = WORKER_COMMAND,
    made_cold: Callable[[], Mapping[str, str]] | None = None,
    timeout_s: float = 900.0,
) -> WorkerOutcome:
    """`launch_visit` with a single cell; `work` is an empty folder for its files."""
    return launch_visit([VisitPart(cell, work, made_cold)], command=command, timeout_s=timeout_s)[0]


def launch_visit(
    parts: Sequence[VisitPart], *, command: Sequence[str] = WORKER_COMMAND, timeout_s: float = 900.0
) -> list[WorkerOutcome]:
    """Run one worker on these cells in turn; returns what it left of each, in the same order.

    The worker is called with the path of a job file, {"cells": [{"cell", "result", "audio"}, ...]}, and the monotonic
    clock (ns) at the moment it was started. It answers each cell in a file. If it ends otherwise than by itself, the
    cells that it had not answered get an error; so does the only cell of a process, answered or not.

    The worker leads a session of its own; its standard input is a pipe that we hold open: it exits when the pipe
    closes, even if we are killed. A KeyboardInterrupt here kills the worker and is raised again.

    `timeout_s`: seconds for each cell.
    """
    first = parts[0]
    job_path = first.work / "job.json"
    environment = {key: value for key, value in os.environ.items() if key not in INHERITED_THREAD_SETTINGS}
    if first.cell.environment:
        try:
            command, variables = _placed(first.cell, command, first.work)
        except KokoroLabError as error:
            return [WorkerOutcome(BlockResult("unavailable", error.message), 0.0, None) for _ in parts]
        environment.update(variables)
    write_text(job_path, json.dumps({"cells": [_part(part) for part in parts]}), durable=False)
    ended = _run([*command, str(job_path)], environment, timeout_s * len(parts))
    problem = ""
    if ended.timed_out:
        problem = f"the worker timed out after {timeout_s * len(parts):g} s"
    elif ended.code != 0:
        problem = f"the worker {_end(ended.code)}"
    results = [_answer(part, ended, problem, alone=len(parts) == 1) for part in parts]
    return [
        WorkerOutcome(result, wall_s, _audio(part, result))
        for part, result, wall_s in zip(parts, results, _wall_times(results, ended.wall_s), strict=True)
    ]


def _part(part: VisitPart) -> dict[str, Any]:
    places = {"result": str(_result_path(part)), "audio": str(part.work / "audio.npy")}
    cold = {"cold": part.made_cold()} if part.made_cold is not None else {}
    return {"cell": part.cell.as_dict(), **places, **cold}


def _result_path(part: VisitPart) -> Path:
    return part.work / "result.json"


def _audio(part: VisitPart, result: BlockResult) -> Path | None:
    path = part.work / "audio.npy"
    return path if path.exists() and result.status != "error" else None


def _wall_times(results: Sequence[BlockResult], wall_s: float) -> list[float]:
    """The seconds of each cell; what the answered cells leave belongs to the others, or to the last of them."""
    known = [result.visit.wall_s if result.visit else None for result in results]
    if all(seconds is None for seconds in known):
        return [wall_s / len(results)] * len(results)
    rest = max(0.0, wall_s - sum(seconds for seconds in known if seconds is not None))
    missing = known.count(None)
    if missing:
        return [rest / missing if seconds is None else seconds for seconds in known]
    return [seconds + rest * (at == len(known) - 1) for at, seconds in enumerate(known) if seconds is not None]


@dataclass(frozen=True)
class _EndedProcess:
    """A process that has ended."""

    code: int
    timed_out: bool
    wall_s: float
    output: str
    """The end of its standard output and error."""


def _run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> _EndedProcess:
    """Run a command, with the monotonic clock (ns) at its start as the last argument, until it ends or times out."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic_ns()
        process = subprocess.Popen(
            [*command, str(started)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        timed_out = _wait(process, timeout_s)
        wall_s = (time.monotonic_ns() - started) / 1e9
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - LAST_OUTPUT))
        return _EndedProcess(process.returncode, timed_out, wall_s, output.read().decode(errors="replace").strip())


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Sleep until the process has ended; whether it was killed because it took longer than `timeout_s`."""
    timed_out = threading.Event()

    def give_up() -> None:
        timed_out.set()
        _kill(process)

    # Popen.wait(timeout) polls; a sleeping timer thread and a blocking wait use no CPU time.
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
    return timed_out.is_set()


def _placed(cell: Cell, command: Sequence[str], work: Path) -> tuple[list[str], dict[str, str]]:
    """The command inside the cell's environment, and its variables. Raises KokoroLabError when it is not installed."""
    moved, variables = inside(cell.environment, command, work)
    if is_peer(cell):
        variables.update(write_manifest(cell, work))
    return moved, variables


def _answer(part: VisitPart, ended: _EndedProcess, problem: str, *, alone: bool) -> BlockResult:
    """The worker's answer to one cell, or why there is none."""
    path = _result_path(part)
    if problem and (alone or not path.exists()):
        return _failed(problem, ended.output)
    return _read(path, ended.output)


def _read(path: Path, output: str) -> BlockResult:
    try:
        return BlockResult.from_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return _failed("the worker exited normally but wrote no result", output)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return _failed(f"the worker's result cannot be read ({error})", output)


def _failed(problem: str, output: str) -> BlockResult:
    return BlockResult("error", f"{problem}; last output: {output}" if output else problem)


def _end(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the worker and its child processes, which share its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
