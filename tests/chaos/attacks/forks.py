"""Children forked at random moments while an engine speaks, streams, idles, warms up and pre-warms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chaos.attack import Attack, Outcome

__all__ = ["ATTACK"]


def _run(tries: int, seed: int, folder: Path) -> Outcome:
    """In a process of its own, which is small when it is forked and has no other threads."""
    support = Path(__file__).parents[2] / "support"
    done = subprocess.run(
        [sys.executable, str(support / "forking.py"), str(tries), str(seed)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    failures = tuple(line for line in done.stdout.splitlines() if line.startswith("seed "))
    if done.returncode and not failures:
        failures = (f"seed {seed}: the parent ended with {done.returncode}: {done.stderr[-500:]}",)
    return Outcome(tries, failures)


ATTACK = Attack(
    "forks",
    "fork while an engine works: the child is refused by name or loads its own engine, and ends within 60 s",
    full=20,
    short=4,
    run=_run,
)
