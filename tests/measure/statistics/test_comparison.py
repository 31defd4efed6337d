from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kokoro_lab.measure.records.cell import Block, BlockResult, Cell, QuietReading, Repeat
from kokoro_lab.measure.statistics.comparison import (
    MARGIN,
    BlockValue,
    Pair,
    Pairing,
    block_value,
    compare,
    compare_all,
    holm,
    narrow_enough,
    pair_up,
    superiority,
)


def pairing(ratios: list[float], text: str = "short") -> Pairing:
    return Pairing(tuple(Pair(text, number, 1.0, ratio) for number, ratio in enumerate(ratios)))


def around(ratio: float, count: int, spread: float = 0.005, seed: int = 1) -> list[float]:
    return (ratio * np.exp(np.random.default_rng(seed).normal(0.0, spread, count))).tolist()


def block(round_: int, totals: list[float], *, attempt: int = 0, contaminated: bool = False) -> Block:
    repeats = tuple(
        Repeat(i, total, total, 1.0, 1.0, 0.1, 0, 0, 0, total, 0, 0, 50, True) for i, total in enumerate(totals)
    )
    quiet = QuietReading(contaminated, "hog" if contaminated else "")
    return Block(Cell("tiny", "Hi"), round_, 0, round_, BlockResult("ok", repeats=repeats), quiet, attempt=attempt)


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(0.90, "faster"), (1.10, "slower"), (1.0, "equivalent"), (1.005, "equivalent")]
)
def test_clear_cases_get_their_verdict(ratio: float, verdict: str) -> None:
    result = compare(pairing(around(ratio, 12)))
    assert result.verdict == verdict
    assert result.ratio == pytest.approx(ratio, rel=0.01)
    assert result.low is not None
    assert result.high is not None
    assert result.low <= result.ratio <= result.high
    assert result.margin == MARGIN


def test_five_pairs_decide_nothing_however_large_the_effect() -> None:
    assert compare(pairing([0.5] * 5)).verdict == "inconclusive"
    assert compare(pairing([0.5] * 6)).verdict == "faster"
    assert compare(pairing([])).verdict == "inconclusive"


def test_twenty_comparisons_need_ten_pairs_each() -> None:
    nine = compare_all({str(number): pairing([0.5] * 9) for number in range(20)})
    ten = compare_all({str(number): pairing([0.5] * 10) for number in range(20)})
    assert {result.verdict for result in nine.values()} == {"inconclusive"}
    assert {result.verdict for result in ten.values()} == {"faster"}
    assert "at least 10 are required" in nine["0"].reason


def test_a_real_but_small_difference_is_neither_faster_nor_proof_of_more() -> None:
    assert compare(pairing(around(0.98, 40, 0.002))).verdict == "equivalent"
    edge = compare(pairing(around(0.9712, 40, 0.01)))
    assert edge.verdict == "inconclusive"
    assert "not shown to reach" in edge.reason


def test_noise_is_inconclusive_and_not_equivalent() -> None:
    assert compare(pairing(around(1.0, 8, 0.15))).verdict == "inconclusive"


def test_what_must_not_be_judged_is_invalid_and_does_not_cost_the_others_power() -> None:
    pairings = {"wrong audio": pairing([0.5] * 6), "good": pairing([0.5] * 6)}
    results = compare_all(pairings, invalid={"wrong audio": "Its audio is different."})
    assert results["wrong audio"].verdict == "invalid"
    assert results["wrong audio"].reason == "Its audio is different."
    assert results["good"].verdict == "faster"


def test_texts_that_disagree_are_not_averaged_away() -> None:
    pairs = [Pair("short", n, 1.0, 0.7 + n / 1000) for n in range(12)]
    pairs += [Pair("long", n, 1.0, 1.1 + n / 1000) for n in range(4)]
    result = compare(Pairing(tuple(pairs)))
    assert result.verdict == "inconclusive"
    assert "long" in result.reason
    assert result.by_text["short"] < 1 < result.by_text["long"]


