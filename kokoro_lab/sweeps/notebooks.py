"""Execute a notebook with papermill, in a process of its own that ends when its parent does.

    parent (command line)  --job file-->  child: papermill  -->  kernel: the notebook calls sweeps.run -->  workers
           ^                                                         |
           +----------- progress file, read while we sleep ----------+

The child holds the read end of a pipe to which the parent never writes. The pipe closes when the parent closes it or
dies, even by kill -9: the child then interrupts the kernel, which ends its worker, and papermill saves the partly
executed notebook. papermill changes the working directory of its whole process: another reason for a process per
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
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import psutil

from kokoro_lab.errors import KokoroLabError, PlanError, StoreError
from kokoro_lab.files.documents import read_json
from kokoro_lab.files.reading import reason
from kokoro_lab.files.writing import ADVICE, remedy, write_text
from kokoro_lab.paths import home
from kokoro_lab.process.signals import ENDING
from kokoro_lab.store import NotebookRun, Store
from kokoro_lab.store.layout import Results, notebook_file
from kokoro_lab.sweeps.job import Job
from kokoro_lab.sweeps.notebook.notebook_reading import read_notebook
from kokoro_lab.sweeps.progress import Listener, ProgressFile
from kokoro_lab.sweeps.run import progress_path

__all__ = ["NotebookExecution", "NotebookFiles", "execute"]

ExecutionStatus = Literal["ok", "error", "interrupted"]

_INTERRUPTED: tuple[ExecutionStatus, str] = ("interrupted", "interrupted")

POLL_S = 0.25
"""Seconds between two reads of the progress file, each of which takes well under a millisecond."""

GRACE_S = 15.0
"""Seconds that an interrupted notebook has to exit by itself."""


@dataclass(frozen=True)
class NotebookFiles:
    """Files of one notebook in its run's folder."""

    folder: Path
    notebook: str

    @property
    def job(self) -> Path:
        """The notebook's job."""
        return self.folder / f"{self.notebook}.job.json"

    @property
    def executed(self) -> Path:
        """The notebook with its outputs; partly executed when it failed."""
        return self.folder / f"{self.notebook}.ipynb"

    @property
    def outcome(self) -> Path:
        """The outcome that the child reports."""
        return self.folder / f"{self.notebook}.outcome.json"

    @property
    def log(self) -> Path:
        """The standard output and error of papermill and the kernel."""
        return self.folder / f"{self.notebook}.log"


@dataclass(frozen=True)
class NotebookExecution:
    """How the execution of one notebook ended."""

    notebook: str
    status: ExecutionStatus
    error: str
    """One sentence; empty when the status is "ok"."""
    executed: Path
    seconds: float


def execute(job: Job, progress: Listener | None = None) -> NotebookExecution:
    """Execute the job's notebook and store a row with its outcome.

    A KeyboardInterrupt ends the notebook, stores its row, and is raised again.

    Raises:
        PlanError: the notebook does not exist, or cannot be executed.
        StoreError: the row could not be stored.
    """
    if not notebook_file(job.notebook).is_file():
        raise PlanError(f"notebooks/{job.notebook}.ipynb does not exist; choose another notebook")
    read_notebook(notebook_file(job.notebook))
    results = Results(job.results)
    paths = NotebookFiles(results.inside(results.run(job.run_id)), job.notebook)
    write_text(paths.job, job.model_dump_json(indent=2) + "\n")
    paths.outcome.unlink(missing_ok=True)
    started_at, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    interrupted: KeyboardInterrupt | None = None
    code = 0
    try:
        code = _run_child(paths, ProgressFile(progress_path(job)), progress)
    except KeyboardInterrupt as interruption:
        interrupted = interruption
    status, error = _INTERRUPTED if interrupted is not None else _outcome(paths, code)
    execution = NotebookExecution(job.notebook, status, error, paths.executed, time.monotonic() - began)
    Store(results.tables).append_notebook(
        NotebookRun(
            run_id=job.run_id,
            notebook=job.notebook,
            plan=job.plan,
            status=status,
            error=error,
            executed=paths.executed.relative_to(results.root).as_posix(),
            started_at=started_at,
            wall_s=execution.seconds,
        )
    )
    if interrupted is not None:
        raise interrupted
    return execution


