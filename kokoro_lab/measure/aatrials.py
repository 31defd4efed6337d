"""Real A/A trials: one configuration against itself, over and over. How noisy the machine is, and who is fooled by it.

A trial compares two replicas of one cell by the pairs of six rounds. The replicas stand in a ring and each is compared
with the next one: a block then serves two trials, once on each side, which halves the time; with two replicas every
trial has its own blocks. The same blocks give the block noise, the parameter of the simulations.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.fingerprint import machine
from kokoro_lab.measure.journal import Journal
from kokoro_lab.measure.noise import pooled_sd
from kokoro_lab.measure.sampling import Event, sample
from kokoro_lab.measure.statistics import BlockValue, Comparison, Pairing, block_value, compare, pair_up

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["PAIRS", "REPLICAS", "Trials", "judge_trials", "measure_trials", "write_noise"]

TEXT = "Hello world!"
PAIRS = 6
"""Pairs a trial: the fewest with which a verdict is possible."""
REPLICAS = 5
REPEATS = 5
WARMUP_CAP = 6


@dataclass(frozen=True)
class Trials:
    """What came of the trials."""

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
        """Trials that were called faster or slower."""
        return sum(comparison.verdict in ("faster", "slower") for comparison in self.comparisons)


def judge_trials(blocks: Sequence[Block], *, pairs: int = PAIRS) -> Trials:
    """Cut an A/A run into trials of `pairs` consecutive pairs of neighbouring replicas, and judge each alone.

    `blocks`: those of cells that differ in their replica number alone. Raises ValueError for fewer than two cells.
    """
    cells = sorted({block.cell for block in blocks}, key=lambda cell: cell.replica)
    if len(cells) < 2:
        raise ValueError(f"A/A trials need the blocks of two cells or more; got {len(cells)}.")
    values: dict[Cell, list[BlockValue]] = {cell: [] for cell in cells}
    for block in blocks:
        if value := block_value(block):
            values[block.cell].append(value)
    edges = list(zip(cells, cells[1:] + cells[:1], strict=True))[: len(cells) if len(cells) > 2 else 1]
    trials: list[Comparison] = []
    left_out = 0
    for base, candidate in edges:
        made = pair_up(values[base], values[candidate])
        left_out += sum(made.left_out.values())
        starts = range(0, len(made.pairs) - pairs + 1, pairs)
        trials += [compare(Pairing(made.pairs[start : start + pairs])) for start in starts]
    # Within stretches as long as a trial: a machine's mood changes over hours, and no comparison is made over those.
    spread: dict[str, list[float]] = {}
    for cell, found in values.items():
        clean = [value.value for value in sorted(found, key=lambda value: value.round) if not value.contaminated]
        spread |= {f"{cell.id} {start}": clean[start : start + pairs] for start in range(0, len(clean), pairs)}
    sd, degrees = pooled_sd(spread)
    wall = sum(block.wall_s for block in blocks) / len(blocks)
    return Trials(tuple(trials), sd, degrees, wall, left_out, len(blocks))


def measure_trials(
    folder: Path,
    *,
    model: str = "tiny",
    trials: int = 100,
    replicas: int = REPLICAS,
    seed: int = 1,
    budget_s: float | None = None,
    retries: int = 1,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Trials:
    """Measure until there are so many trials, or the budget is spent; `folder` keeps the blocks, and is continued."""
    cells = [
        Cell(model, TEXT, repeats=REPEATS, warmup_cap=WARMUP_CAP, replica=replica, reference=replica == 0)
        for replica in range(replicas)
    ]
    journal = Journal(folder / "blocks.jsonl")
    blocks = journal.read({cell.id for cell in cells})
    rounds = PAIRS * math.ceil(trials / (replicas if replicas > 2 else 1))
    budget = None if budget_s is None else max(0.0, budget_s)

    def enough(behind: int) -> str | None:
        if behind < rounds or len(judge_trials(blocks).comparisons) < trials:
            return None
        return f"{trials} trials are there."

    source: Iterator[Block] = sample(
        cells,
        blocks=2 * rounds,  # what is contaminated is made up for
        seed=seed,
        run_dir=folder,
        done={block.key for block in blocks},
        contaminated={block.key for block in blocks if block.quiet.contaminated},
        budget_s=budget,
        on_event=on_event,
        enough=enough,
        retries=retries,
    )
    with contextlib.closing(cast("Generator[Block]", source)):
        for block in source:
            journal.append(block)
            blocks.append(block)
    return judge_trials(blocks)


def write_noise(path: Path, trials: Trials, model: str) -> None:
    """The parameter of the simulations, as JSON."""
    noise = {
        "about": "block noise measured by python -m kokoro_lab.commands.proofs aa",
        "block_sd": round(trials.block_sd, 5),
        "degrees": trials.degrees,
        "block_s": round(trials.block_s, 2),
        "model": model,
        "machine": machine().sha,
    }
    path.write_text(json.dumps(noise, indent=2) + "\n")
