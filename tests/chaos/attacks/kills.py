"""Kill -9 of a sweep of the tiny model while it measures, again and again, until the run is complete."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from chaos.attack import Attack, Outcome
from chaos.driver import MEASURING, Driver
from chaos.interrupted_run import InterruptedRun
from chaos.lab import Lab, processes_of

__all__ = ["ATTACK"]

KILLS_PER_RUN = 10


def _kill_once(run: InterruptedRun) -> bool:
    """Start or resume, kill, and read the tables; False when the run had stored everything before the kill."""
    process = run.start()
    phase, tree = run.driver.phase, run.chance.random() < 0.5
    _kill(process, run.lab, tree=tree)
    code = run.driver.ended()
    if code != -signal.SIGKILL and phase != "ending":
        run.fail(f"it ended with {code} before the kill: {run.log()}")
    if phase not in MEASURING or code != -signal.SIGKILL:
        return False
    run.hits[phase] += 1
    run.hits["with its worker" if tree else "without its worker"] += 1
    run.check()
    return True


def _kill(process: int, lab: Lab, *, tree: bool) -> None:
    """Kill the measuring process, and with `tree` its worker in the same moment."""
    workers = [worker.pid for worker in processes_of(lab.root)] if tree else []
    for victim in (process, *workers):
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Kill `tries` times, spread over as many runs as that needs."""
    failures: list[str] = []
    hits: Counter[str] = Counter()
    killed = 0
    first = Lab.with_tiny_model(folder / "first")
    with Driver(first, folder / "phase") as driver:
        while killed < tries and hits["runs"] < 3 * tries:
            number = hits["runs"]
            lab = Lab.new(folder / f"run{number}", models=first.home)
            run = InterruptedRun(lab, driver, random.Random(f"{seed}:{number}"))
            for _ in range(min(KILLS_PER_RUN, tries - killed)):
                counted = _kill_once(run)
                killed += counted
                if problem := run.taken():
                    failures.append(f"seed {seed}, run {number}, kill {killed}: {problem}")
                if not counted:
                    break
            run.complete()
            if problem := run.taken():
                failures.append(f"seed {seed}, run {number}, completed after kill {killed}: {problem}")
            hits += run.hits
            hits["runs"] += 1
    return Outcome(killed, tuple(failures), hits=dict(hits))


ATTACK = Attack(
    name="kills",
    what=(
        "A sweep is killed (-9) at a random moment while it measures, with or without its worker, and resumed: no "
        "block is lost, changed or stored twice, the tables can always be read, and no worker or folder stays behind."
    ),
    full=200,
    short=6,
    run=run,
)
