"""Verdicts against a known truth, under block effects and heavy tails.

machine_noise.json holds the noise of the machine that the figures are made on. KOKORO_LAB_TRIALS sets the number of
trials; 2,000 are what the limits of the design are stated for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kokoro_lab.measure.noise import detectable
from kokoro_lab.measure.simulate import (
    BlockNoise,
    affordable,
    binomial_limit,
    main,
    pairing,
    pairings,
    prove,
    wrong,
)
from kokoro_lab.measure.statistics import MARGIN, Pairing, compare, compare_all, narrow_enough

TRIALS = int(os.environ.get("KOKORO_LAB_TRIALS", "400"))
MACHINE = json.loads(Path(__file__).with_name("machine_noise.json").read_text())
NOISE = BlockNoise(block_sd=MACHINE["block_sd"])
WILD = BlockNoise(block_sd=0.06, tail=2.1, hit_share=0.25, hit=2.0, drift_sd=0.1)


def decided(trial: Pairing) -> bool:
    return compare(trial).verdict in ("faster", "slower")


def equal(trial: Pairing) -> bool:
    return compare(trial).verdict == "equivalent"


def test_the_limit_of_the_design_is_the_99_percent_binomial_limit() -> None:
    assert binomial_limit(2_000) == 123


@pytest.mark.parametrize("noise", [NOISE, WILD], ids=["this machine", "a wild one"])
@pytest.mark.parametrize("pairs", [6, 9, 12, 25])
def test_a_against_a_is_hardly_ever_faster_or_slower(noise: BlockNoise, pairs: int) -> None:
    assert wrong(pairings(pairs, noise, pairs, TRIALS), decided) <= binomial_limit(TRIALS)


@pytest.mark.parametrize("ratio", [1.0 + MARGIN, 1.0 / (1.0 + MARGIN)])
@pytest.mark.parametrize("pairs", [6, 12, 40])
def test_a_difference_of_the_margin_is_hardly_ever_equivalent(pairs: int, ratio: float) -> None:
    quiet = BlockNoise(block_sd=0.01, repeat_sd=0.005)
    assert wrong(pairings(pairs, quiet, pairs, TRIALS, ratio=ratio), equal) <= binomial_limit(TRIALS)


def test_a_quiet_a_against_a_is_mostly_found_equivalent() -> None:
    quiet = BlockNoise(block_sd=0.01, repeat_sd=0.005)
    assert wrong(pairings(1, quiet, 12, TRIALS), equal) >= 0.9 * TRIALS


def test_twenty_comparisons_together_are_hardly_ever_wrong() -> None:
    rng = np.random.default_rng(2)
    families = max(40, TRIALS // 10)
    mistaken = 0
    for _ in range(families):
        results = compare_all({str(number): pairing(rng, NOISE, 12) for number in range(20)})
        mistaken += any(result.verdict in ("faster", "slower") for result in results.values())
    assert mistaken <= binomial_limit(families)


def test_the_machine_can_be_believed_and_finds_five_percent_in_a_five_minute_plan() -> None:
    proof = prove(NOISE, affordable(MACHINE["block_s"]), TRIALS)
    assert proof.honest and proof.strong, proof


def test_more_noise_hides_an_effect_and_never_makes_one_up() -> None:
    proof = prove(BlockNoise(block_sd=0.15), 12, TRIALS)
    assert proof.honest and not proof.strong, proof


def test_the_simulation_can_be_run_for_any_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = tmp_path / "noise.json"
    noise.write_text(json.dumps({"block_sd": 0.02, "block_s": 10.0}))
    assert main(["--noise", str(noise), "--trials", "60", "--sd", "0.3", "--json"]) == 0
    here, louder = json.loads(capsys.readouterr().out)["rows"]
    assert (here["pairs"], here["strong"], louder["strong"], louder["honest"]) == (15, True, False, True)
    noise.write_text(json.dumps({"block_sd": 0.3, "block_s": 10.0}))
    assert main(["--noise", str(noise), "--trials", "60", "--sd"]) == 1
    assert "too rarely" in capsys.readouterr().out


def test_what_is_called_detectable_is_detected() -> None:
    for pairs in (6, 8, 16, 30):
        noise = BlockNoise(block_sd=0.03, tail=30.0, repeat_sd=1e-4, hit_share=0.0)
        effect = 1.0 + detectable(0.03, pairs)
        found = sum(compare(trial).verdict == "slower" for trial in pairings(pairs, noise, pairs, TRIALS, ratio=effect))
        assert found / TRIALS == pytest.approx(0.8, abs=0.08)


def test_going_on_until_the_interval_is_narrow_does_not_make_more_wrong_verdicts() -> None:
    rng = np.random.default_rng(4)
    trials = max(100, TRIALS // 4)
    mistaken = 0
    for _ in range(trials):
        whole = pairing(rng, NOISE, 40).pairs
        for rounds in range(6, 41, 2):
            so_far = Pairing(whole[:rounds])
            if narrow_enough({"": so_far}):
                break
        mistaken += decided(so_far)
    assert mistaken <= binomial_limit(trials)
