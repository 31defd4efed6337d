"""Simulated trials whose true effect is known, to check the statistics and to try out a plan before it is run.

A trial is a run on a machine whose speed changes in time (`simulated_machine`), in the real order of `rounds`. The
estimand is the median ratio of pairs. Where it is 1, "faster" and "slower" are wrong; where it lies on the margin,
"equivalent" is.

    kokoro-lab bench simulation tests/benchmarks/machine_noise.json

checks the statistics at the number of pairs that a five-minute plan of two cells allows, with the noise of the machine
and with other noises; then under every kind of disturbance in time and of unequal noise, with 6 to 40 blocks a cell.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from kokoro_lab.benchmarks.simulated_machine import (
    CALM,
    BlockNoise,
    Disturbance,
    SharedProcess,
    measured_logs,
    orders,
)
from kokoro_lab.field_checks import Range, as_record
from kokoro_lab.files.documents import read_json
from kokoro_lab.measure.sampling.sampler import LOOK_EVERY
from kokoro_lab.measure.statistics.comparison import MARGIN, Pair, Pairing, compare, compare_all, narrow_enough
from kokoro_lab.measure.statistics.intervals import ALPHA

__all__ = [
    "EFFECT",
    "KINDS",
    "LOOKED",
    "POWER",
    "ErrorRates",
    "Kind",
    "affordable",
    "binomial_limit",
    "decided",
    "error_rates",
    "error_table",
    "families",
    "kind_row",
    "kind_rows",
    "look_row",
    "looked_at",
    "pairings",
    "read_noise",
    "until_narrow",
    "wrong",
]

EFFECT = 0.05
"""Effect that a plan of two cells should detect in five minutes, as a share."""

POWER = 0.80
"""Probability with which it should detect that effect."""

PLAN_S = 300.0
FEWEST = 6  # pairs with which a verdict is possible
LOOKS = 2
FIRST_LOOK, LAST_LOOK = 9, 14  # rounds, as in the plan `quick`
LOOKED_CELLS = 6
LOOKED = ("heavy tails", "drift", "period of 5 blocks", "two shared processes")  # kinds of runs with a look
ADAPTIVE_BLOCKS = 40  # most of a run that ends by the stopping rule
NOISES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08)

MARGINS = (1.0 + MARGIN, 1.0 / (1.0 + MARGIN))  # true ratios at which "equivalent" is just wrong
MANY = 0.999  # confidence of each limit in a table of many rates

MOST_NOISE_BYTES = 1 << 16


@dataclass(frozen=True)
class _NoiseFile:
    block_sd: Annotated[float, Range(0, 10)]
    block_s: Annotated[float, Range(0.001, 3600)]
    about: str = ""
    degrees: int = 0
    model: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Kind:
    """What disturbs two cells that do not differ: their median ratio is 1."""

    noise: BlockNoise
    disturbance: Disturbance = CALM
    candidate: BlockNoise | None = None
    """The noise of the candidate, where it is not that of the other cells."""
    blocks: tuple[int, ...] = (6, 12, 24)
    cells: tuple[int, ...] = (2, 6)
    processes: int = 0
    """Number of processes that the cells share, in turn; 0: every block has its own."""


def pairings(
    seed: int, kind: Kind | BlockNoise, pairs: int, trials: int, *, ratio: float = 1.0, cells: int = 2
) -> Iterator[Pairing]:
    """Simulate `trials` runs of `pairs` rounds; the pairs of two of their cells, whose true ratio is `ratio`.

    `kind`: the noise alone stands for a machine without disturbances.
    """
    kind = Kind(kind) if isinstance(kind, BlockNoise) else kind
    for trial in _values(seed, kind, pairs, trials, cells)[:, :, :2]:
        yield _pairing(trial[:, 0], trial[:, 1] * ratio)


def families(seed: int, kind: Kind, rounds: int, trials: int, *, cells: int) -> Iterator[dict[str, Pairing]]:
    """Simulate `trials` runs of `rounds` rounds; in each, every other cell with the reference."""
    for trial in _values(seed, kind, rounds, trials, cells):
        yield {str(cell): _pairing(trial[:, 0], trial[:, cell]) for cell in range(1, cells)}


def _values(seed: int, kind: Kind, rounds: int, trials: int, cells: int) -> npt.NDArray[np.float64]:
    """The values of all blocks, float64[trials, rounds, cells]."""
    rng = np.random.default_rng(seed)
    processes = tuple(cell % kind.processes for cell in range(cells)) if kind.processes else ()
    order = orders(cells, rounds, trials, processes)
    shared = SharedProcess(processes) if processes else None
    return np.exp(measured_logs(rng, order, kind.noise, kind.disturbance, candidate=kind.candidate, shared=shared))


def _pairing(base: npt.NDArray[np.float64], candidate: npt.NDArray[np.float64]) -> Pairing:
    sides = zip(base.tolist(), candidate.tolist(), strict=True)
    return Pairing(tuple(Pair("simulated", number, *values) for number, values in enumerate(sides)))


def decided(trial: Pairing) -> bool:
    """Whether it is called faster or slower."""
    return compare(trial).verdict in ("faster", "slower")


def equal(trial: Pairing) -> bool:
    """Whether it is called equivalent."""
    return compare(trial).verdict == "equivalent"


def until_narrow(trial: Pairing) -> Pairing:
    """The pairs after which the stopping rule ends the run."""
    for count in range(LOOK_EVERY, len(trial.pairs), LOOK_EVERY):
        so_far = Pairing(trial.pairs[:count])
        if narrow_enough({"": so_far}):
            return so_far
    return trial


def looked_at(family: Mapping[str, Pairing], look: int) -> dict[str, Pairing]:
    """The pairs of a run that looks at its comparisons after `look` rounds and at its end: those that are decided at
    the look have no later pairs."""
    so_far = {name: Pairing(pairing.pairs[:look]) for name, pairing in family.items()}
    seen = compare_all(so_far, alpha=ALPHA / LOOKS)
    return {name: so_far[name] if seen[name].verdict != "inconclusive" else pairing for name, pairing in family.items()}


def look_row(name: str, trials: int, *, cells: int, blocks: int, look: int) -> dict[str, Any]:
    """Runs of one kind without an effect, in which decided comparisons leave at a look; a run is wrong when any of its
    comparisons is called faster or slower."""
    runs = families(1, KINDS[name], blocks, trials, cells=cells)
    effects = 0
    for family in runs:
        judged = compare_all(looked_at(family, look), alpha=ALPHA / LOOKS)
        effects += any(item.verdict in ("faster", "slower") for item in judged.values())
    limit = binomial_limit(trials, confidence=MANY)
    return {
        "kind": f"{name}, look after {look} rounds",
        "cells": cells,
        "blocks": blocks,
        "adaptive": True,
        "trials": trials,
        "false_effects": effects,
        "false_equivalences": None,
        "share": effects / trials,
        "limit": limit,
        "honest": effects <= limit,
    }


def wrong(trials: Iterable[Pairing], is_wrong: Callable[[Pairing], bool]) -> int:
    """Number of trials with a verdict that contradicts the true effect."""
    return sum(is_wrong(trial) for trial in trials)


def binomial_limit(trials: int, share: float = 0.05, confidence: float = 0.99) -> int:
    """Maximum number of wrong verdicts at this true share of them, with this confidence: 123 of 2,000."""
    from scipy import stats

    return int(stats.binom.ppf(confidence, trials, share))


def affordable(block_s: float) -> int:
    """Number of pairs that a five-minute plan of two cells allows with blocks of this duration."""
    return max(FEWEST, int(PLAN_S / (2.0 * block_s)))


@dataclass(frozen=True)
class ErrorRates:
    """Verdicts of trials of one size, under one noise."""

    block_sd: float
    pairs: int
    trials: int
    false_effects: int
    """A/A trials called faster or slower."""
    false_equivalences: int
    """Trials with the true ratio at the margin called equivalent; the higher number of both sides."""
    detected: int
    """Trials with an effect of 5 % called slower."""

    @property
    def limit(self) -> int:
        """Maximum number of wrong verdicts of either kind: 123 of 2,000."""
        return binomial_limit(self.trials)

    @property
    def honest(self) -> bool:
        """Whether neither kind of wrong verdict is more frequent than the limit."""
        return max(self.false_effects, self.false_equivalences) <= self.limit

    @property
    def strong(self) -> bool:
        """Whether the effect is detected with the required probability."""
        return self.detected >= POWER * self.trials


def error_rates(noise: BlockNoise, pairs: int, trials: int, seed: int = 1) -> ErrorRates:
    """Judge trials without an effect, with an effect of the margin to either side, and with an effect of 5 %."""

    def count(ratio: float, *verdicts: str) -> int:
        return wrong(
            pairings(seed, noise, pairs, trials, ratio=ratio), lambda trial: compare(trial).verdict in verdicts
        )

    return ErrorRates(
        noise.block_sd,
        pairs,
        trials,
        false_effects=count(1.0, "faster", "slower"),
        false_equivalences=max(count(ratio, "equivalent") for ratio in MARGINS),
        detected=count(1.0 + EFFECT, "slower"),
    )


def read_noise(path: Path) -> dict[str, float]:
    """The machine's noise from a file of `write_noise`: block_sd and block_s. Raises InputError for any other file."""
    values = read_json(path, what="noise file", most=MOST_NOISE_BYTES)
    noise = as_record(_NoiseFile, values, what=f"noise file {path}", advice="measure it with `bench self-test`")
    return {"block_sd": noise.block_sd, "block_s": noise.block_s}


