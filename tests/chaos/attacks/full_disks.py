"""Disks that become full after a random number of bytes, below what commands write to."""

from __future__ import annotations

import io
import random
import resource
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from chaos.attack import Attack, Outcome
from chaos.driver import Driver
from chaos.file_systems import SmallDisk, may_mount, small_disk
from chaos.interrupted_run import InterruptedRun
from chaos.judging import Ended, complaints
from chaos.lab import Lab
from chaos.small_sweep import missing_blocks, write_plan

__all__ = ["ATTACK"]

TEXT = "The river flows past the old mill, and nobody counts the boats. " * 6
FORMATS = ("wav", "flac", "mp3", "ogg")
DISK = 64 << 20
ROUND = (*("say", "build", "driver", "say", "driver"), *("report", "build", "say", "sweep", "driver"))
"""What the tries of ten hit, in this order."""


@dataclass
class _Tries:
    """The labs that the tries share, and what came of them."""

    seed: int
    folder: Path
    first: Lab
    """Has the tiny model and a finished sweep."""
    driver: Driver | None
    """None where only files can be limited."""
    failures: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    audio: dict[str, bytes] = field(default_factory=dict)
    """Form -> what `say` writes on a disk with room."""
    needed: dict[str, int] = field(default_factory=dict)
    """Command -> bytes that it writes on a disk with room."""

    def hit(self, number: int) -> None:
        """One full disk."""
        chance = random.Random(f"{self.seed}:{number}")
        kind = ROUND[number % len(ROUND)]
        if kind == "driver" and self.driver is None:
            kind = "say"
        attempt = {"say": self._say, "build": self._build, "driver": self._driver, "report": self._report}
        lab = Lab.new(self.folder / f"try{number}")
        self.hits[kind] += 1
        if problems := list(attempt.get(kind, self._sweep)(lab, chance)):
            self.failures.append(f"seed {self.seed}, try {number}, {kind}: {'; '.join(problems)}")
        shutil.rmtree(lab.root, ignore_errors=True)

    def _say(self, lab: Lab, chance: random.Random) -> Iterator[str]:
        form = chance.choice(FORMATS)
        whole = self._audio(form)
        _share(self.first.home, lab.home)
        target = lab.out / f"speech.{form}"
        command = ["say", TEXT, "--model", "tiny", "-o", str(target)]
        with self._disk(lab.out) as disk:
            free = chance.randrange(len(whole))
            ended = self._on_full(lab, disk, free, command)
            yield from self._judged(ended, free, {0, 5})
            if (ended.code == 0) != target.exists() or (target.exists() and not _same(target.read_bytes(), whole)):
                size = target.stat().st_size if target.exists() else 0
                yield f"{free} bytes free: exit code {ended.code} with {size} of {len(whole)} bytes of audio"
            yield from self._again(lab, disk, command)
            if not target.exists() or not _same(target.read_bytes(), whole):
                yield "the repeated command wrote other audio"

    def _build(self, lab: Lab, chance: random.Random) -> Iterator[str]:
        whole = (self.first.home / "models" / "tiny.onnx").read_bytes()
        with self._disk(lab.home) as disk:
            free = chance.randrange(len(whole) + 64_000)
            ended = self._on_full(lab, disk, free, ["models", "build", "tiny"])
            yield from self._judged(ended, free, {0, 5})
            built = lab.home / "models" / "tiny.onnx"
            if built.exists() and built.read_bytes() != whole:
                yield f"{free} bytes free: a model of {built.stat().st_size} of {len(whole)} bytes"
            yield from self._again(lab, disk, ["models", "build", "tiny"])

    def _driver(self, lab: Lab, chance: random.Random) -> Iterator[str]:
        """A run that measures until the disk is full, and is resumed when it has room: every block once."""
        assert self.driver is not None
        _share(self.first.home, lab.home)
        with small_disk(lab.results, DISK) as disk:
            free = chance.randrange(self._needed("driver", self._measured_bytes))
            run = InterruptedRun(lab, self.driver, chance)
            disk.leave(free)
            self.driver.start(lab)
            code = self.driver.ended()
            disk.free()
            if code not in (0, 5):
                yield f"{free} bytes free: it ended with {code}: {run.log()}"
            if code == 0:
                self.hits["enough space"] += 1
            run.check()
            run.complete()
            yield from (f"{free} bytes free: {problem}" for problem in run.problems)

    def _sweep(self, lab: Lab, chance: random.Random) -> Iterator[str]:
        _share(self.first.home, lab.home)
        command = ["sweep", str(write_plan(lab.root)), "--run-id", "chaos"]
        with self._disk(lab.results) as disk:
            free = chance.randrange(_bytes_in(self.first.results))
            ended = self._on_full(lab, disk, free, command)
            yield from self._judged(ended, free, {0, 4, 5})
            if disk is not None:
                disk.free()
            if ended.code != 0:
                started = (lab.results / "runs" / "chaos" / "plan.json").exists()
                yield from self._again(lab, disk, [*command, "--resume"] if started else command)
            if missing := missing_blocks(lab):
                yield f"{free} bytes free: {missing}"

    def _report(self, lab: Lab, chance: random.Random) -> Iterator[str]:
        _share(self.first.home, lab.home)
        command = ["report", "--run", "chaos"]
        with self._disk(lab.results) as disk:
            shutil.copytree(self.first.results, lab.results, dirs_exist_ok=True)
            free = chance.randrange(self._needed("report", self._reported_bytes))
            ended = self._on_full(lab, disk, free, command)
            yield from self._judged(ended, free, {0, 5})
            pages = list((lab.results / "reports").glob("chaos/index.html"))
            if any(not page.read_text(errors="replace").rstrip().endswith("</html>") for page in pages):
                yield f"{free} bytes free: half a page"
            yield from self._again(lab, disk, command)

    def _audio(self, form: str) -> bytes:
        if form not in self.audio:
            target = self.first.out / f"speech.{form}"
            self.first.run("say", TEXT, "--model", "tiny", "-o", str(target))
            self.audio[form] = target.read_bytes()
        return self.audio[form]

    def _needed(self, kind: str, measure: Callable[[], int]) -> int:
        if kind not in self.needed:
            self.needed[kind] = max(1, measure())
        return self.needed[kind]

    def _measured_bytes(self) -> int:
        assert self.driver is not None
        lab = Lab.new(self.folder / "measured", models=self.first.home)
        self.driver.start(lab)
        self.driver.ended()
        return _bytes_in(lab.results)

    def _reported_bytes(self) -> int:
        before = _bytes_in(self.first.results)
        lab = Lab.new(self.folder / "reported", models=self.first.home)
        shutil.copytree(self.first.results, lab.results, dirs_exist_ok=True)
        lab.run("report", "--run", "chaos")
        return _bytes_in(lab.results) - before

    def _disk(self, place: Path) -> AbstractContextManager[SmallDisk | None]:
        return small_disk(place, DISK) if self.driver is not None else nullcontext(None)

    def _on_full(self, lab: Lab, disk: SmallDisk | None, free: int, command: list[str]) -> Ended:
        """Run a command while so many bytes are free or, where nothing can be mounted, while no file may be larger."""
        if disk is not None:
            disk.leave(free)
            return lab.run(*command)
        return lab.run(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (free, free)))

    def _judged(self, ended: Ended, free: int, codes: set[int]) -> Iterator[str]:
        if ended.code == 0:
            self.hits["enough space"] += 1
        for problem in complaints(ended, codes):
            yield f"{free} bytes free: {problem}"

    def _again(self, lab: Lab, disk: SmallDisk | None, command: list[str]) -> Iterator[str]:
        """With room, the same command succeeds and leaves no litter."""
        if disk is not None:
            disk.free()
        for problem in [*complaints(lab.run(*command), {0}), *lab.orphans(), *lab.litter()]:
            yield f"then, with room: {problem}"


