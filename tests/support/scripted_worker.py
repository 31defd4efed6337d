"""Speaks the protocol of kokoro_lab.measure.worker but plays a script: `scripted_worker.py JOB SPAWNED_NS`.

A cell's text says what to do. Every cell writes a line to the file that SCRIPT_LOG names. In a shared process a cell
that "disturbs" has a reading that contaminates its first block.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kokoro_lab.measure.records.cell import BlockResult, Cell, QuietReading, Repeat, VisitReading
from kokoro_lab.measure.records.identity import PARTS, BlockIdentity


def tone(hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(12_000) / 24_000)).astype(np.float32)


def main() -> None:
    for place, job in enumerate(json.loads(Path(sys.argv[1]).read_text())["cells"]):
        play(job, Cell.from_dict(job["cell"]), place)


def play(job: dict[str, Any], cell: Cell, place: int) -> None:
    with Path(os.environ["SCRIPT_LOG"]).open("a") as log:
        log.write(f"{os.getpid()} {os.getppid()} {cell.id} {cell.text}\n")
    if cell.provider == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    match cell.text.split():
        case ["sleep", seconds]:
            time.sleep(float(seconds))
        case ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["raise"]:
            raise RuntimeError("the dog ate the tensor")
        case ["nothing"]:
            return
        case ["once", flag] if not Path(flag).exists():
            Path(flag).touch()
            raise RuntimeError("the dog ate the tensor")
        case ["garbage"]:
            Path(job["result"]).write_text("{")
            return
    repeats = tuple(
        Repeat(i, 10.0, 10.0, 0.5, 0.5, 0.02, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 50.0, True) for i in range(cell.repeats)
    )
    audio = {"af_wrong": tone(2000.0), "af_silent": np.zeros(12_000, np.float32)}.get(cell.provider, tone(200.0))
    np.save(job["audio"], audio)
    durations = (10, 11) if cell.provider == "af_slow" else (10, 10)
    sums = dict.fromkeys(PARTS, "same")
    if cell.text.startswith("bytes "):  # "bytes PART FILE": the file holds the sum of that part
        _, part, file = cell.text.split()
        sums[part] = Path(file).read_text()
    result = BlockResult("ok", repeats=repeats, durations=durations, identity=BlockIdentity(**sums))
    if cell.process == "shared":
        quiet = QuietReading(cell.text == "disturbs" and place > 0, "other processes used 9.0% of the CPU time")
        result = replace(result, visit=VisitReading(place, 0.5 * (place + 1), quiet))
    Path(job["result"]).write_text(json.dumps(result.as_dict()))


main()