def test_ten_texts_are_ten_units_however_many_rounds_there_were() -> None:
    pairs = [Pair(str(text), n, 1.0, 0.9 + text / 1000 + n / 1e4) for text in range(10) for n in range(20)]
    result = compare(Pairing(tuple(pairs)))
    assert result.p == pytest.approx(2 / 2**10)
    assert (result.pairs, result.texts) == (200, 10)


def test_repeats_are_not_evidence() -> None:
    few = [block_value(block(n, [100.0])) for n in range(6)]
    many = [block_value(block(n, [90.0] * 1000)) for n in range(6)]
    assert compare(pair_up(few, many)).p == pytest.approx(2 / 2**6)  # type: ignore[arg-type]


def test_a_block_is_the_median_of_its_repeats_and_a_failed_one_is_nothing() -> None:
    value = block_value(block(3, [10.0, 12.0, 500.0]))
    assert value == BlockValue("Hi", 3, 12.0)
    assert block_value(block(3, [])) is None


def test_pairs_are_of_one_round_and_one_text_and_nothing_is_left_out_silently() -> None:
    base = [BlockValue("a", 0, 1.0), BlockValue("a", 1, 1.0), BlockValue("b", 0, 1.0), BlockValue("a", 2, 1.0)]
    candidate = [
        BlockValue("a", 0, 2.0, contaminated=True),
        BlockValue("a", 0, 3.0, attempt=1),
        BlockValue("a", 1, 2.0, contaminated=True),
        BlockValue("b", 0, 5.0),
    ]
    made = pair_up(base, candidate)
    assert made.pairs == (Pair("a", 0, 1.0, 3.0), Pair("b", 0, 1.0, 5.0))
    assert made.left_out == {"contaminated": 1, "no partner in the round": 1}
    assert len(pair_up(base, candidate, use_contaminated=True).pairs) == 3


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_is_never_below_the_raw_p_nor_above_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw - 1e-12 <= corrected <= min(1.0, len(p_values) * raw) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0.0)


def test_holm_agrees_with_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=20))
@settings(max_examples=50)
def test_swapping_the_cells_swaps_the_verdict(ratios: list[float]) -> None:
    forth = compare(pairing(ratios))
    back = compare(
        Pairing(tuple(Pair(pair.text, pair.round, pair.candidate, pair.base) for pair in pairing(ratios).pairs))
    )
    swap = {"faster": "slower", "slower": "faster"}
    assert back.verdict == swap.get(forth.verdict, forth.verdict)
    assert forth.ratio is not None
    assert back.ratio == pytest.approx(1.0 / forth.ratio)
    assert forth.superiority is not None
    assert back.superiority == pytest.approx(1.0 - forth.superiority)


@given(st.floats(1e-3, 1e3), st.lists(st.floats(0.5, 2.0), min_size=6, max_size=12))
@settings(max_examples=50)
def test_the_unit_of_time_changes_nothing(unit: float, ratios: list[float]) -> None:
    scaled = Pairing(tuple(Pair("short", n, unit, unit * ratio) for n, ratio in enumerate(ratios)))
    first, second = compare(pairing(ratios)), compare(scaled)
    assert first.ratio == pytest.approx(second.ratio)
    assert first.p == pytest.approx(second.p, abs=0.05)


def test_superiority_counts_ties_half_and_is_nothing_without_pairs() -> None:
    assert superiority(pairing([0.5] * 4).pairs) == 1.0
    assert superiority(pairing([1.0] * 4).pairs) == 0.5
    assert superiority(()) is None


def test_sampling_ends_by_the_width_of_the_interval_and_not_by_the_verdict() -> None:
    narrow = narrow_enough({"a": pairing(around(0.9, 20, 0.005))})
    assert narrow is not None
    assert "%" in narrow
    assert narrow_enough({"a": pairing(around(0.5, 20, 0.2))}) is None
    assert narrow_enough({"a": pairing([1.0] * 5)}) is None
    assert narrow_enough({"a": pairing(around(0.9, 20, 0.005)), "b": pairing(around(1.0, 20, 0.2))}) is None
    assert math.isfinite(MARGIN)
