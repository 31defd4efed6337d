"""What an attack is: tries that are counted, and failures that must not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Attack", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    tries: int
    failures: tuple[str, ...] = ()
    """One sentence for each try that the program did not stand, with what is needed to repeat it."""
    skipped: str = ""
    """Why nothing could be tried on this machine; empty where it was."""
    hits: Mapping[str, int] = field(default_factory=dict)
    """What the tries met -> how many of them, as in the moments of kills."""


@dataclass(frozen=True)
class Attack:
    """One kind of attack, with its number of tries in full and in short."""

    name: str
    what: str
    """What is done and what must hold, in one sentence."""
    full: int
    short: int
    run: Callable[[int, int, Path], Outcome]
    """Called with the number of tries, a seed, and an empty folder of its own."""
