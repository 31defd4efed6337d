"""Change points of a series of runs: reruns give none, a real change is found at its place, the noise decides."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.benchmarks.simulation import binomial_limit
from kokoro_lab.measure.statistics.between_runs import RunRatio
from kokoro_lab.measure.statistics.change_points import FEWEST_RUNS, ChangePoint, change_points, run_noise
from kokoro_lab.measure.statistics.sign_test import shift

NOISE = Path(__file__).parents[2] / "benchmarks" / "machine_noise.json"
BLOCK_SD = float(json.loads(NOISE.read_text())["block_sd"])
RUNS = 40


class Machine:
    """Runs of a machine whose blocks vary as those of the machine that the stored noise was measured on."""

    def __init__(self, seed: int, *, block_sd: float = BLOCK_SD, pairs: int = 6, between: float = 0.0) -> None:
        self._random = np.random.default_rng(seed)
        self._block_sd, self._pairs, self._between = block_sd, pairs, between

    def run(self, ratio: float = 1.0) -> RunRatio:
        blocks = self._random.standard_t(3, (2, self._pairs)) / math.sqrt(3.0)
        own = self._between * self._random.standard_normal()
        logs = math.log(ratio) + own + self._block_sd * (blocks[0] - blocks[1])
        return RunRatio(shift(logs).center, float(np.var(logs, ddof=1)) / self._pairs, self._pairs)

    def states(self, ratios: Sequence[float], runs: int = 1) -> list[list[RunRatio]]:
        return [[self.run(ratio) for _ in range(runs)] for ratio in ratios]


def found(states: Sequence[Sequence[RunRatio]], series: int = 1) -> list[ChangePoint]:
    return change_points(states, run_noise(states), series=series)


def exact(*ratios: float, pairs: int = 6, variance: float = 1e-6) -> list[RunRatio]:
    return [RunRatio(math.log(ratio), variance, pairs) for ratio in ratios]


@pytest.mark.parametrize(
    ("states", "runs", "between"),
    [(RUNS, 1, 0.0), (RUNS, 1, 0.1), (RUNS // 2, 2, 0.1)],
    ids=["noise of blocks", "runs differ more than blocks", "reruns of every commit"],
)
def test_forty_runs_without_a_change_have_a_change_point_in_at_most_one_history_of_twenty(
    states: int, runs: int, between: float
) -> None:
    trials = 120
    false = sum(bool(found(Machine(seed, between=between).states([1.0] * states, runs))) for seed in range(trials))
    assert false <= binomial_limit(trials), f"{false} of {trials}"


@pytest.mark.parametrize(("pairs", "power"), [(6, 0.5), (12, 0.85)])
def test_a_step_of_ten_percent_in_the_middle_of_forty_runs_is_found_at_the_stored_noise(
    pairs: int, power: float
) -> None:
    trials, hits, misplaced = 60, 0, 0
    for seed in range(trials):
        points = found(Machine(seed, pairs=pairs).states([1.0] * 20 + [1.1] * 20))
        hits += len(points) == 1 and points[0].ratio.center > 1
        misplaced += any(abs(point.at - 20) > 8 for point in points)
    assert hits >= power * trials, f"{hits} of {trials}"
    assert misplaced <= 0.1 * trials


def test_a_change_tells_its_place_its_size_and_its_runs() -> None:
    states = [exact(2.0, 2.002), exact(2.001), exact(1.999, 2.0), exact(2.6, 2.601), exact(2.599)]
    (point,) = found(states)
    assert (point.at, point.runs) == (3, (5, 3))
    assert point.ratio.center == pytest.approx(1.3, rel=0.005)
    low, high = point.ratio.bounds
    assert low is not None and high is not None and 1 < low < point.ratio.center < high


def test_a_change_that_one_run_shows_is_none_until_a_second_run_shows_it() -> None:
    before = [exact(2.0, 2.002), exact(2.001), exact(1.999), exact(2.0)]
    assert found([*before, exact(2.6)]) == []
    assert FEWEST_RUNS == 2 and len(found([*before, exact(2.6, 2.601)])) == 1


def test_a_change_within_the_margin_is_none() -> None:
    assert found([exact(2.0, 2.001), exact(2.0, 1.999), exact(2.04, 2.041), exact(2.04, 2.039)]) == []


def test_without_a_rerun_or_many_states_the_noise_is_unknown() -> None:
    states = [exact(2.0), exact(2.0), exact(2.6), exact(2.6)]
    assert not run_noise(states).known and found(states) == []


def test_runs_that_differ_more_than_their_blocks_widen_the_noise() -> None:
    quiet, loud = (run_noise(Machine(1, between=between).states([1.0] * 30)) for between in (0.0, 0.2))
    assert loud.scale > 2 * quiet.scale and loud.degrees < quiet.degrees
    reruns = run_noise([exact(2.0, 2.4), exact(2.0, 2.4)])
    assert reruns.of(exact(2.0)[0]) == pytest.approx(reruns.between) and reruns.between > 0.01


def test_the_search_of_many_series_asks_more_of_each() -> None:
    states = [exact(2.0, 2.05), exact(2.0, 2.05), exact(2.3, 2.35), exact(2.3, 2.35)]
    assert found(states, 1) and not found(states, 100_000)
