"""Options that several benchmarks have, and the values that they stand for."""

from __future__ import annotations

import datetime
import os
from typing import Annotated

import typer

from kokoro_lab.commands.console import finite, notice
from kokoro_lab.errors import InputError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.units import LONGEST_S

__all__ = [
    "MOST_CALLS",
    "Blocks",
    "Budget",
    "RunId",
    "Threads",
    "ensure_built",
    "new_run",
    "numbers",
    "processors",
    "shares",
]

MOST_CALLS = 1_000_000

Blocks = Annotated[
    int, typer.Option("--blocks", "--rounds", min=1, max=1000, help="Processes per cell; 6 for intervals.")
]
Budget = Annotated[
    float,
    typer.Option(
        "--budget", "--budget-s", min=1, max=LONGEST_S, callback=finite,
        help="Time limit, s; each cell gets at least one block.",
    ),
]  # fmt: skip
RunId = Annotated[
    str, typer.Option("--run-id", help="Name of the run; an existing run is continued (default: benchmark and time).")
]
Threads = Annotated[int, typer.Option(min=0, max=256, help="Threads of each contestant; 0: one per physical core.")]


def new_run(name: str) -> str:
    """The name of a new run of a benchmark: the benchmark and the time, UTC."""
    return f"{name if name == 'peers' else f'bench-{name}'}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a list such as 16,50. Raises InputError for anything else, an empty list too."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise InputError(f"{text!r} is not a list of numbers; write numbers separated by commas, such as 16,50")
    return tuple(int(part) for part in parts)


def shares(text: str) -> list[float]:
    """The shares of a list such as 0.01,0.02, or of none. Raises InputError for one that is not from 0 to 10."""
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = [-1.0]
    if not all(0.0 <= value <= 10.0 for value in values):
        raise InputError(f"{text!r} is not a list of shares from 0 to 10; write numbers such as 0.01,0.02")
    return values


def ensure_built(*names: str) -> None:
    """Build the named models where they are missing, so that no block spends time on that."""
    for name in filter(None, names):
        resolve(name, notice=notice)


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
