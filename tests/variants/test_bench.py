from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.recipes import recipe_names
from kokoro_lab.variants.bench import BARS, CALLS, Row, bench_texts, judgements
from kokoro_lab.variants.probes import random_probe
from kokoro_lab.variants.profile import profile

ROW = Row("int8", 150, 2.2, 2.1, 2.3, "faster", "close", 6, 0.65, 500.0, 0.9, 700.0)


def states(row: Row, recipe: str = "int8") -> dict[str, str]:
    return {each.figure: each.state for each in judgements([row], {row.model: recipe})}


def test_a_bar_on_speed_takes_the_median_and_the_low_end_of_the_interval() -> None:
    assert states(ROW) == {"speed": "met", "memory": "met"}
    assert states(replace(ROW, low=2.0))["speed"] == "undecided"  # under 0.97 of 2.1
    assert states(replace(ROW, low=None, high=None))["speed"] == "undecided"
    assert states(replace(ROW, speed=2.09))["speed"] == "missed"


def test_a_bar_on_memory_or_load_takes_the_median() -> None:
    assert states(replace(ROW, memory=0.71))["memory"] == "missed"
    assert states(replace(ROW, memory=None))["memory"] == "undecided"
    assert states(replace(ROW, load=0.69), "optimized")["load"] == "met"


def test_nothing_counts_for_a_variant_whose_audio_is_different() -> None:
    assert set(states(replace(ROW, gate="different")).values()) == {"undecided"}


@pytest.mark.parametrize("recipe", BARS)
def test_bars_are_of_recipes_and_lengths_that_there_are(recipe: str) -> None:
    assert recipe in recipe_names()
    assert {length for bar in BARS[recipe] for length in bar.tokens} <= set(CALLS) == set(bench_texts())


def test_longer_texts_come_with_more_tokens() -> None:
    texts = bench_texts()
    assert all(len(texts[short]) < len(texts[long]) for short, long in pairwise(sorted(texts)))


def test_other_recipes_have_no_bars() -> None:
    assert judgements([ROW], {"int8": "split"}) == []


def test_a_profile_shares_out_one_call_among_operators() -> None:
    found = profile(resolve("tiny"), random_probe(8))
    assert {"Conv", "Sin", "LSTM"} <= {each.operator for each in found}
    assert sum(each.share for each in found) == pytest.approx(1.0)
    assert [each.ms for each in found] == sorted((each.ms for each in found), reverse=True)
    (sines,) = (each for each in found if each.operator == "Sin")
    assert 48 <= sines.nodes < 60  # of one call, not of two
