"""Many runs of mixed lengths in one session: memory stays flat and the samples are those of the first run.

`python -m kokoro_lab.kernels.endure [--runs 2000]`: about 8 minutes at full size on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import psutil

from kokoro_lab.kernels.contestant import feeds, open_graph
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.kernel_rewrite import PRECISIONS, Precision, rewrite_for_kernels, save_apart

__all__ = ["endure"]

LENGTHS = (16, 3, 50, 9, 120, 25, 33)  # tokens
SETTLED = 10  # rounds of all lengths after which memory is read first
MOST_GROWTH = 1.02  # of the resident set, from then to the end
PROGRESS = 200  # runs


def endure(model: Path, precision: Precision, runs: int, *, threads: int = 2) -> dict[str, float | int | str]:
    """Speak the lengths in turn, `runs` times in all: how many runs differed from their first, and the memory in MB."""
    with tempfile.TemporaryDirectory(prefix="kokoro-lab-endure-") as folder:
        path = Path(folder) / "fast.onnx"
        save_apart(rewrite_for_kernels(onnx.load(model), precision), path)
        session = open_graph(str(path), threads, kernels=True)
    process = psutil.Process()
    inputs = {tokens: feeds(tokens) for tokens in LENGTHS}
    first = {tokens: session.run(None, inputs[tokens])[0] for tokens in LENGTHS}
    differing, settled, began = 0, 0, time.monotonic()
    for number in range(1, runs + 1):
        tokens = LENGTHS[number % len(LENGTHS)]
        differing += not np.array_equal(session.run(None, inputs[tokens])[0], first[tokens])
        if number == min(SETTLED * len(LENGTHS), runs // 2):
            settled = process.memory_info().rss
        if number % PROGRESS == 0:
            resident = process.memory_info().rss / 1e6
            print(f"{number} runs, {time.monotonic() - began:.0f} s, {resident:.0f} MB", file=sys.stderr, flush=True)
    last = process.memory_info().rss
    good = differing == 0 and last <= MOST_GROWTH * settled
    return {
        "precision": precision,
        "runs": runs,
        "differing": differing,
        "settled_mb": settled / 1e6,
        "last_mb": last / 1e6,
        "growth": last / settled,
        "state": "met" if good else "missed",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when samples differ or memory grows."""
    parser = argparse.ArgumentParser(description="many runs in one session")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args(arguments)
    if asked.runs < 2:
        parser.error("--runs is at least 2")
    if choose().path is None:
        print(f"no kernels: {choose().reason}", file=sys.stderr)
        return 4
    found = endure(resolve(asked.model).path, asked.precision, asked.runs, threads=asked.threads)
    print(json.dumps(found, indent=1))
    return 0 if found["state"] == "met" else 1


if __name__ == "__main__":
    raise SystemExit(main())
