"""The limits of this machine with the models of a run: peak rates and operation counts, measured once per run.

They are rows of table `verdicts`: of kind "peak" (metric `products_per_s`, one per number of threads) and of kind
"work" (metric `products`, one per model file, by its SHA-256). A bound needs both. Tiny models get none: no claim uses
them.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from kokoro_lab.errors import KokoroLabError
from kokoro_lab.files.reading import decoding
from kokoro_lab.store import Store

__all__ = ["PEAK_METRIC", "WORK_METRIC", "ceiling_rows", "store_ceiling"]

PEAK_METRIC, WORK_METRIC = "products_per_s", "products"
COMMAND = (sys.executable, "-m", "kokoro_lab.measure.ceiling.peak")
TIMEOUT_S = 600.0


def store_ceiling(store: Store, run_id: str) -> int:
    """Measure and store the missing peaks and operation counts of a run; returns the number of rows written.

    Raises:
        KokoroLabError: the probe failed.
    """
    cells = store.cells(run_id)
    own = (cells["architecture"] == "full") & (cells["samples"] > 0) & (cells["environment"] == "")
    wanted = cells[own & (cells["provider"] == "cpu")]
    if wanted.empty:
        return 0
    rows = store.verdicts(run_id)
    known = (
        {details.get("sha256") or str(details.get("threads")) for details in rows["details"]} if len(rows) else set()
    )
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    threads = {int(count) or cores for count in wanted["intra_op_threads"]} | {1, cores}
    models = wanted.drop_duplicates("model_sha256")
    models = models[~models["model_sha256"].isin(known)]
    if models.empty and all(str(count) in known for count in threads):
        return 0
    command = [*COMMAND, ",".join(map(str, sorted(threads))), *sorted(set(models["model"]))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise KokoroLabError(
            f"the peak measurement timed out after {TIMEOUT_S:.0f} s; resume the run when the machine is idle"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise KokoroLabError(
            f"the peak of this machine cannot be measured: {last}; correct the cause and resume the run"
        )
    with decoding("answer of the peak measurement", error=KokoroLabError, advice="resume the run"):
        measured = list(ceiling_rows(run_id, json.loads(done.stdout)))
    return store.store_verdicts(run_id, measured)


def ceiling_rows(run_id: str, measured: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The rows of one run from the probe's document: {"peaks": {threads: rates}, "work": {sha256: {model, work}}}."""
    shared = {
        "run_id": run_id,
        "made_at": datetime.datetime.now(datetime.UTC),
        "minimum_effect": 0.0,
        "margin": 0.0,
        "pairs": 0,
    }
    for threads, rates in measured["peaks"].items():
        words = ", ".join(f"{rate / 1e9:.1f} billion {precision} products/s" for precision, rate in rates.items())
        yield {
            **shared,
            "base_cell": f"threads-{threads}",
            "candidate_cell": f"threads-{threads}",
            "metric": PEAK_METRIC,
            "verdict": "peak",
            "reason": f"{threads} {'thread computes' if int(threads) == 1 else 'threads compute'} at most {words}.",
            "details": {"kind": "peak", "threads": int(threads), "rates": rates, "evidence": "once"},
        }
    for sha256, counted in measured["work"].items():
        yield {
            **shared,
            "base_cell": sha256[:12],
            "candidate_cell": sha256[:12],
            "metric": WORK_METRIC,
            "verdict": "work",
            "reason": f"Multiplications of {counted['model']}, by precision.",
            "details": {"kind": "work", "sha256": sha256, "evidence": "once", **counted},
        }
