"""A lab of an attack's own: a models folder with the tiny model, a results folder, a lock; and commands run in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from chaos.judging import Ended

__all__ = ["MARK", "ROOT", "TIME_LIMIT_S", "Lab", "end_all", "kokoro_lab", "processes_of", "wait_until"]

ROOT = Path(__file__).parents[2]
SCRIPT = "from kokoro_lab.cli import main; main()"
MARK = "KOKORO_LAB_CHAOS"
"""Environment variable that names the lab whose process it is."""

TIME_LIMIT_S = 240.0
"""A command that takes longer hangs; the longest of them, a sweep of one notebook, takes 15 s on a quiet machine."""


def kokoro_lab(*arguments: str) -> list[str]:
    """What the command line's script does, for this checkout."""
    as_module = ["-m", "kokoro_lab"] if (ROOT / "kokoro_lab" / "__main__.py").exists() else ["-c", SCRIPT]
    return [sys.executable, *as_module, *arguments]


@dataclass(frozen=True)
class Lab:
    """Folders of one attack, or of one of its tries."""

    root: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside those that name the folders."""

    @classmethod
    def new(cls, root: Path, models: Path | None = None) -> Lab:
        """A lab under `root`, with a copy of the models folder of an earlier lab if one is given."""
        lab = cls(root)
        for folder in (lab.results, lab.out, lab.tmp):
            folder.mkdir(parents=True)
        if models is not None:
            shutil.copytree(models, lab.home)
        else:
            lab.home.mkdir()
        return lab

    @classmethod
    def with_tiny_model(cls, root: Path) -> Lab:
        """A lab whose models folder has the tiny model.

        Raises:
            RuntimeError: it cannot be built.
        """
        lab = cls.new(root)
        if (built := lab.run("models", "build", "tiny")).code != 0:
            raise RuntimeError(f"the tiny model was not built ({built.tail})")
        return lab

    @property
    def home(self) -> Path:
        """KOKORO_LAB_HOME."""
        return self.root / "home"

    @property
    def results(self) -> Path:
        """KOKORO_LAB_RESULTS."""
        return self.root / "results"

    @property
    def out(self) -> Path:
        """The folder that audio is written to."""
        return self.root / "out"

    @property
    def tmp(self) -> Path:
        """TMPDIR, so that what a command leaves there is seen."""
        return self.root / "tmp"

    def environment(self) -> dict[str, str]:
        """The environment of every command of this lab."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KOKORO_")}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KOKORO_LAB_HOME": str(self.home),
            "KOKORO_LAB_RESULTS": str(self.results),
            "KOKORO_LAB_LOCK": str(self.root / "measuring.lock"),
            "TMPDIR": str(self.tmp),
            "KOKORO_PREPARE": "off",  # an attack is on one command, not on what it would make besides
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",  # threads that spin would only steal time from the tries
            MARK: str(self.root),
            **self.extra,
        }

    def start(self, *arguments: str, prefix: Sequence[str] = (), **options: object) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own, with its output in pipes.

        `prefix` is a command that starts it; `options` are those of Popen.
        """
        given: dict[str, object] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environment(),
            "cwd": self.root,
            "start_new_session": True,
            **options,
        }
        return subprocess.Popen([*prefix, *kokoro_lab(*arguments)], **given)  # type: ignore[call-overload,no-any-return]

    def run(self, *arguments: str, prefix: Sequence[str] = (), **options: object) -> Ended:
        """Run a command to its end; arguments are those of `start`."""
        return self.finish(self.start(*arguments, prefix=prefix, **options))

    def finish(self, process: subprocess.Popen[bytes], limit_s: float = TIME_LIMIT_S) -> Ended:
        """Wait for a command; one that hangs is killed, with everything that this lab started."""
        try:
            stdout, stderr = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            end_all(self.root)
            stdout, stderr = process.communicate()
            stderr += f"\nkokoro-lab chaos: hung for {limit_s:g} s".encode()
        return Ended.of(process.returncode, stdout, stderr)

    def orphans(self, within_s: float = TIME_LIMIT_S) -> list[str]:
        """Processes of this lab that still run after that time; they are killed."""
        wait_until(lambda: not any(processes_of(self.root)), within_s)
        left = [_described(process) for process in processes_of(self.root)]
        end_all(self.root)
        return [f"process {words} still runs" for words in left]

    def litter(self) -> list[str]:
        """Temporary files and folders of the program that lie in the lab's folders."""
        found = [*self._named("*.part"), *self._named("block-*")]
        return [f"{path.relative_to(self.root)} was left" for path in found]

    def _named(self, pattern: str) -> Iterator[Path]:
        for folder in (self.home, self.results, self.out):
            if folder.exists():
                yield from sorted(folder.rglob(pattern))


def _described(process: psutil.Process) -> str:
    """A process, its age, and what each of its threads waits for."""
    with suppress(OSError, psutil.Error):
        age = time.time() - process.create_time()
        threads = [
            f"{(task / 'comm').read_text().strip()}: {(task / 'wchan').read_text() or 'running'}"
            for task in Path(f"/proc/{process.pid}/task").iterdir()
        ]
        return f"{process.pid} {' '.join(process.cmdline())[-120:]} ({age:.0f} s old; {', '.join(threads[:8])})"
    return str(process.pid)


def processes_of(root: Path) -> Iterator[psutil.Process]:
    """Running processes whose environment names the lab, or one in a folder below it."""
    mark, below = f"{MARK}={root}".encode(), f"{MARK}={root}/".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, psutil.Error):
            if any(item == mark or item.startswith(below) for item in (folder / "environ").read_bytes().split(b"\0")):
                process = psutil.Process(int(folder.name))
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def end_all(root: Path) -> None:
    """Kill every process of a lab."""
    for process in list(processes_of(root)):
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


def wait_until(condition: Callable[[], bool], within_s: float, step_s: float = 0.02) -> bool:
    """Whether a condition became true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True
