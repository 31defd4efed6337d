"""Processes that measure a small job of the tiny model, to be killed: `python -m chaos.driver`, one request a line.

Starting Python with the tables takes longer than a block of the tiny model. So this process imports everything once,
does nothing else, and forks a process for each request, which measures as a sweep's notebook does (`sweeps.run`). The
answers are "started PID" and "ended PID STATUS".

A measuring process writes what it is doing into a file in memory that outlives it: see PHASES.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.lab import MARK, ROOT, Lab
from kokoro_lab.errors import KokoroLabError

__all__ = ["BLOCKS", "CELLS", "MEASURING", "PHASES", "REPEATS", "Driver", "phase_of", "planned_keys"]

PHASES = (
    "planning",  # before the first block
    "before a worker",
    "in a worker",
    "judging",  # the worker has ended, its block is not in the store
    "committing",
    "after a commit",
    "ending",  # all blocks are in the store
)
MEASURING = PHASES[1:6]
CELLS, BLOCKS, REPEATS = 2, 2, 2
RUN = "chaos"


def phase_of(file: Path) -> str:
    """What a measuring process did last; it may have been killed since."""
    return PHASES[file.read_bytes()[0]]


def planned_keys() -> set[tuple[str, int]]:
    """(cell id, block) of everything that a driver measures."""
    return {(item.cell.id, number) for item in _cells() for number in range(item.blocks)}


@dataclass
class Driver:
    """The process that forks; a context."""

    lab: Lab
    phase_file: Path

    def __enter__(self) -> Driver:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**self.lab.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", MARK: ""},
            cwd=self.lab.root,
            text=True,
        )
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, lab: Lab) -> int:
        """Start measuring in a lab; returns the process's id."""
        assert self._process.stdin is not None
        self.phase_file.write_bytes(bytes(mmap.PAGESIZE))
        request = {"lab": str(lab.root), "environment": lab.environment(), "phase": str(self.phase_file)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer("started")[0])

    def ended(self) -> int:
        """Wait for the end of the process started last; its return code as `subprocess` gives it."""
        return os.waitstatus_to_exitcode(int(self._answer("ended")[1]))

    @property
    def phase(self) -> str:
        """What the measuring process is doing."""
        return phase_of(self.phase_file)

    def _answer(self, word: str) -> list[str]:
        assert self._process.stdout is not None
        given = self._process.stdout.readline().split()
        if not given or given[0] != word:
            raise RuntimeError(f"the driver answered {given} instead of {word}")
        return given[1:]


def main() -> None:
    """Fork a measuring process for each line of standard input."""
    import kokoro_lab.sweeps.run  # noqa: F401 - what takes long, before the first fork

    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _measuring_process(request)
        print("started", child, flush=True)
        print("ended", *os.waitpid(child, 0), flush=True)


def _measuring_process(request: dict[str, Any]) -> None:
    """Measure; the process ends here, with 0, 5 after an error of the package's tree, that of a signal, or 1."""
    code = 1
    try:
        os.setsid()
        _end_with_parent()
        os.environ.clear()
        os.environ.update(request["environment"])
        log = os.open(Path(request["lab"]) / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        with Path(request["phase"]).open("r+b") as file:
            _measure(Lab(Path(request["lab"])), mmap.mmap(file.fileno(), 0))
        code = 0
    except KeyboardInterrupt as interruption:
        code = getattr(interruption, "exit_code", 130)  # of the signal behind it, which the package may know
    except BaseException as error:
        code = 5 if isinstance(error, KokoroLabError) else 1
        if code == 1:
            traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it dies, where the kernel does that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _measure(lab: Lab, shown: mmap.mmap) -> None:
    """Measure the job and show each phase."""
    from kokoro_lab.measure.sampling import sampler
    from kokoro_lab.store import Store
    from kokoro_lab.sweeps import run
    from kokoro_lab.sweeps.cell_job import CellJob

    def during(phase: str, after: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            shown[0] = PHASES.index(phase)
            result = function(*arguments, **named)
            shown[0] = PHASES.index(after)
            return result

        return called

    shown[0] = PHASES.index("planning")
    sampler._Sampling._measure = during("before a worker", "judging", sampler._Sampling._measure)  # type: ignore[method-assign]
    sampler.launch_visit = during("in a worker", "judging", sampler.launch_visit)
    Store.append_block = during("committing", "after a commit", Store.append_block)  # type: ignore[method-assign]
    Store.compact = during("ending", "ending", Store.compact)  # type: ignore[method-assign]
    job = CellJob(
        run_id=RUN, notebook="providers", model="tiny", budget_s=3600, results=lab.results, retries=0, cells=_cells()
    )
    run.measure(job)


def _cells() -> Sequence[Any]:
    from kokoro_lab.measure.records.cell import Cell
    from kokoro_lab.sweeps.job import PlannedCell

    return tuple(
        PlannedCell(
            Cell(text="Hi.", model="tiny", repeats=REPEATS, warmup_cap=1, replica=number, reference=number == 0), BLOCKS
        )
        for number in range(CELLS)
    )


if __name__ == "__main__":
    main()
