"""Execute a notebook with papermill, in a process of its own that ends when we do.

    parent (command line)  --job file-->  child: papermill  -->  kernel: the notebook asks sweeps.run  -->  workers
           ^                                                         |
           +---------------- progress file, read while we sleep -----+

The child holds the read end of a pipe that the parent never writes to. It closes when the parent lets go, or dies in
any way, kill -9 included: the child then interrupts the kernel, which ends its worker, and papermill keeps the
half-executed notebook. papermill changes the working directory of its whole process: one more reason for a process a
notebook.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from kokoro_lab.errors import PlanError
from kokoro_lab.store import Store
from kokoro_lab.store.places import Results, notebook_file
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.progress import Listener, ProgressFile
from kokoro_lab.sweeps.run import progress_path

__all__ = ["Execution", "Paths", "execute"]

Status = Literal["ok", "error", "interrupted"]

_INTERRUPTED: tuple[Status, str] = ("interrupted", "Interrupted.")

LOOK_S = 0.25
"""How long the parent sleeps between looks at the progress file: reading it takes well under a millisecond."""

GRACE_S = 15.0
"""How long an interrupted notebook has to end by itself."""


@dataclass(frozen=True)
class Paths:
    """Files of one notebook in its run's folder."""

    folder: Path
    notebook: str

    @property
    def job(self) -> Path:
        """What the notebook is asked to do."""
        return self.folder / f"{self.notebook}.job.json"

    @property
    def executed(self) -> Path:
        """The notebook with its outputs; half-executed when it failed."""
        return self.folder / f"{self.notebook}.ipynb"

    @property
    def outcome(self) -> Path:
        """How the child says it ended."""
        return self.folder / f"{self.notebook}.outcome.json"

    @property
    def log(self) -> Path:
        """What papermill and the kernel wrote to their standard streams."""
        return self.folder / f"{self.notebook}.log"


@dataclass(frozen=True)
class Execution:
    """How the execution of one notebook ended."""

    notebook: str
    status: Status
    error: str
    """One sentence; empty when the status is "ok"."""
    executed: Path
    seconds: float


def execute(job: Job, progress: Listener | None = None) -> Execution:
    """Execute the job's notebook and keep a row that says how it ended.

    A KeyboardInterrupt ends the notebook, keeps its row, and goes on up.

    Raises:
        PlanError: there is no such notebook.
        StoreError: the row could not be kept.
    """
    if not notebook_file(job.notebook).is_file():
        raise PlanError(f"There is no notebooks/{job.notebook}.ipynb.")
    results = Results(job.results)
    paths = Paths(results.run(job.run_id), job.notebook)
    paths.folder.mkdir(parents=True, exist_ok=True)
    paths.job.write_text(job.model_dump_json(indent=2) + "\n", encoding="utf-8")
    paths.outcome.unlink(missing_ok=True)
    started_at, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    interrupted = False
    try:
        code = _run_child(paths, ProgressFile(progress_path(job)), progress)
    except KeyboardInterrupt:
        interrupted, code = True, -signal.SIGINT
    status, error = _INTERRUPTED if interrupted else _outcome(paths, code)
    execution = Execution(job.notebook, status, error, paths.executed, time.monotonic() - began)
    Store(results.tables).append_notebook(
        run_id=job.run_id,
        notebook=job.notebook,
        plan=job.plan,
        status=status,
        error=error,
        executed=paths.executed.relative_to(results.root).as_posix(),
        started_at=started_at.isoformat(),
        wall_s=execution.seconds,
    )
    if interrupted:
        raise KeyboardInterrupt
    return execution


def _run_child(paths: Paths, file: ProgressFile, progress: Listener | None) -> int:
    file.skip()
    with paths.log.open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "kokoro_lab.sweeps.notebooks", str(paths.folder), paths.notebook],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while (code := child.poll()) is None:
            time.sleep(LOOK_S)
            for event in file.new():
                if progress is not None:
                    progress(event)
        return code
    finally:
        _let_go(child)


def _let_go(child: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which ends the child if it still runs, and see that it is gone."""
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(GRACE_S + 5.0)
    except subprocess.TimeoutExpired:
        _kill_tree(psutil.Process(child.pid))
        child.kill()
        child.wait()


def _outcome(paths: Paths, code: int) -> tuple[Status, str]:
    try:
        outcome = json.loads(paths.outcome.read_text(encoding="utf-8"))
        return outcome["status"], outcome["error"]
    except FileNotFoundError:
        return "error", f"The process that executed the notebook ended with {code}; see {paths.log}."


def _child(folder: str, notebook: str) -> int:
    """Execute one notebook; runs in the child process."""
    paths = Paths(Path(folder), notebook)
    interrupted = threading.Event()
    threading.Thread(target=_watch_parent, args=(interrupted,), daemon=True).start()
    import papermill
    from papermill.exceptions import PapermillExecutionError

    status: Status = "ok"
    error = ""
    try:
        papermill.execute_notebook(
            notebook_file(notebook),
            paths.executed,
            parameters={"job": str(paths.job)},
            progress_bar=False,
            autosave_cell_every=0,
        )
    except PapermillExecutionError as failure:
        status, error = "error", f"{failure.ename}: {failure.evalue}"
    except Exception as failure:
        status, error = "error", f"{type(failure).__name__}: {failure}"
    if interrupted.is_set():
        status, error = _INTERRUPTED
    part = paths.outcome.with_suffix(".part")
    part.write_text(json.dumps({"status": status, "error": error}), encoding="utf-8")
    part.replace(paths.outcome)
    return 0 if status == "ok" else 1


def _watch_parent(interrupted: threading.Event) -> None:
    """Sleep until the pipe from the parent closes; then interrupt the kernel, and in the end kill what is left."""
    with contextlib.suppress(OSError):
        os.read(sys.stdin.fileno(), 1)
    interrupted.set()
    me = psutil.Process()
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        for kernel in me.children():
            with contextlib.suppress(psutil.Error):
                kernel.send_signal(signal.SIGINT)
        time.sleep(1.0)
    _kill_tree(me)
    os._exit(1)


def _kill_tree(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        for descendant in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                descendant.kill()


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:3]))
