"""Exported runs that were changed at random are imported into a store with a run of its own."""

from __future__ import annotations

from pathlib import Path

from archive_mutations import Archives, tried

from chaos.attack import Attack, Outcome

__all__ = ["ATTACK"]


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Import so many mutated archives, each into the same store."""
    archives = Archives(folder)
    failures: list[str] = []
    for number in range(tries):
        _, wrong = tried(archives, f"{seed}:{number}")
        if wrong:
            failures.append(f"seed {seed}, try {number}: {wrong}")
    return Outcome(tries, tuple(failures))


ATTACK = Attack(
    name="archives",
    what=(
        "Exported runs are changed in bytes, values, columns, names and sizes, and imported: an archive is either "
        "refused by name and changes nothing, or it is imported, and every command can still read the store."
    ),
    full=1000,
    short=60,
    run=run,
)
