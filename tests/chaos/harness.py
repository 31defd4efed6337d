"""Find the attacks, run each in a process of its own, and count."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import pkgutil
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import chaos.attacks
from chaos.attack import Attack, Outcome
from chaos.lab import ROOT, end_all

# Attacks import the package and helpers of the tests, from wherever the harness is started.
sys.path += [str(folder) for folder in (ROOT, ROOT / "tests" / "support") if str(folder) not in sys.path]

__all__ = ["CHILD", "Form", "Report", "Result", "child", "found", "option", "run_all"]

CHILD = "--one"
LIMIT_S = {True: 600.0, False: 3000.0}
"""Short or not -> seconds after which an attack is ended, and counted as one that failed."""

SHOWN_FAILURES = 20
"""Failures of an attack that are printed; all of them are kept."""


@dataclass(frozen=True)
class Form:
    """How much is tried."""

    short: bool = False
    """A few tries of each attack."""
    tries: int | None = None
    """Tries of each attack, instead of its own number."""


@dataclass(frozen=True)
class Result:
    """What came of one attack."""

    name: str
    what: str
    planned: int
    tries: int
    failures: tuple[str, ...]
    skipped: str
    hits: Mapping[str, int]
    seconds: float

    @property
    def stood(self) -> bool:
        """Whether the attack ran, with at least one try, and nothing failed; a skipped attack stands."""
        return bool(self.skipped) or (self.tries > 0 and not self.failures)


@dataclass(frozen=True)
class Report:
    """All results, and where and when they were made."""

    results: tuple[Result, ...]
    short: bool
    seed: int
    seconds: float = 0.0
    commit: str = ""
    changed: bool = False
    """Whether files of the checkout differed from the commit."""
    date: str = ""
    machine: Mapping[str, str] = field(default_factory=dict)

    @property
    def stood(self) -> bool:
        """Whether the program stood all attacks."""
        return bool(self.results) and all(result.stood for result in self.results)

    def table(self) -> str:
        """The table as text, and below it every failure with what is needed to repeat it."""
        lines = [f"{'attack':<24}{'tries':>7}{'failures':>10}{'seconds':>9}  notes"]
        for result in self.results:
            notes = f"skipped: {result.skipped}" if result.skipped else _counts(result.hits)
            count = f"{len(result.failures):>10}"
            lines.append(f"{result.name:<24}{result.tries:>7}{count}{result.seconds:>9.0f}  {notes}".rstrip())
        failures = sum(len(result.failures) for result in self.results)
        tries = sum(result.tries for result in self.results)
        lines.append(f"{'all':<24}{tries:>7}{failures:>10}{self.seconds:>9.0f}")
        for result in self.results:
            for failure in result.failures[:SHOWN_FAILURES]:
                lines.append(f"FAILED {result.name} (--only {option(result.name)} --seed {self.seed}): {failure}")
            if len(result.failures) > SHOWN_FAILURES:
                lines.append(f"... and {len(result.failures) - SHOWN_FAILURES} more failures of {result.name}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {**asdict(self), "stood": self.stood}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Report:
        """The report in a document of `as_dict`."""
        values = {name: value for name, value in document.items() if name != "stood"}
        results = [Result(**{**item, "failures": tuple(item["failures"])}) for item in values.pop("results")]
        return cls(results=tuple(results), **values)


def found(package: ModuleType = chaos.attacks) -> dict[str, str]:
    """Name of every attack -> its module, for all modules of the package.

    Raises:
        ValueError: a module has no attack, or two attacks have the same name.
    """
    names: dict[str, str] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        full = f"{package.__name__}.{module}"
        attacks = list(_attacks(full))
        if not attacks:
            raise ValueError(f"{full} has neither ATTACK nor ATTACKS")
        for attack in attacks:
            if attack.name in names:
                raise ValueError(f"{full} and {names[attack.name]} both have an attack {attack.name!r}")
            names[attack.name] = full
    return names


def option(name: str) -> str:
    """An attack's name as the command line takes it."""
    return name.replace(" ", "-").lower()


