"""The simulated machine does to the blocks what its description says."""

from __future__ import annotations

import numpy as np
import pytest

from kokoro_lab.benchmarks import simulated_machine
from kokoro_lab.benchmarks.simulated_machine import BlockNoise, Disturbance
from kokoro_lab.benchmarks.simulation import KINDS, pairings
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.measure.sampling.rounds import rounds


def test_the_order_of_a_trial_is_that_of_a_run() -> None:
    order = simulated_machine.orders(3, 4, 5)
    assert order.shape == (5, 4, 3)
    group = [Cell("tiny", "simulated", provider=f"p{number}", reference=number == 0) for number in range(3)]
    plan = [group.index(slot.cell) for slot in rounds(group, 4, seed=2)]
    assert order[2].ravel().tolist() == plan


def test_a_step_changes_the_speed_for_good_and_a_drift_wanders() -> None:
    still = BlockNoise(1e-9, repeat_sd=0.0, hit_share=0.0)
    order = simulated_machine.orders(2, 20, 50)
    stepped = simulated_machine.measured_logs(np.random.default_rng(1), order, still, Disturbance(0.0, steps=1))
    series = np.take_along_axis(stepped, order, axis=2).reshape(50, -1)
    assert np.allclose(series[:, 0][np.abs(series[:, 0]) < 1e-6], 0.0)
    assert float(np.median(np.abs(series[:, -1]))) == pytest.approx(np.log(1.1), rel=1e-6)
    assert int((np.abs(np.diff(series, axis=1)) > 1e-6).sum(axis=1).max()) <= 2, "before, at and after the step"
    drifting = simulated_machine.measured_logs(np.random.default_rng(1), order, still, Disturbance(0.05))
    assert float(drifting[:, -1].std()) == pytest.approx(0.05 * 40**0.5, rel=0.3)


def test_a_periodic_disturbance_slows_its_half_of_the_time_and_lengthens_the_blocks() -> None:
    still = BlockNoise(1e-9, repeat_sd=0.0, hit_share=0.0)
    order = simulated_machine.orders(2, 40, 30)
    periodic = Disturbance(0.0, period=4.0, depth=0.1)
    logs = simulated_machine.measured_logs(np.random.default_rng(1), order, still, periodic)
    assert float(logs.mean()) == pytest.approx(np.log(1.1) / 2, rel=0.1)
    assert float(logs.min()) == pytest.approx(0.0, abs=1e-6)
    assert float(logs.max()) == pytest.approx(np.log(1.1), rel=1e-6)
    series = np.take_along_axis(logs, order, axis=2).reshape(30, -1)  # in the order of time
    slow = series - series.mean(axis=1, keepdims=True)
    assert float((slow[:, 2:] * slow[:, :-2]).mean()) < -0.3 * float((slow**2).mean()), "half a period apart"


def test_a_candidate_with_other_noise_has_a_median_ratio_of_one() -> None:
    kind = KINDS["one-sided noise of one cell, 30 %"]
    trials = pairings(3, kind, 40, 500)
    ratios = [pair.log_ratio for trial in trials for pair in trial.pairs]
    assert np.mean(np.array(ratios) > 0.0) == pytest.approx(0.5, abs=0.012)
    assert np.mean(ratios) > 0.05, "while the mean is far from it"
