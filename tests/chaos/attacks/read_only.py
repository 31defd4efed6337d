"""Folders that cannot be written: the models, the results, the output, the working directory."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.attack import Attack, Outcome
from chaos.driver import Driver
from chaos.file_systems import BOUND_BY_MODES, NOBODY, may_mount, modes_bind, nobody_can_run, read_only
from chaos.judging import complaints
from chaos.lab import Lab
from chaos.small_sweep import missing_blocks, write_plan

__all__ = ["ATTACK"]

TEXT = "Nobody may write here."
REFUSED = frozenset({2, 5})


@dataclass(frozen=True)
class _Case:
    """A command, and the folder that cannot be written while it runs."""

    locked: str
    """Name of a folder of the lab; `root` for the working directory."""
    arguments: tuple[str, ...]
    codes: frozenset[int] = REFUSED
    written: str = ""
    """Where it succeeds: the file that it must have written, below the lab."""


DONE = frozenset({0})
SAY = ("say", TEXT, "--model", "tiny", "-o")
CASES = {
    "say with read-only models": _Case("home", (*SAY, "{lab}/out/speech.wav"), DONE, "out/speech.wav"),
    "say --stream with read-only models": _Case(
        "home", (*SAY, "{lab}/out/stream.wav", "--stream"), DONE, "out/stream.wav"
    ),
    "say into a read-only folder": _Case("out", (*SAY, "{lab}/out/speech.wav")),
    "say into a new folder of a read-only one": _Case("out", (*SAY, "{lab}/out/new/speech.flac")),
    "say in a read-only working directory": _Case("work", (*SAY, "speech.wav")),
    "say elsewhere from a read-only working directory": _Case(
        "work", (*SAY, "{lab}/out/speech.wav"), DONE, "out/speech.wav"
    ),
    "say without a model in a read-only folder": _Case("empty", (*SAY, "{lab}/out/speech.wav")),
    "models build": _Case("empty", ("models", "build", "tiny")),
    "models list": _Case("home", ("models", "list"), DONE),
    "models list of nothing": _Case("empty", ("models", "list"), DONE),
    "models quantize": _Case("home", ("models", "quantize", "tiny", "--recipe", "fp16-weights")),
    "doctor": _Case("home", ("doctor",), DONE | REFUSED),
    "voices": _Case("home", ("voices",), DONE),
    "results list": _Case("results", ("results", "list"), DONE),
    "results show": _Case("results", ("results", "show", "cells"), DONE),
    "results export": _Case("results", ("results", "export", "{lab}/out/export"), DONE, "out/export"),
    "results export into a read-only folder": _Case("out", ("results", "export", "{lab}/out/export")),
    "results import": _Case("results", ("results", "import", "{lab}/archive")),
    "report": _Case("results", ("report", "--run", "chaos")),
    "init": _Case("out", ("init", "{lab}/out/lab")),
    "sweep into read-only results": _Case("results", ("sweep", "{lab}/chaos.yaml", "--run-id", "another")),
    "sweep with read-only models": _Case("home", ("sweep", "{lab}/chaos.yaml", "--run-id", "another"), DONE),
}
SLOW = frozenset({"sweep with read-only models"})
"""Tried once in twenty, because it measures."""


@dataclass
class _Tries:
    """The lab that the tries share, and what came of them."""

    seed: int
    lab: Lab
    methods: tuple[str, ...]
    failures: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)

    def hit(self, number: int, name: str) -> None:
        """One command with one folder locked."""
        method = self.methods[number % len(self.methods)]
        self.hits[method] += 1
        if problems := list(self._tried(CASES[name], method)):
            self.failures.append(f"seed {self.seed}, try {number}, {name}, by {method}: {'; '.join(problems)}")

    def _tried(self, case: _Case, method: str) -> Iterator[str]:
        lab, place = self.lab, self.lab.root / case.locked
        _empty(lab.out)
        environment = lab.environment()
        if case.locked == "empty":
            environment["KOKORO_LAB_HOME"] = str(place)
        arguments = [argument.replace("{lab}", str(lab.root)) for argument in case.arguments]
        before = _listing(place)
        with LOCKS[method](place) as options:
            ended = lab.run(*arguments, env=environment, cwd=lab.root / "work", **options)
        yield from complaints(ended, case.codes)
        yield from lab.orphans()
        if _listing(place) != before:
            yield f"{case.locked} has changed"
        if ended.code == 0 and case.written and not (lab.root / case.written).exists():
            yield f"{case.written} was not written"
        yield from lab.litter()
        if ended.code == 0 and "another" in arguments and (missing := missing_blocks(lab, "another")):
            yield missing
        shutil.rmtree(lab.results / "runs" / "another", ignore_errors=True)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    folder.chmod(0o777)


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path.relative_to(folder)), path.lstat().st_size) for path in folder.rglob("*"))


@contextmanager
def _by_mount(place: Path) -> Iterator[dict[str, Any]]:
    with read_only(place):
        yield {}


@contextmanager
def _by_modes(place: Path) -> Iterator[dict[str, Any]]:
    """The folder and everything below it lose their write permission; root would override that."""
    paths = [path for path in (place, *place.rglob("*")) if not path.is_symlink()]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    try:
        for path in reversed(paths):
            path.chmod(modes[path] & ~0o222)
        yield {"prefix": BOUND_BY_MODES} if os.geteuid() == 0 else {}
    finally:
        for path in paths:
            path.chmod(modes[path])


@contextmanager
def _by_user(place: Path) -> Iterator[dict[str, Any]]:
    """The command runs as a user who owns all folders of the lab but this one."""
    for folder in (folder for folder in place.parent.iterdir() if folder.is_dir()):
        owner = 0 if folder == place else NOBODY
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner, follow_symlinks=False)
    place.chmod(0o755)
    yield {"user": NOBODY, "group": NOBODY, "extra_groups": []}


LOCKS: dict[str, Callable[[Path], AbstractContextManager[dict[str, Any]]]] = {
    "a read-only mount": _by_mount,
    "another user": _by_user,
    "modes": _by_modes,
}


def _methods() -> tuple[str, ...]:
    """The ways of making a folder read-only that work here."""
    if os.geteuid() != 0:
        return ("modes",)
    ways = {"a read-only mount": may_mount(), "another user": nobody_can_run(), "modes": modes_bind()}
    return tuple(name for name, works in ways.items() if works)


def _order(tries: int, seed: int) -> list[str]:
    """The cases of all tries: the quick ones in turn, in a drawn order, and a slow one now and then."""
    quick = sorted(CASES.keys() - SLOW)
    random.Random(seed).shuffle(quick)
    slow = sorted(SLOW)
    return [slow[0] if number % 20 == 19 else quick[number % len(quick)] for number in range(tries)]


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Run `tries` commands, each with one folder locked."""
    methods = _methods()
    if not methods:
        return Outcome(0, skipped="this user can neither mount nor start a command as another user")
    first = Lab.with_tiny_model(folder / "lab")
    for name in ("work", "empty"):
        (first.root / name).mkdir()
    write_plan(first.root)
    with Driver(first, folder / "phase") as driver:
        driver.start(first)
        measured = driver.ended()
    exported = first.run("results", "export", str(first.root / "archive"))
    if measured or exported.code:
        return Outcome(0, (f"the results could not be prepared ({exported.tail})",))
    state = _Tries(seed, first, methods)
    for number, name in enumerate(_order(tries, seed)):
        state.hit(number, name)
    return Outcome(tries, tuple(state.failures), hits=dict(state.hits))


ATTACK = Attack(
    name="read-only folders",
    what=(
        "The models, the results, the output folder or the working directory cannot be written, because of a mount, "
        "their modes or their owner: a command that need not write there works, and every other ends with 2 or 5 and "
        "one sentence."
    ),
    full=50,
    short=4,
    run=run,
)
