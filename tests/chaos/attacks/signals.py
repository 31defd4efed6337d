"""SIGINT, SIGTERM and SIGHUP to commands at random moments."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos.attack import Attack, Outcome
from chaos.driver import Driver
from chaos.interrupted_run import InterruptedRun
from chaos.judging import Ended, complaints
from chaos.lab import TIME_LIMIT_S, Lab, wait_until
from chaos.small_sweep import missing_blocks, write_plan

__all__ = ["ATTACK"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TEXT = "The river flows past the old mill, and nobody counts the boats. " * 6
ROUND = (*("sweep", "say", "build", "driver"), *("stream", "say", "build", "driver", "stream", "driver"))
"""What the tries of ten hit, in this order: a sweep takes longest, so it has the smallest share."""

SWEEP_START_S = 3.0
"""A sweep gets its signal at most about that long after its start or, mostly, after its notebook began to measure."""

RESUME = re.compile(r"(kokoro-lab sweep .*--resume[^;`\n]*)")


@dataclass
class _Tries:
    """The labs that the tries share, and what came of them."""

    seed: int
    folder: Path
    first: Lab
    """Has the tiny model."""
    driver: Driver
    failures: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    durations: dict[str, float] = field(default_factory=dict)
    """Command -> seconds that it takes undisturbed."""
    audio: dict[str, bytes] = field(default_factory=dict)
    """Command -> the audio that it writes undisturbed."""

    def hit(self, number: int) -> None:
        """One signal to one command."""
        chance = random.Random(f"{self.seed}:{number}")
        kind, which = ROUND[number % len(ROUND)], SIGNALS[number % len(SIGNALS)]
        name = f"seed {self.seed}, try {number}, {which.name} to {kind}"
        self.hits[which.name] += 1
        attempt = {"sweep": self._sweep, "build": self._build, "driver": self._driver}.get(kind, self._say)
        if problems := list(attempt(number, chance, which, kind)):
            self.failures.append(f"{name}: {'; '.join(problems)}")

    def _say(self, number: int, chance: random.Random, which: signal.Signals, kind: str) -> Iterator[str]:
        command = ["say", TEXT, "--model", "tiny", *(["--stream"] if kind == "stream" else []), "-o"]
        self._undisturbed(kind, lambda: self.first.run(*command, f"{kind}.wav", cwd=self.first.out))
        if kind not in self.audio:
            self.audio[kind] = (self.first.out / f"{kind}.wav").read_bytes()
        lab = Lab(self.folder / f"try{number}")
        for folder in (lab.results, lab.out, lab.tmp):
            folder.mkdir(parents=True)
        lab.home.symlink_to(self.first.home)
        target = lab.out / "speech.wav"
        ended = yield from self._signalled(lab, [*command, str(target)], chance, which, kind, target)
        if target.exists() and target.read_bytes() != self.audio[kind]:
            yield f"the audio has {target.stat().st_size} of {len(self.audio[kind])} bytes"
        if ended.code == 0 and not target.exists():
            yield "it ended with 0 and wrote nothing"
        yield from self._again(lab, [*command, str(target)])
        if target.read_bytes() != self.audio[kind]:
            yield "the command says something else when it is repeated"

    def _build(self, number: int, chance: random.Random, which: signal.Signals, kind: str) -> Iterator[str]:
        self._undisturbed(kind, lambda: Lab.new(self.folder / "build").run("models", "build", "tiny"))
        lab = Lab.new(self.folder / f"try{number}")
        built, whole = lab.home / "models" / "tiny.onnx", self.first.home / "models" / "tiny.onnx"
        yield from self._signalled(lab, ["models", "build", "tiny"], chance, which, kind, built)
        if built.exists() and built.read_bytes() != whole.read_bytes():
            yield f"the model has {built.stat().st_size} of {whole.stat().st_size} bytes"
        yield from self._again(lab, ["models", "build", "tiny"])

    def _driver(self, number: int, chance: random.Random, which: signal.Signals, kind: str) -> Iterator[str]:
        """A process that measures and that is no command: it dies of SIGTERM and SIGHUP, its worker with it."""
        lab = Lab.new(self.folder / f"try{number}", models=self.first.home)
        run = InterruptedRun(lab, self.driver, chance)
        process = run.start()
        self.hits[f"driver {self.driver.phase}"] += 1
        with suppress(ProcessLookupError):
            os.kill(process, which)
        code = self.driver.ended()
        if code not in (0, 128 + which, -which):
            yield f"it ended with {code}: {run.log()}"
        run.check()
        run.complete()
        yield from run.problems

    def _sweep(self, number: int, chance: random.Random, which: signal.Signals, kind: str) -> Iterator[str]:
        lab = Lab.new(self.folder / f"try{number}", models=self.first.home)
        command = ["sweep", str(write_plan(lab.root)), "--run-id", "chaos"]
        ended = yield from self._signalled(lab, command, chance, which, kind)
        if ended.code == 0:
            return
        if not (lab.results / "runs" / "chaos" / "plan.json").exists():
            self.hits["sweep before its run exists"] += 1
            return
        resume = RESUME.search(" ".join(ended.stderr.splitlines()))
        if resume is None:
            yield f"no command that resumes ({ended.tail})"
            again = [*command, "--resume"]
        else:
            again = shlex.split(resume[1].rstrip(". "))[1:]
        yield from self._again(lab, again)
        if missing := missing_blocks(lab):
            yield missing

    def _undisturbed(self, kind: str, run: Callable[[], Ended]) -> None:
        """Run a command once without a signal: its duration, and whether it handles signals at all."""
        if kind in self.durations:
            return
        began = time.monotonic()
        ended = run()
        self.durations[kind] = time.monotonic() - began
        self.failures += [f"undisturbed {kind}: {problem}" for problem in complaints(ended, {0})]

    def _signalled(
        self,
        lab: Lab,
        command: list[str],
        chance: random.Random,
        which: signal.Signals,
        kind: str,
        product: Path | None = None,
    ) -> Generator[str, None, Ended]:
        """Run a command, send it a signal at a random moment, and judge its end; returns that.

        A command that has made its product may end without a sentence: while the interpreter exits, and no longer
        handles signals.
        """
        moment = chance.uniform(0, 1.1 * self.durations.get(kind, SWEEP_START_S))
        whole_group = chance.random() < 0.5  # as a terminal does, or as a supervisor does
        process = lab.start(*command)
        if kind == "sweep" and chance.random() < 0.7:
            started = lab.results / "runs" / "chaos" / "listen.progress.jsonl"
            wait_until(lambda: started.exists() or process.poll() is not None, TIME_LIMIT_S)
            self.hits["sweep while it measures"] += 1
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        ready = _handles(process.pid, signal.SIGTERM)
        if process.poll() is None:
            with suppress(ProcessLookupError):
                (os.killpg if whole_group else os.kill)(process.pid, which)
        else:
            self.hits["after the end"] += 1
        ended = lab.finish(process)
        if not ready and ended.code == 128 + which:
            self.hits["before the program handles signals"] += 1  # Python's own default: no sentence
        elif process.returncode == -which and product is not None and product.exists():
            self.hits["after the work"] += 1
        else:
            for problem in complaints(ended, {0, 128 + which}):
                yield f"after {moment:.2f} s: {problem}"
        for problem in lab.orphans(25):
            yield f"after {moment:.2f} s: {problem}"
        return ended

    def _again(self, lab: Lab, command: list[str]) -> Iterator[str]:
        """The same command, undisturbed, succeeds and leaves no litter."""
        for problem in [*complaints(lab.run(*command), {0}), *lab.orphans(), *lab.litter()]:
            yield f"then {shlex.join(command)[-60:]}: {problem}"


def _handles(process: int, which: signal.Signals) -> bool:
    """Whether a process has a handler for the signal; true where that cannot be seen."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return not Path("/proc/self/status").exists()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
    return bool(caught >> (which - 1) & 1)


