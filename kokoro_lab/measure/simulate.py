"""Trials with a known truth: what the statistics are proved on, and what a plan may be tried out on before it is run.

A block's logarithm is the sum of a drift that all cells of a round share, an effect of its process (a scaled Student t,
for some processes are simply unlucky), and the median of its repeats, some of which something else on the machine hits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kokoro_lab.measure.statistics import Pair, Pairing

__all__ = ["BlockNoise", "binomial_limit", "pairing", "pairings", "wrong"]


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
