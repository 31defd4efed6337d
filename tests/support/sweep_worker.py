"""Speaks the worker's protocol and plays a script: `sweep_worker.py JOB SPAWNED_NS`.

openvino is unavailable, coreml crashes, cuda gives a figure that is not a number; cpu works. Each call is logged.
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from kokoro_lab.measure.records.cell import BlockResult, Cell, QuietReading, Repeat, VisitReading
from kokoro_lab.measure.records.identity import PARTS, BlockIdentity
from kokoro_lab.measure.records.readings import ModelReading

for place, job in enumerate(json.loads(Path(sys.argv[1]).read_text())["cells"]):
    cell = Cell.from_dict(job["cell"])
    with Path(os.environ["SWEEP_LOG"]).open("a") as log:
        log.write(cell.id + "\n")
    if cell.provider == "coreml":
        os.abort()
    total_ms = math.nan if cell.provider == "cuda" else 10.0
    repeats = tuple(
        Repeat(i, total_ms, total_ms, 0.5, 0.5, 0.02, 0.0, 1.0, 0.0, 9.0, 0.0, 0.0, 50.0, True)
        for i in range(cell.repeats)
    )
    identity = BlockIdentity(**dict.fromkeys(PARTS, "same"))
    model = ModelReading(cell.model, "5" * 64, "stand-in", "tiny", "fp32", verified="equivalent")
    result = BlockResult("ok", repeats=repeats, durations=(10, 10), identity=identity, model=model)
    if cell.process == "shared":
        result = replace(result, visit=VisitReading(place, 0.01, QuietReading(False)))
    if cell.provider == "openvino":
        result = BlockResult("unavailable", "this onnxruntime has no openvino")
    else:
        tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(12_000) / 24_000)
        np.save(job["audio"], tone.astype(np.float32))
    Path(job["result"]).write_text(json.dumps(result.as_dict()))
