"""Thousands of damaged files in a process of their own, each measured: its error, its time and its memory.

`python -m chaos.fuzzing MODULE SEED FIRST END FOLDER` runs the tries FIRST to END of an attack module and writes a line
of JSON for each. The module has `prepare(folder)`, which makes what the tries need, and `attempt(prepared, chance)`. A
try may succeed or raise a KokoroLabError. `fuzz` starts that process, and starts it again after a try that ended it or
did not end, which is a failure.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import resource
import selectors
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from chaos.attack import Outcome
from kokoro_lab.errors import KokoroLabError

__all__ = ["fuzz"]

MOST_SECONDS = 2.0  # of processor time for a try
MOST_MEMORY = 1 << 30  # bytes that a try may add to the process
HANG_S = 240.0  # without an answer
TESTS = Path(__file__).parents[1]


def fuzz(module: str, tries: int, seed: int, folder: Path) -> Outcome:
    """Run that many tries of an attack module."""
    failures: list[str] = []
    hits: Counter[str] = Counter()
    done = 0
    while done < tries:
        command = [sys.executable, "-m", "chaos.fuzzing", module, str(seed), str(done), str(tries), str(folder)]
        paths = os.pathsep.join([str(TESTS), str(TESTS / "support"), str(TESTS.parent)])
        variables = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables, text=True) as process:
            ended = ""
            while done < tries and not ended:
                line = _line(process)
                if line:
                    answer = json.loads(line)
                    failures += [f"seed {seed}, try {done}: {problem}" for problem in answer["problems"]]
                    hits[answer["hit"]] += 1
                    done += 1
                else:
                    ended = "it hung" if line is None else "it ended the process"
            if ended:
                process.kill()
                failures.append(f"seed {seed}, try {done}: {ended} ({process.wait()})")
                done += 1
    return Outcome(tries, tuple(failures), hits=dict(hits))


def _line(process: subprocess.Popen[str]) -> str | None:
    """The next line; empty when the process has ended, None when it says nothing any more."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(HANG_S):
            return None
    return process.stdout.readline()


def _tried(module: Any, prepared: Any, chance: random.Random) -> dict[str, Any]:
    """What one try met, and what is wrong with it."""
    hit = "read"
    problems: list[str] = []
    before = _memory("VmRSS", reset=True)
    began = time.process_time()
    try:
        module.attempt(prepared, chance)
    except KokoroLabError as error:
        hit = f"refused with {type(error).__name__}"
        if ";" not in error.message:
            problems.append(f"a message without advice: {error.message[:200]}")
        if len(error.message) > 1000:
            problems.append(f"a message of {len(error.message)} characters: {error.message[:200]}")
    except Exception as error:
        hit = "failed"
        place = traceback.extract_tb(error.__traceback__)[-1]
        problems.append(f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})")
    seconds = time.process_time() - began
    added = _memory("VmHWM") - before
    if seconds > MOST_SECONDS:
        problems.append(f"it took {seconds:.1f} s")
    if added > MOST_MEMORY:
        problems.append(f"it took {added >> 20} MiB")
    return {"hit": hit, "problems": problems}


def _memory(what: str, *, reset: bool = False) -> int:
    """Bytes of resident memory, now or at their peak since they were reset; 0 where there is no /proc."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) << 10
    return 0


def _main(name: str, seed: str, first: str, end: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # rather an error here than a killer of processes
    module = importlib.import_module(name)
    prepared = module.prepare(Path(folder))
    for number in range(int(first), int(end)):
        answers.write(json.dumps(_tried(module, prepared, random.Random(f"{seed}:{number}"))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
