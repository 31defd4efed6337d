"""A run of the tiny model that is interrupted, resumed and completed; what its tables must show at every moment."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from chaos.driver import MEASURING, REPEATS, Driver, planned_keys
from chaos.judging import complaints
from chaos.lab import Lab, wait_until

__all__ = ["InterruptedRun", "Rows", "stored_rows"]

LATEST_S = 1.6
"""A block of the tiny model takes about 1 s on a quiet machine: half of the moments lie in the first block."""
COMMIT_S = 0.1
"""What the commits of a block's three tables take, roughly."""
AIMED = 0.3
"""Share of the moments that are sought in a commit, which takes a tenth of a block's time."""

Row = tuple[object, str, tuple[tuple[int, float], ...]]
"""When a block was measured, its status, and its repeats with their times."""
Rows = dict[tuple[str, int], Row]
"""(cell id, block) -> the stored block."""


@dataclass
class InterruptedRun:
    """One run in a lab of its own, and everything that was wrong with it."""

    lab: Lab
    driver: Driver
    chance: random.Random
    problems: list[str] = field(default_factory=list)
    """What was wrong since `taken` was called last."""
    hits: Counter[str] = field(default_factory=Counter)
    stored: Rows = field(default_factory=dict)

    def start(self) -> int:
        """Start or resume the measurement, and wait for a random moment in it; returns the process's id."""
        process = self.driver.start(self.lab)
        if not wait_until(lambda: self.driver.phase in (*MEASURING, "ending"), 60, 0.002):
            self.fail(f"it measured nothing within 60 s: {self.log()}")
        aimed = self.chance.random() < AIMED
        if aimed:
            wait_until(lambda: self.driver.phase in ("committing", "ending"), 20, 0.0005)
        time.sleep(self.chance.uniform(0, COMMIT_S if aimed else LATEST_S))
        return process

    def complete(self) -> None:
        """Resume to the end: every planned block is stored once, and nothing is left behind."""
        self.driver.start(self.lab)
        if (code := self.driver.ended()) != 0:
            self.fail(f"the resumed run ended with {code}: {self.log()}")
            return
        self.check()
        if missing := planned_keys() - self.stored.keys():
            self.fail(f"{len(missing)} blocks are missing from the resumed run")
        for problem in self.lab.litter():
            self.fail(problem)
        for problem in complaints(self.lab.run("results", "check"), {0}):
            self.fail(f"results check: {problem}")
        for audio in sorted(self.lab.results.rglob("*.npy")):
            try:
                np.load(audio)
            except (OSError, ValueError, EOFError) as error:
                self.fail(f"{audio.name} cannot be read ({error})")

    def check(self) -> None:
        """The tables are readable, no block is lost, changed or doubled, each is complete, and nothing still runs."""
        for problem in self.lab.orphans():
            self.fail(problem)
        try:
            rows = stored_rows(self.lab)
        except Exception as error:
            self.fail(f"the tables cannot be read ({type(error).__name__}: {error})")
            return
        for problem in _changes(self.stored, rows):
            self.fail(problem)
        self.stored = {key: values[0] for key, values in rows.items()}

    def fail(self, problem: str) -> None:
        """Note that something was wrong."""
        self.problems.append(problem)

    def taken(self) -> str:
        """What was wrong since the last call, in one sentence; empty when nothing was."""
        words, self.problems = "; ".join(self.problems), []
        return words

    def log(self) -> str:
        """The end of what the measuring processes printed."""
        log = self.lab.root / "driver.log"
        return log.read_text(errors="replace").strip()[-300:] if log.exists() else "no output"


def stored_rows(lab: Lab) -> dict[tuple[str, int], list[Row]]:
    """The finished blocks with their samples; each in a list, so that a doubled block shows."""
    from kokoro_lab.store import StoreReader

    store = StoreReader(lab.results / "tables")
    samples: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for row in store.samples().to_dict("records"):
        key = (row["cell_id"], int(row["block"]))
        samples.setdefault(key, []).append((int(row["repeat"]), row["total_ms"]))
    rows: dict[tuple[str, int], list[Row]] = {}
    for row in store.cells().to_dict("records"):
        key = (row["cell_id"], int(row["block"]))
        rows.setdefault(key, []).append((row["started_at"], row["status"], tuple(sorted(samples.get(key, ())))))
    return rows


def _changes(before: Rows, now: dict[tuple[str, int], list[Row]]) -> Iterator[str]:
    """What is wrong with the stored blocks, given those that were stored earlier."""
    planned = planned_keys()
    for key in before.keys() - now.keys():
        yield f"block {key} was stored and is lost"
    for key, rows in now.items():
        if key not in planned:
            yield f"block {key} is not in the plan"
        if len(rows) > 1:
            yield f"block {key} is stored {len(rows)} times"
        if key in before and rows[0] != before[key]:
            yield f"block {key} has changed since it was stored"
        _, status, samples = rows[0]
        if status != "ok" or [number for number, _ in samples] != list(range(REPEATS)):
            yield f"block {key} is {status} with samples {samples}"
