"""Forks a process at random moments while its engine works; for the tests and for `make chaos`.

`python -m forking CHILDREN SEED` prints the number of children, and what each that failed did.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.engine.stream import Stream
from kokoro_lab.errors import InferenceError

HANG_S = 240.0  # for a child: far longer than loading the tiny model takes
TEXT = "This is a text. It has parts, and a second sentence. Here is the end of it."
KINDS = ("refused", "status and close", "exits with objects", "own engine", "reads a stream")


@dataclass(frozen=True)
class Trial:
    """How many children are forked, and the seed of the moments."""

    children: int
    seed: int


def in_child(work: Callable[[], object], *, exits: bool = False) -> str:
    """What `work` returns in a forked child, as text; the child runs its whole clean-up when it `exits`."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads is what is tested
        child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.write(writing, str(work()).encode())
            os.close(writing)
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            if exits:
                _finalize()
            os._exit(0)
    os.close(writing)
    try:
        status = _status(child)
    finally:
        with os.fdopen(reading) as stream:
            text = stream.read()
    return text if status == 0 else f"{text} (ended with {status})"


def storm(trial: Trial) -> list[str]:
    """Fork children while an engine speaks, streams, idles and warms up; a sentence for each that failed."""
    chance = random.Random(trial.seed)
    config = EngineConfig(
        model="tiny", warmup="background", release_idle_s=0.001, audio_cache_mb=0.05, prewarm_uses=1, phoneme_cache=4,
        memory_watch_s=0.05, concurrency=2, parallel_segments=2,
    )  # fmt: skip
    failures: list[str] = []
    over = threading.Event()
    with Engine.load(config) as engine:

        def speak() -> None:
            while not over.is_set():
                engine.synthesize(TEXT + str(random.random())[:4])

        def listen() -> None:
            while not over.is_set():
                for _ in engine.stream(TEXT):
                    pass
                time.sleep(0.01)  # long enough for the idle timer

        threads = [threading.Thread(target=work, daemon=True) for work in (speak, speak, listen)]
        for thread in threads:
            thread.start()
        for number in range(trial.children):
            kind = KINDS[number % len(KINDS)]
            time.sleep(chance.random() * 0.1)
            with engine.stream(TEXT) as stream:
                if kind == "reads a stream":
                    next(stream)
                said = in_child(partial(_child, engine, kind, stream), exits=kind == "exits with objects")
            if said != "ok":
                failures.append(f"seed {trial.seed} child {number} ({kind}): {said}")
        over.set()
        for thread in threads:
            thread.join(HANG_S)
    return failures


def _child(engine: Engine, kind: str, stream: Stream) -> str:
    if kind == "own engine":
        with Engine.load(EngineConfig(model="tiny")) as own:
            return "ok" if own.synthesize(TEXT).duration_s > 0 else "silence"
    tries: list[Callable[[], object]] = [
        lambda: engine.synthesize(TEXT),
        lambda: engine.stream(TEXT),
        lambda: engine.pool.primary.run([1, 2, 3], None, 1.0),  # type: ignore[arg-type]
        lambda: engine.pool.run([1, 2, 3], None, 1.0),  # type: ignore[arg-type]
    ]
    if kind == "reads a stream":
        tries.append(lambda: next(stream))
    if kind == "status and close":
        tries += [engine.status, engine.clear_caches, lambda: engine.prewarm([TEXT])]
    for attempt in tries:
        try:
            attempt()
            return "not refused"
        except InferenceError as error:
            if "before a fork" not in error.message:
                return error.message
    stream.close()
    engine.close()
    return "ok"


def _finalize() -> None:
    """End as a child does that returns from its main program: exit functions, destructors, everything."""
    sys.stdout.flush()
    signal.alarm(round(HANG_S))
    raise SystemExit(0)


def _status(child: int) -> int:
    """The exit status of a child, which is killed when it hangs."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    problems = storm(Trial(int(sys.argv[1]), int(sys.argv[2])))
    print(sys.argv[1], "children", *problems, sep="\n")
    sys.exit(len(problems) > 0)