def _same(audio: bytes, whole: bytes) -> bool:
    """Whether two files have the same samples; each Ogg file has a random serial number."""
    if audio == whole:
        return True
    try:
        (one, rate), (other, other_rate) = (soundfile.read(io.BytesIO(data)) for data in (audio, whole))
    except soundfile.LibsndfileError:
        return False
    return bool(rate == other_rate and np.array_equal(one, other))


def _share(home: Path, place: Path) -> None:
    """The models folder of another lab under a second name."""
    place.rmdir()
    place.symlink_to(home)


def _bytes_in(folder: Path) -> int:
    """Space that the files of a folder take, in whole pages."""
    sizes = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return sum((size + 4095) // 4096 * 4096 for size in sizes)


def run(tries: int, seed: int, folder: Path) -> Outcome:
    """Fill a disk `tries` times: a small file system where one can be mounted, otherwise by a limit on each file."""
    first = Lab.with_tiny_model(folder / "first")
    if {"report", "sweep"} & {ROUND[number % len(ROUND)] for number in range(tries)}:
        ended = first.run("sweep", str(write_plan(first.root)), "--run-id", "chaos")
        if ended.code != 0:
            return Outcome(0, (f"the sweep that the reports are made from failed ({ended.tail})",))
    if not may_mount():
        state = _Tries(seed, folder, first, None)
        state.hits["by a limit on each file"] = tries
        for number in range(tries):
            state.hit(number)
    else:
        with Driver(first, folder / "phase") as driver:
            state = _Tries(seed, folder, first, driver)
            for number in range(tries):
                state.hit(number)
    return Outcome(tries, tuple(state.failures), hits=dict(state.hits))


ATTACK = Attack(
    name="full disks",
    what=(
        "The disk below the audio, the models or the results is full after a random number of bytes: `say`, "
        "`models build`, a sweep and a report end with 5 and one sentence and leave nothing half-made, and the same "
        "command completes when there is room."
    ),
    full=50,
    short=4,
    run=run,
)
