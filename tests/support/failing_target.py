"""A program that does not stand damaged files, so that the fuzzer can be seen to count."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import numpy as np

from kokoro_lab.errors import ModelError


def prepare(folder: Path) -> Path:
    """A file with the number of tries, which survives the process."""
    return folder / "tries"


def attempt(tries: Path, chance: random.Random) -> None:
    """Each try fails in another way; the first, the seventh and the eighth stand."""
    number = len(tries.read_bytes()) if tries.exists() else 0
    tries.write_bytes(bytes(number + 1))
    if number == 1:
        raise ValueError("not one of ours")
    if number == 2:
        os._exit(3)
    if number == 3:
        raise ModelError("no advice")
    if number == 4:
        end = time.process_time() + 2.1
        while time.process_time() < end:
            pass
    if number == 5:
        np.ones(5 << 28, np.uint8)  # 1.25 GiB
    if number == 8:
        time.sleep(600)
    if number == 6:
        raise ModelError("refused; choose another file")
