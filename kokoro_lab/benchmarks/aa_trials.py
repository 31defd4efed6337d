"""A/A trials: compare one configuration with itself many times, to measure the machine's noise and the false verdicts.

A trial compares two replicas of one cell by the pairs of six rounds. The replicas form a ring, and each is compared
with its successor: a block then serves two trials, once on each side, which halves the time; with two replicas every
trial has its own blocks. The same blocks give the block noise, the parameter of the simulations.

With shared processes the replicas are measured in two visits of different sizes, of one model under two names: trials
then compare two cells of one process, and cells of two processes in which different numbers of cells come before them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kokoro_lab.files.writing import write_text
from kokoro_lab.measure.machine.fingerprint import machine
from kokoro_lab.measure.records.cell import Block, Cell
from kokoro_lab.measure.statistics.comparison import Comparison, Pairing, compare, pair_up
from kokoro_lab.measure.statistics.noise import pooled_sd
from kokoro_lab.measure.statistics.same_bytes import values_by_cell
from kokoro_lab.models.catalog import resolve
from kokoro_lab.sweeps.cell_job import CellJob, measure_cells
from kokoro_lab.sweeps.job import PlannedCell
from kokoro_lab.sweeps.progress import Listener
from kokoro_lab.units import LONGEST_S

__all__ = ["PAIRS", "REPLICAS", "AATrials", "judge_trials", "measure_trials", "write_noise"]

TEXT = "Hello world!"
PAIRS = 6
"""Pairs per trial: the fewest with which a verdict is possible."""
REPLICAS = 5
REPEATS = 5
WARMUP_CAP = 6
LEAST_BUDGET_S = 0.1


@dataclass(frozen=True)
class AATrials:
    """Verdicts and noise of the trials."""

    comparisons: tuple[Comparison, ...]
    block_sd: float
    """Pooled standard deviation of log block values; NaN without two blocks of a cell."""
    degrees: int
    block_s: float
    """Mean wall time of a block."""
    left_out: int
    """Rounds without a clean pair."""
    blocks: int = 0

    @property
    def wrong(self) -> int:
        """Trials with the verdict faster or slower."""
        return sum(comparison.verdict in ("faster", "slower") for comparison in self.comparisons)


def judge_trials(blocks: Sequence[Block], *, pairs: int = PAIRS) -> AATrials:
    """Split an A/A run into trials of `pairs` consecutive pairs of neighboring replicas, and judge each alone.

    `blocks`: blocks of cells that differ only in their replica number. Raises ValueError for fewer than two cells.
    """
    cells = sorted({block.cell for block in blocks}, key=lambda cell: cell.replica)
    if len(cells) < 2:
        raise ValueError(f"the number of cells is {len(cells)}; A/A trials need at least two")
    values = values_by_cell(blocks)
    edges = list(zip(cells, cells[1:] + cells[:1], strict=True))[: len(cells) if len(cells) > 2 else 1]
    trials: list[Comparison] = []
    left_out = 0
    for base, candidate in edges:
        pairing = pair_up(values[base], values[candidate])
        left_out += sum(pairing.left_out.values())
        starts = range(0, len(pairing.pairs) - pairs + 1, pairs)
        trials += [compare(Pairing(pairing.pairs[start : start + pairs])) for start in starts]
    # Within stretches as long as a trial: a machine drifts over hours, and no comparison spans those.
    spread: dict[str, list[float]] = {}
    for cell, series in values.items():
        clean = [value.value for value in sorted(series, key=lambda value: value.round) if not value.contaminated]
        spread |= {f"{cell.id} {start}": clean[start : start + pairs] for start in range(0, len(clean), pairs)}
    sd, degrees = pooled_sd(spread)
    wall = sum(block.wall_s for block in blocks) / len(blocks)
    return AATrials(tuple(trials), sd, degrees, wall, left_out, len(blocks))


def measure_trials(
    folder: Path,
    *,
    model: str = "tiny",
    trials: int = 100,
    replicas: int = REPLICAS,
    budget_s: float = LONGEST_S,
    listener: Listener | None = None,
    shared: bool = False,
) -> AATrials:
    """Measure until there are enough trials or the time limit is reached; results already in `folder` are continued.

    `shared`: measure the replicas in processes that they share.

    Contaminated pairs are replaced by further rounds, a trial at a time, up to twice the planned rounds.
    """
    ends = time.monotonic() + budget_s
    rounds = PAIRS * math.ceil(trials / (replicas if replicas > 2 else 1))
    for planned in range(rounds, 2 * rounds + 1, PAIRS):
        left_s = max(LEAST_BUDGET_S, ends - time.monotonic())
        measured = judge_trials(measure_cells(_job(folder, _cells(model, replicas, shared), planned, left_s), listener))
        if len(measured.comparisons) >= trials or time.monotonic() >= ends:
            break
    return measured


def _cells(model: str, replicas: int, shared: bool) -> list[Cell]:
    cells = [
        Cell(model, TEXT, repeats=REPEATS, warmup_cap=WARMUP_CAP, replica=replica, reference=replica == 0)
        for replica in range(replicas)
    ]
    if not shared:
        return cells
    names = (model, str(resolve(model).path))
    return [replace(cell, model=names[2 * cell.replica >= replicas + 1], process="shared") for cell in cells]


def _job(folder: Path, cells: Sequence[Cell], rounds: int, budget_s: float) -> CellJob:
    return CellJob(
        run_id="aa-shared" if cells[0].process == "shared" else "aa",
        notebook="self_test",
        plan="self-test",
        cells=tuple(PlannedCell(cell, rounds) for cell in cells),
        budget_s=budget_s,
        order_seed=1,
        results=folder,
    )


def write_noise(path: Path, trials: AATrials, model: str) -> None:
    """Write the noise, the parameter of the simulations, as JSON."""
    noise = {
        "about": "block noise measured by kokoro-lab bench self-test aa",
        "block_sd": round(trials.block_sd, 5),
        "degrees": trials.degrees,
        "block_s": round(trials.block_s, 2),
        "model": model,
        "machine": machine().sha,
    }
    write_text(path, json.dumps(noise, indent=2) + "\n")