def _run_child(paths: NotebookFiles, file: ProgressFile, progress: Listener | None) -> int:
    file.skip()
    try:
        log = paths.log.open("w", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {paths.log}: {reason(error)}; {remedy(error, ADVICE)}") from error
    with log:
        child = subprocess.Popen(
            [sys.executable, "-m", "kokoro_lab.sweeps.notebooks", str(paths.folder), paths.notebook],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "KOKORO_LAB_HOME": str(home())},  # papermill changes the working directory
            start_new_session=True,
        )
    try:
        while (code := child.poll()) is None:
            time.sleep(POLL_S)
            for event in file.new():
                if progress is not None:
                    progress(event)
        return code
    finally:
        _release(child)


def _release(child: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which ends the child if it is still running, and wait for its exit."""
    with contextlib.suppress(OSError):
        if child.stdin is not None:
            child.stdin.close()
    try:
        child.wait(GRACE_S + 5.0)
    except subprocess.TimeoutExpired:
        _kill_tree(psutil.Process(child.pid))
        child.kill()
        child.wait()


def _outcome(paths: NotebookFiles, code: int) -> tuple[ExecutionStatus, str]:
    try:
        outcome = read_json(paths.outcome, what="outcome of a notebook")
    except KokoroLabError:  # missing, or half-written by a process that was killed
        outcome = None
    if isinstance(outcome, dict) and outcome.get("status") in get_args(ExecutionStatus):
        return outcome["status"], str(outcome.get("error", ""))
    return "error", f"the process of the notebook exited with code {code}; see {paths.log}"


def _child(folder: str, notebook: str) -> int:
    """Execute one notebook; runs in the child process."""
    paths = NotebookFiles(Path(folder), notebook)
    interrupted = threading.Event()
    threading.Thread(target=_watch_parent, args=(interrupted,), daemon=True).start()
    threading.Thread(target=_end_kernel, args=(interrupted,), daemon=True).start()
    for number in ENDING:  # papermill itself would save nothing, and leave the kernel behind
        signal.signal(number, lambda *_: interrupted.set())
    import papermill
    from papermill.exceptions import PapermillExecutionError

    status: ExecutionStatus = "ok"
    error = ""
    try:
        papermill.execute_notebook(
            notebook_file(notebook),
            paths.executed,
            parameters=_parameters(papermill.inspect_notebook(notebook_file(notebook)), paths),
            progress_bar=False,
            autosave_cell_every=0,
        )
    except PapermillExecutionError as failure:
        status, error = "error", f"{failure.ename}: {failure.evalue}"
    except Exception as failure:
        status, error = "error", f"{type(failure).__name__}: {failure}"
    if interrupted.is_set():
        status, error = _INTERRUPTED
    write_text(paths.outcome, json.dumps({"status": status, "error": error}), durable=False)
    return 0 if status == "ok" else 1


def _parameters(declared: Collection[str], paths: NotebookFiles) -> dict[str, Any]:
    """The job file, which overrides everything, and those of the notebook's flat parameters that say the same as it.

    Raises:
        PlanError: the notebook takes no job file, and would measure something else.
    """
    if "job_file" not in declared:
        raise PlanError(f"notebook {paths.notebook} has no parameter job_file; add it to the cell of its parameters")
    job = Job.read(paths.job)
    flat = {"run_id": job.run_id, "results_folder": str(job.results), "budget_s": job.budget_s, "seed": job.order_seed}
    return {"job_file": str(paths.job), **{name: value for name, value in flat.items() if name in declared}}


def _watch_parent(interrupted: threading.Event) -> None:
    """Sleep until the pipe from the parent closes."""
    with contextlib.suppress(OSError):
        os.read(sys.stdin.fileno(), 1)
    interrupted.set()


def _end_kernel(interrupted: threading.Event) -> None:
    """Sleep until interrupted; then interrupt the kernel, and finally kill any remaining processes."""
    interrupted.wait()
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
