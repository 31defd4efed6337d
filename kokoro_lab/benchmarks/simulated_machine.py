"""A simulated machine whose speed changes in time, and the blocks that a run measures on it in its real order.

Every block starts when the one before it has ended, and lasts as long as the machine and its own noise make it last. A
disturbance therefore acts on whatever happens to run: that two cells of a round are disturbed alike is not assumed, it
is what the order of `rounds` must achieve. Trials are simulated side by side, as rows of arrays.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.rounds import rounds

__all__ = ["CALM", "BlockNoise", "Disturbance", "SharedProcess", "measured_logs", "orders"]

Array = npt.NDArray[np.float64]

REPEATS = 5
GRID = 4  # points of the random walk per block
SPARE = 3.0  # the speed is known for this many times the nominal length of a run
CALIBRATION = 100_001  # draws; they place a median within 0.6 % of the quartiles' distance


@dataclass(frozen=True)
class BlockNoise:
    """The noise of one cell's blocks, as shares (0.02: 2 %)."""

    block_sd: float
    """Spread of the process effect."""
    tail: float = 3.0
    """Degrees of freedom of its Student t: 3 has a finite variance, and one block in fifty beyond 3.5 sd."""
    repeat_sd: float = 0.02
    """Spread of repeats within a process."""
    hit_share: float = 0.05
    """Share of repeats that something else on the machine disturbs."""
    hit: float = 0.5
    """Mean relative delay of such a repeat (exponential)."""
    one_sided: float = 0.0
    """Mean of an exponential delay of every block."""
    slow_share: float = 0.0
    """Share of blocks whose process is unlucky."""
    slow: float = 0.5
    """Mean relative delay of such a block (exponential)."""

    def draw(self, rng: np.random.Generator, *shape: int) -> Array:
        """Logarithms of block values of this shape."""
        scale = self.block_sd / np.sqrt(self.tail / (self.tail - 2.0))
        logs = scale * rng.standard_t(self.tail, shape)
        spread = np.exp(rng.normal(0.0, self.repeat_sd, (*shape, REPEATS)))
        if self.hit_share:
            hit = rng.random((*shape, REPEATS)) < self.hit_share
            spread *= 1.0 + hit * rng.exponential(self.hit, (*shape, REPEATS))
        logs += np.log(np.median(spread, axis=-1))
        if self.one_sided:
            logs += rng.exponential(self.one_sided, shape)
        if self.slow_share:
            logs += np.log1p((rng.random(shape) < self.slow_share) * rng.exponential(self.slow, shape))
        return np.asarray(logs, dtype=np.float64)


@dataclass(frozen=True)
class Disturbance:
    """How the machine's speed changes in time. Times are in blocks, sizes are shares (0.1: 10 % slower)."""

    drift_sd: float = 0.02
    """Change of the random walk in the time of one block."""
    steps: int = 0
    """Number of lasting changes, at random times."""
    step: float = 0.1
    """Size of each, up or down."""
    period: float = 0.0
    """Time after which a disturbance comes back; it lasts half of that. 0: none."""
    depth: float = 0.1
    """Size of the periodic disturbance."""


CALM = Disturbance(drift_sd=0.0)


@dataclass(frozen=True)
class SharedProcess:
    """What the cells of one process have in common, as shares (0.02: 2 %)."""

    group: tuple[int, ...]
    """For each cell the number of the process that it shares; cells of different numbers are in different processes."""
    spread: float = 0.03
    """Spread of a factor of the process, which all its cells have."""
    carry: float = 0.3
    """Share of a block's own deviation that the next block of the process inherits."""


