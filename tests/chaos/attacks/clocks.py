"""A clock that is set back while a run measures."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from chaos.attack import Attack, Outcome
from chaos.driver import BLOCKS, CELLS, Driver
from chaos.interrupted_run import InterruptedRun
from chaos.lab import TIME_LIMIT_S, Lab, wait_until

__all__ = ["ATTACK", "Clock"]

TAKES_LESS_S = 600
"""Seconds that no block takes, on however busy a machine: every step of the clock is longer."""

SOURCE = Path(__file__).parents[1] / "clock.c"


@dataclass(frozen=True)
class Clock:
    """A clock that a library shows to the processes into which it is loaded."""

    library: Path
    offset: Path

    @classmethod
    def built(cls, folder: Path) -> Clock | None:
        """The clock, in a folder of its own; None without Linux and a C compiler."""
        clock = cls(folder / "clock.so", folder / "offset")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None or sys.platform != "linux":
            return None
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(clock.library), str(SOURCE)]
        if subprocess.run(command, check=False).returncode != 0:
            return None
        clock.set(0)
        return clock

    def set(self, seconds: int) -> None:
        """Move it by that many seconds against the machine's, at once and in every process."""
        with self.offset.open("r+b" if self.offset.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that is to see it."""
        return {"LD_PRELOAD": str(self.library), "CHAOS_CLOCK": str(self.offset)}


def _step_back(lab: Lab, driver: Driver, chance: random.Random, clock: Clock) -> InterruptedRun:
    """One run; the clock is set back by up to a day while its first or a later block is measured."""
    seconds, after = chance.randrange(TAKES_LESS_S, 86_400), chance.randrange(CELLS * BLOCKS)
    run = InterruptedRun(lab, driver, chance)
    clock.set(0)
    driver.start(lab)
    log = lab.results / "runs" / "chaos" / "providers.progress.jsonl"
    wait_until(lambda: driver.phase != "planning", TIME_LIMIT_S)
    wait_until(lambda: log.exists() and log.read_text().count('"finished"') >= after, TIME_LIMIT_S)
    clock.set(-seconds)
    run.hits[driver.phase] += 1
    if (code := driver.ended()) != 0:
        run.fail(f"it ended with {code}: {run.log()}")
    run.complete()
    if not run.problems:
        _check_order(run, seconds)
    return run


def _check_order(run: InterruptedRun, seconds: int) -> None:
    """The rows keep the order in which they were measured, and no duration has the step in it."""
    from kokoro_lab.store import StoreReader
    from kokoro_lab.store.blocks import stored_blocks

    store = StoreReader(run.lab.results / "tables")
    orders = [block.order for block in stored_blocks(store, "chaos")]
    if orders != sorted(orders):
        run.fail(f"the rows are in the order {orders}")
    for row in store.cells("chaos").to_dict("records"):
        if not 0 < row["wall_s"] < TAKES_LESS_S:
            run.fail(f"a block took {row['wall_s']} s when the clock was set back by {seconds} s")
    times = store.samples("chaos")["total_ms"]
    if not times.between(0, 1000 * TAKES_LESS_S, inclusive="neither").all():
        run.fail(f"a call took {times.min()} to {times.max()} ms")


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Set the clock back in `tries` runs."""
    clock = Clock.built(folder)
    if clock is None:
        return Outcome(0, skipped="there is no C compiler for the library that sets the clock")
    failures: list[str] = []
    hits: Counter[str] = Counter()
    first = Lab.with_tiny_model(folder / "first")
    with Driver(Lab(first.root, clock.environment), folder / "phase") as driver:
        for number in range(tries):
            made = Lab.new(folder / f"run{number}", models=first.home)
            lab = Lab(made.root, clock.environment)
            done = _step_back(lab, driver, random.Random(f"{seed}:{number}"), clock)
            if problem := done.taken():
                failures.append(f"seed {seed}, try {number}: {problem}")
            hits += done.hits
    return Outcome(tries, tuple(failures), hits=dict(hits))


ATTACK = Attack(
    name="clocks",
    what=(
        "The clock is set back by a minute to a day while a run measures: it completes, its rows keep their order, and "
        "no duration has the step in it."
    ),
    full=10,
    short=1,
    run=run,
)