def _attacks(module: str) -> Iterator[Attack]:
    loaded = importlib.import_module(module)
    if hasattr(loaded, "ATTACK"):
        yield loaded.ATTACK
    yield from getattr(loaded, "ATTACKS", ())


def run_all(
    names: Sequence[str],
    form: Form,
    *,
    seed: int,
    kept: Path | None = None,
    jobs: int = 1,
    package: ModuleType = chaos.attacks,
) -> Report:
    """Run attacks, `jobs` of them at a time; the report is kept in a file whenever one has ended."""
    modules, began = found(package), time.monotonic()
    results: dict[str, Result] = {}
    report = Report((), form.short, seed)
    processes: list[subprocess.Popen[bytes]] = []
    with ThreadPoolExecutor(jobs) as pool, _ended_with_us(pool, processes):
        running = {pool.submit(_run, name, modules[name], form, seed, processes) for name in names}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            results |= {future.result().name: future.result() for future in ended}
            report = Report(
                tuple(results[name] for name in names if name in results),
                form.short,
                seed,
                seconds=time.monotonic() - began,
                commit=_git("rev-parse", "--short=12", "HEAD"),
                changed=bool(_git("status", "--porcelain", "--untracked-files=no")),
                date=datetime.datetime.now(datetime.UTC).date().isoformat(),
                machine=_machine(),
            )
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return report


@contextmanager
def _ended_with_us(pool: ThreadPoolExecutor, processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """After Ctrl-C no attack starts, and those that run are ended; their threads then clean up."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        raise


def _run(name: str, module: str, form: Form, seed: int, processes: list[subprocess.Popen[bytes]]) -> Result:
    """Run one attack in a process of its own, which joins `processes`."""
    attack = next(attack for attack in _attacks(module) if attack.name == name)
    tries = form.tries or (attack.short if form.short else attack.full)
    print(f"{name}: {tries:,} tries", file=sys.stderr, flush=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)  # commands of another user find their way
    try:
        process = _start([module, name, str(tries), str(seed), str(folder)], folder)
        processes.append(process)
        outcome = _outcome(process, folder, LIMIT_S[form.short])
    finally:
        _remove(folder)
    result = Result(
        name,
        attack.what,
        tries,
        outcome.tries,
        outcome.failures,
        outcome.skipped,
        outcome.hits,
        time.monotonic() - began,
    )
    ended = f"skipped, {result.skipped}" if result.skipped else f"{len(result.failures)} of {result.tries:,} failed"
    print("\n  ".join([f"{name}: {ended} ({result.seconds:.0f} s)", *result.failures[:3]]), file=sys.stderr, flush=True)
    return result


def _start(arguments: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    (folder / "work").mkdir()
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-m", "chaos", CHILD, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _outcome(process: subprocess.Popen[bytes], folder: Path, limit_s: float) -> Outcome:
    """What the process of an attack wrote; one that ends without an outcome has failed."""
    try:
        process.wait(limit_s)
        problem = f"the attack ended with code {process.returncode} and no outcome"
    except subprocess.TimeoutExpired:
        problem = f"the attack was ended after {limit_s:g} s"
    finally:
        _end(process, folder)
    try:
        given = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Outcome(0, (problem,))
    return Outcome(given["tries"], tuple(given["failures"]), given["skipped"], given["hits"])


def child(arguments: Sequence[str]) -> int:
    """Run the attack that `_run` names, and write its outcome."""
    module, name, tries, seed, folder = arguments
    attack = next(attack for attack in _attacks(module) if attack.name == name)
    outcome = attack.run(int(tries), int(seed), Path(folder) / "work")
    answer = Path(folder) / "outcome.json"
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    part.replace(answer)
    return 0


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End what is left of an attack: its session, and the processes of its labs."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_all(folder)


def _remove(folder: Path) -> None:
    """Remove an attack's folder; file systems that it left mounted there first."""
    mounts = Path("/proc/mounts")
    if mounts.exists():
        for line in reversed(mounts.read_text().splitlines()):
            if (place := line.split()[1]).startswith(str(folder)):
                subprocess.run(["umount", "--lazy", place], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _counts(hits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(hits.items(), key=lambda hit: -hit[1]))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _machine() -> dict[str, str]:
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