class _Speeds:
    """The speed of the machine in each trial: the logarithm of its slowness, as a function of time."""

    def __init__(self, rng: np.random.Generator, disturbance: Disturbance, trials: int, blocks: int) -> None:
        self._disturbance = disturbance
        points = int(SPARE * blocks * GRID) + 2
        walk = np.zeros((trials, points))
        if disturbance.drift_sd:
            walk += np.cumsum(rng.normal(0.0, disturbance.drift_sd / np.sqrt(GRID), (trials, points)), axis=1)
        for _ in range(disturbance.steps):
            at = rng.uniform(0.0, blocks * GRID, (trials, 1))
            walk += rng.choice((-1.0, 1.0), (trials, 1)) * np.log1p(disturbance.step) * (np.arange(points) >= at)
        self._total = np.concatenate([np.zeros((trials, 1)), np.cumsum(walk, axis=1)], axis=1) / GRID
        self._phase = rng.uniform(0.0, disturbance.period, trials)
        self._rows = np.arange(trials)

    def mean(self, start: Array, length: Array) -> Array:
        """The mean over the time of each trial's block."""
        return np.asarray((self._until(start + length) - self._until(start)) / length, dtype=np.float64)

    def _until(self, time: Array) -> Array:
        """The integral from 0."""
        place = np.minimum(time * GRID, self._total.shape[1] - 2)
        left = place.astype(np.int64)
        before, after = self._total[self._rows, left], self._total[self._rows, left + 1]
        integral = before + (place - left) * (after - before)
        if period := self._disturbance.period:
            cycles, rest = np.divmod(time + self._phase, period)
            slow = cycles * period / 2.0 + np.minimum(rest, period / 2.0)
            integral = integral + np.log1p(self._disturbance.depth) * slow
        return np.asarray(integral, dtype=np.float64)


@functools.lru_cache(maxsize=8)
def orders(cells: int, blocks: int, trials: int, processes: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
    """The order of `trials` runs with different seeds: numbers of cells, int64[trials, rounds, cells]; 0 is the
    reference. `processes`: of `SharedProcess.group`; without it every cell has a process of its own."""
    group = [Cell("tiny", "simulated", provider=f"p{number}", reference=number == 0) for number in range(cells)]
    if processes:
        group = [
            replace(cell, provider=f"p{process}", replica=number, process="shared")
            for number, (cell, process) in enumerate(zip(group, processes, strict=True))
        ]
    numbers = {cell.id: number for number, cell in enumerate(group)}
    plans = [[numbers[slot.cell.id] for slot in rounds(group, blocks, seed)] for seed in range(trials)]
    return np.array(plans, dtype=np.int64).reshape(trials, blocks, cells)


def measured_logs(
    rng: np.random.Generator,
    order: npt.NDArray[np.int64],
    noise: BlockNoise,
    disturbance: Disturbance = CALM,
    *,
    candidate: BlockNoise | None = None,
    shared: SharedProcess | None = None,
) -> Array:
    """Logarithms of the block values of cells of the same speed, float64[trials, rounds, cells].

    `candidate`: the noise of cell 1, if it is another; its values are moved so that the median ratio of its pairs with
    any other cell is 1 without a disturbance. `shared`: the processes that cells share, as in their order.
    """
    trials, blocks, cells = order.shape
    own = noise.draw(rng, trials, blocks, cells)
    if candidate is not None:
        own[:, :, 1] = candidate.draw(rng, trials, blocks) - _offset(noise, candidate)
    if shared is not None:
        own = _visited(rng, own, order, shared)
    speeds = _Speeds(rng, disturbance, trials, blocks * cells)
    clock, rows = np.zeros(trials), np.arange(trials)
    for number in range(blocks):
        for place in range(cells):
            cell = order[:, number, place]
            length = np.exp(own[rows, number, cell])
            slowness = speeds.mean(clock, length)
            own[rows, number, cell] += slowness
            clock += length * np.exp(slowness)
    return own


def _visited(rng: np.random.Generator, own: Array, order: npt.NDArray[np.int64], shared: SharedProcess) -> Array:
    """The deviations of blocks with the factor of their process, and with what they inherit from the block before."""
    trials, blocks, _ = order.shape
    group = np.array(shared.group, dtype=np.int64)
    common = rng.normal(0.0, shared.spread, (trials, blocks, int(group.max()) + 1))
    after = own + common[:, :, group]
    in_turn = np.take_along_axis(own, order, axis=2)
    neighbors = group[order][:, :, 1:] == group[order][:, :, :-1]
    inherited = np.zeros_like(own)
    np.put_along_axis(inherited, order[:, :, 1:], shared.carry * in_turn[:, :, :-1] * neighbors, axis=2)
    return np.asarray(after + inherited, dtype=np.float64)


@functools.lru_cache(maxsize=64)
def _offset(noise: BlockNoise, candidate: BlockNoise) -> float:
    """The median of the logarithm of the ratio of two blocks."""
    rng = np.random.default_rng(0)
    return float(np.median(candidate.draw(rng, CALIBRATION) - noise.draw(rng, CALIBRATION)))
