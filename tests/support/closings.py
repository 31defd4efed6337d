"""Engines that are closed at random moments while many threads speak; for the tests and for `make chaos`."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
from numpy.typing import NDArray
from patience import PATIENCE_S

from kokoro_lab.engine.config import EngineConfig
from kokoro_lab.engine.engine import Engine
from kokoro_lab.errors import InferenceError
from kokoro_lab.process.lifetime import CLOSED, CUT_SHORT

TEXTS = tuple(f"This is text {number}. It has parts. {'And one more. ' * (number % 5)}End." for number in range(6))
THREADS = 8


def race(
    config: EngineConfig, *, texts: int, seed: int, timeout_s: float = PATIENCE_S, rounds: int = 1
) -> tuple[int, list[str]]:
    """Speak texts on several threads, whole and streamed, and close the engine at a random moment.

    Returns how many texts were tried, and a sentence for each that neither came out right, nor was refused before it
    began, nor (with a `timeout_s` of 0) was cut short by name.
    """
    with Engine.load(config) as engine:
        right = {text: _spoken(engine, text, whole) for text in TEXTS for whole in (True,)}
        streams = {text: _spoken(engine, text, False) for text in TEXTS}
    tries, failures = 0, []
    chance = random.Random(seed)
    per_round = max(1, texts // rounds)
    for number in range(rounds):
        tries += per_round
        failures += _one(config, per_round, chance.random(), timeout_s, (right, streams), f"seed {seed} round {number}")
    return tries, failures


def _one(
    config: EngineConfig,
    texts: int,
    moment: float,
    timeout_s: float,
    expected: tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]],
    name: str,
) -> list[str]:
    engine = Engine.load(config)
    failures: list[str] = []
    left = list(range(texts))
    lock = threading.Lock()
    began = time.monotonic()
    took: list[float] = []

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                number = left.pop()
            text, whole = TEXTS[number % len(TEXTS)], number % 2 == 0
            start = time.monotonic()
            try:
                samples = _spoken(engine, text, whole)
            except InferenceError as error:
                allowed = {CLOSED, CUT_SHORT} if timeout_s == 0 else {CLOSED}
                if error.message not in allowed:
                    failures.append(f"{name}, text {number}: {error.message}")
                continue
            except Exception as error:
                failures.append(f"{name}, text {number}: {error!r}")
                continue
            took.append(time.monotonic() - start)
            if not np.array_equal(samples, expected[0 if whole else 1][text]):
                failures.append(f"{name}, text {number}: other samples, {len(samples)} of them")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    # A moment within the time that all texts take, judged by the first that is ready.
    while not took and time.monotonic() - began < PATIENCE_S:
        time.sleep(0.001)
    time.sleep(moment * (took[0] if took else 0.0) * texts / THREADS)
    engine.close(timeout_s)
    for thread in threads:
        thread.join(PATIENCE_S)
        if thread.is_alive():
            failures.append(f"{name}: a thread hangs")
    return failures


def _spoken(engine: Engine, text: str, whole: bool) -> NDArray[np.float32]:
    if whole:
        return engine.synthesize(text).samples
    return np.concatenate([chunk.samples for chunk in engine.stream(text)])
