"""Verdicts against a known truth, under block effects, heavy tails, unequal noise, and disturbances in time.

machine_noise.json holds the noise of the machine that the figures are made on. KOKORO_LAB_TRIALS sets the number of
trials; 2,000 are what the limits of the design are stated for.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirrored_order import mirrored_rounds
from scipy import stats

from kokoro_lab.benchmarks import simulated_machine
from kokoro_lab.benchmarks.simulated_machine import BlockNoise, Disturbance
from kokoro_lab.benchmarks.simulation import (
    KINDS,
    LOOKED,
    Kind,
    affordable,
    binomial_limit,
    decided,
    equal,
    error_rates,
    error_table,
    families,
    kind_row,
    kind_rows,
    look_row,
    looked_at,
    pairings,
    until_narrow,
    wrong,
)
from kokoro_lab.measure.statistics.comparison import MARGIN, Comparison, Pairing, compare, compare_all
from kokoro_lab.measure.statistics.noise import detectable

TRIALS = int(os.environ.get("KOKORO_LAB_TRIALS", "400"))
MACHINE = json.loads(Path(__file__).with_name("machine_noise.json").read_text())
NOISE = BlockNoise(block_sd=MACHINE["block_sd"])
WILD = BlockNoise(block_sd=0.06, tail=2.1, hit_share=0.25, hit=2.0)


def test_the_limits_are_those_of_the_design() -> None:
    assert binomial_limit(2_000) == 123
    limit = binomial_limit(2_000, confidence=0.999)
    lower = [float(stats.beta.ppf(0.001, count, 2_001 - count)) for count in (limit, limit + 1)]
    assert lower[0] <= 0.05 < lower[1], "the lower 99.9 % bound of the observed rate is not above 5 %"
    assert limit == 131


@pytest.mark.parametrize("noise", [NOISE, WILD], ids=["this machine", "a wild one"])
@pytest.mark.parametrize("pairs", [6, 9, 12, 25])
def test_a_against_a_is_hardly_ever_faster_or_slower(noise: BlockNoise, pairs: int) -> None:
    trials = pairings(pairs, Kind(noise, Disturbance(drift_sd=0.02)), pairs, TRIALS)
    assert wrong(trials, decided) <= binomial_limit(TRIALS)


@pytest.mark.parametrize("ratio", [1.0 + MARGIN, 1.0 / (1.0 + MARGIN)])
@pytest.mark.parametrize("pairs", [6, 12, 40])
def test_a_difference_of_the_margin_is_hardly_ever_equivalent(pairs: int, ratio: float) -> None:
    quiet = BlockNoise(block_sd=0.01, repeat_sd=0.005)
    assert wrong(pairings(pairs, quiet, pairs, TRIALS, ratio=ratio), equal) <= binomial_limit(TRIALS)


def test_a_quiet_a_against_a_is_mostly_found_equivalent() -> None:
    quiet = BlockNoise(block_sd=0.01, repeat_sd=0.005)
    assert wrong(pairings(1, quiet, 12, TRIALS), equal) >= 0.9 * TRIALS


def test_twenty_comparisons_together_are_hardly_ever_wrong() -> None:
    families = max(40, TRIALS // 10)
    mistaken = 0
    trials = pairings(2, NOISE, 12, 20 * families)
    for _ in range(families):
        results = compare_all({str(number): next(trials) for number in range(20)})
        mistaken += any(result.verdict in ("faster", "slower") for result in results.values())
    assert mistaken <= binomial_limit(families)


def test_the_machine_can_be_believed_and_finds_five_percent_in_a_five_minute_plan() -> None:
    rates = error_rates(NOISE, affordable(MACHINE["block_s"]), TRIALS)
    assert rates.honest and rates.strong, rates


def test_more_noise_hides_an_effect_and_never_makes_one_up() -> None:
    rates = error_rates(BlockNoise(block_sd=0.15), 12, TRIALS)
    assert rates.honest and not rates.strong, rates


def test_the_simulation_can_be_run_for_any_machine() -> None:
    here, louder = error_table({"block_sd": 0.02, "block_s": 10.0}, [0.3], trials=60)
    assert (here["pairs"], here["strong"], louder["strong"], louder["honest"]) == (15, True, False, True)
    (loud,) = error_table({"block_sd": 0.3, "block_s": 10.0}, (), trials=60)
    assert (loud["block_sd"], loud["strong"]) == (0.3, False)


def test_what_is_called_detectable_is_detected() -> None:
    for pairs in (6, 8, 16, 30):
        noise = BlockNoise(block_sd=0.03, tail=30.0, repeat_sd=1e-4, hit_share=0.0)
        effect = 1.0 + detectable(0.03, pairs)
        found = sum(compare(trial).verdict == "slower" for trial in pairings(pairs, noise, pairs, TRIALS, ratio=effect))
        assert found / TRIALS == pytest.approx(0.8, abs=0.08)


def test_going_on_until_the_interval_is_narrow_does_not_make_more_wrong_verdicts() -> None:
    trials = max(100, TRIALS // 4)
    quiet = BlockNoise(block_sd=0.02, repeat_sd=0.005)
    ended = [until_narrow(trial) for trial in pairings(4, Kind(quiet, Disturbance(period=5.0)), 40, trials)]
    assert len({len(trial.pairs) for trial in ended}) > 3, "runs end at many different lengths"
    assert wrong(iter(ended), decided) <= binomial_limit(trials)


REPRESENTATIVE = [
    ("period of 3 blocks", 2, 12),
    ("period of 4 blocks", 2, 6),
    ("period of 5 blocks", 2, 12),
    ("period of 12 blocks", 6, 6),
    ("drift", 6, 6),
    ("steps", 2, 12),
    ("one-sided noise of one cell, 3 %", 2, 12),
    ("one-sided noise of one cell, 30 %", 2, 24),
    ("unlucky blocks of one cell", 2, 24),
    ("unequal noise", 2, 12),
    ("one shared process", 6, 6),
    ("two shared processes", 5, 12),
    ("two shared processes and a period of 5 blocks", 2, 12),
    ("two shared processes and unequal noise", 5, 12),
]


@pytest.mark.parametrize(("kind", "cells", "blocks"), REPRESENTATIVE)
def test_no_disturbance_in_time_and_no_unequal_noise_makes_an_effect(kind: str, cells: int, blocks: int) -> None:
    row = kind_row(kind, TRIALS, cells=cells, blocks=blocks)
    assert row["honest"], row


@pytest.mark.parametrize("kind", ["heavy tails", "two shared processes"])
def test_comparisons_that_leave_at_a_look_are_hardly_ever_wrong(kind: str) -> None:
    row = look_row(kind, max(100, TRIALS // 4), cells=6, blocks=14, look=9)
    assert row["honest"], row


def test_without_sharing_the_level_looks_make_more_wrong_verdicts() -> None:
    """What the share of each look is for: with the whole level at every look, some run is wrong more often."""
    kind = dataclasses.replace(KINDS["no disturbance"], noise=BlockNoise(0.1))
    wrong_runs = {1: 0, 12: 0}
    for family in families(3, kind, 40, TRIALS, cells=2):
        ends = [compare(Pairing(family["1"].pairs[:rounds])) for rounds in range(6, 41, 3)]
        wrong_runs[12] += any(decided_as(item) for item in ends)
        wrong_runs[1] += decided_as(ends[-1])
    assert wrong_runs[1] <= binomial_limit(TRIALS) < wrong_runs[12]


def decided_as(comparison: Comparison) -> bool:
    return comparison.verdict in ("faster", "slower")


def test_decided_comparisons_have_no_later_pairs() -> None:
    kind = Kind(BlockNoise(0.005))
    family = next(families(1, kind, 14, 1, cells=3))
    slower = Pairing(tuple(dataclasses.replace(pair, candidate=2 * pair.candidate) for pair in family["1"].pairs))
    noisy = next(families(2, Kind(BlockNoise(0.5)), 14, 1, cells=2))["1"]
    after = looked_at({"slower": slower, "noisy": noisy}, 9)
    assert {name: len(pairing.pairs) for name, pairing in after.items()} == {"slower": 9, "noisy": 14}


def test_the_whole_table_has_every_kind_at_every_number_of_blocks() -> None:
    rows = list(kind_rows(2, ["period of 2 blocks", "unequal noise"]))
    assert [(row["kind"], row["cells"], row["blocks"]) for row in rows] == [
        *(("period of 2 blocks", cells, blocks) for cells in (2, 6) for blocks in (6, 12, 24)),
        ("period of 2 blocks", 2, 40),
        *(("unequal noise", 2, blocks) for blocks in (6, 12, 24, 40)),
        ("unequal noise", 2, 40),
    ]
    assert [row["adaptive"] for row in rows] == [False] * 6 + [True] + [False] * 4 + [True]
    assert {f"period of {period} blocks" for period in range(2, 13)} < set(KINDS)
    last = list(kind_rows(2, ["drift"]))[-1]
    assert (last["kind"], last["cells"], last["blocks"]) == ("drift, look after 9 rounds", 6, 14)
    assert set(LOOKED) < set(KINDS)


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The order that one coin decides for two rounds: a random order, then its mirror image, references first."""
    simulated_machine.orders.cache_clear()
    monkeypatch.setattr(simulated_machine, "rounds", mirrored_rounds)
    yield
    simulated_machine.orders.cache_clear()


@pytest.mark.usefixtures("mirrored")
def test_the_simulation_shows_what_a_mirrored_order_does_wrong() -> None:
    row = kind_row("period of 4 blocks", TRIALS, cells=2, blocks=6)
    assert row["share"] > 0.10, row


@pytest.mark.slow
def test_every_kind_of_disturbance_keeps_the_limit() -> None:
    rows = list(kind_rows(TRIALS))
    assert all(row["honest"] for row in rows), [row for row in rows if not row["honest"]]
