"""Real A/A trials: one configuration against itself, over and over. How noisy the machine is, and who is fooled by it.

    python -m kokoro_lab.measure.aatrials --model tiny --trials 100 --out tests/measure/machine_noise.json

Writes the pooled block noise, the parameter of the simulations, and prints how many trials were taken for an effect.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kokoro_lab.measure.cell import Block, Cell
from kokoro_lab.measure.fingerprint import machine
from kokoro_lab.measure.noise import pooled_sd
from kokoro_lab.measure.sampling import sample
from kokoro_lab.measure.statistics import Comparison, Pairing, block_value, compare, pair_up

__all__ = ["Trials", "judge_trials", "main"]

TEXT = "Sixty-one characters, the short preset's length, are in here."
PAIRS = 6
"""Pairs a trial: the fewest with which a verdict is possible."""


@dataclass(frozen=True)
class Trials:
    """What came of the trials."""

    comparisons: tuple[Comparison, ...]
    block_sd: float
    """Pooled standard deviation of log block values."""
    degrees: int
    block_s: float
    """Mean wall time of a block."""
    left_out: int
    """Rounds without a clean pair."""

    @property
    def wrong(self) -> int:
        """Trials that were called faster or slower."""
        return sum(comparison.verdict in ("faster", "slower") for comparison in self.comparisons)


def judge_trials(blocks: Sequence[Block], *, pairs: int = PAIRS) -> Trials:
    """Cut a long A/A run into trials of `pairs` consecutive pairs each and judge each alone.

    `blocks`: those of two cells that differ in their replica number alone. Raises ValueError for any other number.
    """
    cells = sorted({block.cell for block in blocks}, key=lambda cell: cell.replica)
    if len(cells) != 2:
        raise ValueError(f"A/A trials need the blocks of two cells; got {len(cells)}.")
    sides = [[value for block in blocks if block.cell == cell and (value := block_value(block))] for cell in cells]
    made = pair_up(sides[0], sides[1])
    trials = [
        compare(Pairing(made.pairs[start : start + pairs])) for start in range(0, len(made.pairs) - pairs + 1, pairs)
    ]
    # Within trials, for a machine's mood changes over hours, and no comparison is made over those.
    spread = {
        f"{start} {side}": [getattr(pair, side) for pair in made.pairs[start : start + pairs]]
        for start in range(0, len(made.pairs), pairs)
        for side in ("base", "candidate")
    }
    sd, degrees = pooled_sd(spread)
    wall = sum(block.wall_s for block in blocks) / len(blocks)
    return Trials(tuple(trials), sd, degrees, wall, sum(made.left_out.values()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials; 0, or 1 when more than 10 of 100 were wrong, 3 when none was decided."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where to write the noise, as JSON")
    options = parser.parse_args(arguments)
    cells = [
        Cell(options.model, TEXT, repeats=options.repeats, replica=replica, reference=replica == 0)
        for replica in range(2)
    ]
    with tempfile.TemporaryDirectory(prefix="kokoro-lab-aa-") as folder:
        run = sample(cells, blocks=options.trials * PAIRS, seed=options.seed, run_dir=Path(folder))
        trials = judge_trials(list(_shown(run)))
    print(
        f"{trials.wrong} of {len(trials.comparisons)} A/A trials were taken for an effect; block noise "
        f"{trials.block_sd:.2%} ({trials.degrees} degrees of freedom), {trials.block_s:.1f} s a block, "
        f"{trials.left_out} rounds left out."
    )
    if not trials.comparisons:
        return 3
    if options.out is not None:
        noise = {
            "about": "block noise measured by python -m kokoro_lab.measure.aatrials",
            "block_sd": round(trials.block_sd, 5),
            "degrees": trials.degrees,
            "block_s": round(trials.block_s, 2),
            "model": options.model,
            "machine": machine().sha,
        }
        options.out.write_text(json.dumps(noise, indent=2) + "\n")
    return 1 if trials.wrong > 0.1 * len(trials.comparisons) else 0


def _shown(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, counted on standard error; Ctrl-C ends the run and keeps what there is."""
    with contextlib.suppress(KeyboardInterrupt):
        for number, block in enumerate(blocks, 1):
            print(f"\rblock {number}", end="", file=sys.stderr, flush=True)
            yield block
    print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