def _handles_signals(lab: Lab) -> bool:
    """Whether a command handles SIGTERM at any time: where none does, every signal would count as too early."""
    process = lab.start("say", TEXT, "--model", "tiny", "-o", "handled.wav", cwd=lab.out)
    deadline, handles = time.monotonic() + TIME_LIMIT_S, False
    while process.poll() is None and not handles and time.monotonic() < deadline:
        handles = _handles(process.pid, signal.SIGTERM)
        time.sleep(0.005)
    lab.finish(process)
    return handles


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Send `tries` signals."""
    first = Lab.with_tiny_model(folder / "first")
    with Driver(first, folder / "phase") as driver:
        state = _Tries(seed, folder, first, driver)
        if not _handles_signals(first):
            state.failures.append("no command handles SIGTERM")
        for number in range(tries):
            state.hit(number)
    return Outcome(tries, tuple(state.failures), hits=dict(state.hits))


ATTACK = Attack(
    name="signals",
    what=(
        "SIGINT, SIGTERM or SIGHUP reaches `say`, `models build`, a sweep or a measuring process at a random moment: "
        "it ends with 130, 143 or 129 and one sentence, leaves no process and nothing half-made, and can be repeated; "
        "a sweep prints the command that resumes it, and that command completes the run."
    ),
    full=100,
    short=4,
    run=run,
)