def error_table(
    machine: Mapping[str, float], noises: Sequence[float] = NOISES, *, trials: int, block_s: float = 0.0
) -> list[dict[str, Any]]:
    """A row for the machine's own noise (from the file of `write_noise`), then a row for each of `noises`.

    The number of pairs is that of a five-minute plan with blocks of `block_s` (0: the machine's block duration).
    """
    pairs = affordable(block_s or machine["block_s"])
    rows = []
    for sd in (machine["block_sd"], *noises):
        rates = error_rates(BlockNoise(block_sd=sd), pairs, trials)
        rows.append(
            {
                **dataclasses.asdict(rates),
                "limit": rates.limit,
                "power": rates.detected / trials,
                "honest": rates.honest,
                "strong": rates.strong,
            }
        )
    return rows


SHARED_NOISE = BlockNoise(0.02, repeat_sd=0.01)
QUIET = BlockNoise(0.01, repeat_sd=0.005, hit_share=0.0)
UNEQUAL = (6, 12, 24, 40)

KINDS: Mapping[str, Kind] = {
    "no disturbance": Kind(BlockNoise(0.02)),
    "heavy tails": Kind(BlockNoise(0.06, tail=2.1, hit_share=0.25, hit=2.0)),
    "drift": Kind(QUIET, Disturbance(drift_sd=0.05)),
    "steps": Kind(QUIET, Disturbance(drift_sd=0.0, steps=2)),
    **{f"period of {blocks} blocks": Kind(QUIET, Disturbance(0.0, period=blocks)) for blocks in range(2, 13)},
    "one-sided noise of one cell, 3 %": Kind(QUIET, CALM, dataclasses.replace(QUIET, one_sided=0.03), UNEQUAL, (2,)),
    "one-sided noise of one cell, 30 %": Kind(QUIET, CALM, dataclasses.replace(QUIET, one_sided=0.3), UNEQUAL, (2,)),
    "unlucky blocks of one cell": Kind(QUIET, CALM, dataclasses.replace(QUIET, slow_share=0.4), UNEQUAL, (2,)),
    "unequal noise": Kind(QUIET, CALM, BlockNoise(0.14), UNEQUAL, (2,)),
    "one-sided noise and a period of 5 blocks": Kind(
        QUIET, Disturbance(0.0, period=5), dataclasses.replace(QUIET, one_sided=0.03), UNEQUAL, (2,)
    ),
    "one shared process": Kind(SHARED_NOISE, Disturbance(), processes=1),
    "two shared processes": Kind(SHARED_NOISE, Disturbance(), cells=(2, 5, 6), processes=2),
    "two shared processes and a period of 5 blocks": Kind(
        QUIET, Disturbance(0.0, period=5), cells=(2, 5, 6), processes=2
    ),
    "two shared processes and unequal noise": Kind(QUIET, CALM, BlockNoise(0.14), (6, 12, 24), (5,), processes=2),
}
"""Kinds of disturbance and of noise under which no verdict may be wrong more often than in 5 % of trials."""


