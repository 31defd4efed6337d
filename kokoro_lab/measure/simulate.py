"""Trials with a known truth: what the statistics are proved on, and what a plan may be tried out on before it is run.

A block's logarithm is the sum of a drift that all cells of a round share, an effect of its process (a scaled Student t,
for some processes are simply unlucky), and the median of its repeats, some of which something else on the machine hits.

    python -m kokoro_lab.measure.simulate --noise tests/measure/machine_noise.json

proves the statistics at the size that five minutes of two cells afford, with the noise of the machine and with others.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kokoro_lab.measure.statistics import MARGIN, Pair, Pairing, compare

__all__ = [
    "EFFECT",
    "POWER",
    "BlockNoise",
    "Proof",
    "affordable",
    "binomial_limit",
    "pairing",
    "pairings",
    "prove",
    "wrong",
]

EFFECT = 0.05
"""What a plan of two cells is to find in five minutes."""

POWER = 0.80
"""With this probability."""

PLAN_S = 300.0
FEWEST = 6  # pairs with which a verdict is possible
NOISES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08)


@dataclass(frozen=True)
class BlockNoise:
    """The noise of one machine, as shares (0.02: 2 %)."""

    block_sd: float
    """Spread of the process effect."""
    tail: float = 3.0
    """Degrees of freedom of its Student t: 3 has a finite variance, and one block in fifty beyond 3.5 sd."""
    repeat_sd: float = 0.02
    """Spread of repeats within a process."""
    hit_share: float = 0.05
    """Share of repeats that something else on the machine hits."""
    hit: float = 0.5
    """By how much such a repeat is longer, on average (exponential)."""
    drift_sd: float = 0.02
    """Step of the random walk that all cells of a round share."""


def pairing(
    rng: np.random.Generator, noise: BlockNoise, pairs: int, *, ratio: float = 1.0, repeats: int = 5
) -> Pairing:
    """`pairs` rounds of two cells whose true ratio (candidate over base) is `ratio`."""
    drift = np.cumsum(rng.normal(0.0, noise.drift_sd, pairs))
    scale = noise.block_sd / math.sqrt(noise.tail / (noise.tail - 2.0))
    process = scale * rng.standard_t(noise.tail, (2, pairs))
    spread = rng.normal(0.0, noise.repeat_sd, (2, pairs, repeats))
    hit = (rng.random((2, pairs, repeats)) < noise.hit_share) * rng.exponential(noise.hit, (2, pairs, repeats))
    values = np.exp(drift + process) * np.median(np.exp(spread) * (1.0 + hit), axis=2)
    return Pairing(
        tuple(
            Pair("simulated", number, float(values[0, number]), float(values[1, number] * ratio))
            for number in range(pairs)
        )
    )


def pairings(seed: int, noise: BlockNoise, pairs: int, trials: int, *, ratio: float = 1.0) -> Iterator[Pairing]:
    """`trials` independent pairings."""
    rng = np.random.default_rng(seed)
    return (pairing(rng, noise, pairs, ratio=ratio) for _ in range(trials))


def wrong(trials: Iterator[Pairing], is_wrong: Callable[[Pairing], bool]) -> int:
    """How many of the trials get a verdict that the truth forbids."""
    return sum(is_wrong(trial) for trial in trials)


def binomial_limit(trials: int, share: float = 0.05, confidence: float = 0.99) -> int:
    """Most wrong verdicts that a procedure with this true share of them shows, with this confidence; 123 of 2,000."""
    from scipy import stats

    return int(stats.binom.ppf(confidence, trials, share))


def affordable(block_s: float) -> int:
    """Pairs that a plan of two cells affords in five minutes when a block takes so long."""
    return max(FEWEST, int(PLAN_S / (2.0 * block_s)))


@dataclass(frozen=True)
class Proof:
    """What the verdicts of so many trials of one size were, under one noise."""

    block_sd: float
    pairs: int
    trials: int
    false_effects: int
    """A/A trials called faster or slower."""
    false_equivalences: int
    """Trials with the true ratio on the margin called equivalent; the worse of both sides."""
    found: int
    """Trials with an effect of 5 % called slower."""

    @property
    def limit(self) -> int:
        """Most wrong verdicts of either kind: 123 of 2,000."""
        return binomial_limit(self.trials)

    @property
    def honest(self) -> bool:
        """Whether neither wrong verdict is more frequent than it may be, whatever the noise."""
        return max(self.false_effects, self.false_equivalences) <= self.limit

    @property
    def strong(self) -> bool:
        """Whether the effect is found as often as it is to be."""
        return self.found >= POWER * self.trials


def prove(noise: BlockNoise, pairs: int, trials: int, seed: int = 1) -> Proof:
    """Judge trials without an effect, with one of the margin to either side, and with one of 5 %."""

    def count(ratio: float, *verdicts: str) -> int:
        return wrong(pairings(seed, noise, pairs, trials, ratio=ratio), lambda one: compare(one).verdict in verdicts)

    margins = (1.0 + MARGIN, 1.0 / (1.0 + MARGIN))
    return Proof(
        noise.block_sd,
        pairs,
        trials,
        false_effects=count(1.0, "faster", "slower"),
        false_equivalences=max(count(ratio, "equivalent") for ratio in margins),
        found=count(1.0 + EFFECT, "slower"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a noise; 1 when a verdict is wrong too often anywhere, or the machine's own noise hides 5 %."""
    parser = argparse.ArgumentParser(prog="simulate", description="Trials with a known truth.")
    parser.add_argument("--noise", type=Path, required=True, help="the machine's noise, as the proofs write it")
    parser.add_argument("--trials", type=int, default=2000, help="trials of each kind (default: 2000)")
    parser.add_argument("--sd", type=float, nargs="*", default=NOISES, help="other noises to look at, as shares")
    parser.add_argument("--block-s", type=float, help="seconds of a block (default: the machine's)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args(arguments)
    machine = json.loads(options.noise.read_text())
    pairs = affordable(options.block_s or machine["block_s"])
    good = True
    rows: list[dict[str, object]] = []
    for sd in (machine["block_sd"], *options.sd):
        proof = prove(BlockNoise(block_sd=sd), pairs, options.trials)
        good &= proof.honest and (proof.strong or bool(rows))
        rows.append(
            {
                "block_sd": sd,
                "pairs": pairs,
                "false_effects": proof.false_effects,
                "false_equivalences": proof.false_equivalences,
                "limit": proof.limit,
                "power": proof.found / proof.trials,
                "honest": proof.honest,
                "strong": proof.strong,
            }
        )
        if not options.json:
            whose = "noise" if len(rows) > 1 else "this machine's noise"
            print(
                f"{whose} {sd:.2%}, {pairs} pairs: {proof.false_effects} false effects and "
                f"{proof.false_equivalences} false equivalences of {proof.trials} (at most {proof.limit}); "
                f"{EFFECT:.0%} found {proof.found / proof.trials:.1%}{'' if proof.strong else ': too rarely'}",
                flush=True,
            )
    if options.json:
        print(json.dumps({"trials": options.trials, "rows": rows}, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