def kind_row(name: str, trials: int, *, cells: int, blocks: int, adaptive: bool = False) -> dict[str, Any]:
    """Trials of one kind without an effect, and where the machine is calm, with one of the margin to either side.

    `adaptive`: the run ends as soon as the stopping rule allows it, or after `blocks` blocks.
    """
    kind = KINDS[name]

    def count(is_wrong: Callable[[Pairing], bool], ratio: float = 1.0) -> int:
        made = pairings(1, kind, blocks, trials, ratio=ratio, cells=cells)
        return wrong(map(until_narrow, made) if adaptive else made, is_wrong)

    effects = count(decided)
    equivalences = max(count(equal, ratio) for ratio in MARGINS) if kind.disturbance == CALM else None
    limit = binomial_limit(trials, confidence=MANY)
    return {
        "kind": name,
        "cells": cells,
        "blocks": blocks,
        "adaptive": adaptive,
        "trials": trials,
        "false_effects": effects,
        "false_equivalences": equivalences,
        "share": effects / trials,
        "limit": limit,
        "honest": max(effects, equivalences or 0) <= limit,
    }


def kind_rows(trials: int, names: Iterable[str] = KINDS) -> Iterator[dict[str, Any]]:
    """A row for each kind, number of cells and number of blocks, and for adaptive runs of at most 40 blocks; for some
    kinds a row of runs whose decided comparisons leave at a look.

    `limit`: the lower 99.9 % bound of the true share of wrong verdicts is not above 5 %: 130 of 2,000.
    """
    for name in names:
        kind = KINDS[name]
        for cells in kind.cells:
            for blocks in kind.blocks:
                yield kind_row(name, trials, cells=cells, blocks=blocks)
        yield kind_row(name, trials, cells=2, blocks=ADAPTIVE_BLOCKS, adaptive=True)
        if name in LOOKED:
            yield look_row(name, trials, cells=LOOKED_CELLS, blocks=LAST_LOOK, look=FIRST_LOOK)
