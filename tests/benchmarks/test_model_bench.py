"""Variants against a base: the same lengths for all of them, and the targets of their recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kokoro_lab.benchmarks.model_bench import RECIPE_TARGETS, model_benchmark, recipe_of
from kokoro_lab.errors import ModelNotFoundError, SettingError
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.rewrite.variant_recipes import recipe_names
from kokoro_lab.variants.make import make
from kokoro_lab.variants.timing import CALLS, OURS, PLAIN


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOKORO_LAB_HOME", str(tmp_path))
    resolve("tiny")
    return tmp_path


@pytest.mark.parametrize("recipe", RECIPE_TARGETS)
def test_targets_are_of_recipes_and_lengths_that_there_are(recipe: str) -> None:
    assert recipe in recipe_names()
    assert {length for target in RECIPE_TARGETS[recipe] for length in target.tokens} <= set(CALLS)


def test_a_variant_has_the_targets_of_its_recipe(home: Path) -> None:
    make("tiny", "optimized")
    benchmark = model_benchmark("tiny", ["tiny-optimized"], tokens=(16, 50))
    assert recipe_of("tiny-optimized") == "optimized"
    bounds = {(target.figure.name, target.cases): target.bound for target in benchmark.targets}
    assert bounds == {
        ("speed", ("16 tokens",)): 1.0,
        ("memory", ("16 tokens",)): None,
        ("load", ("16 tokens",)): 0.7,
        ("speed", ("50 tokens",)): 1.05,
        ("memory", ("50 tokens",)): None,
        ("load", ("50 tokens",)): 0.7,
    }
    settings = {each.name: each.cell.engine_settings for each in benchmark.contestants}
    assert settings == {"tiny": tuple(sorted(PLAIN)), "tiny-optimized": OURS}


def test_other_models_have_no_targets(home: Path) -> None:
    assert {target.bound for target in model_benchmark("tiny", ["tiny"], tokens=(16,)).targets} == {None}
    with pytest.raises(ModelNotFoundError):
        model_benchmark("tiny", ["nobody"])


def test_a_reference_of_its_own_is_spoken_once(home: Path) -> None:
    make("tiny", "optimized", "other")
    planned = model_benchmark("tiny", ["tiny"], reference="other", tokens=(16,), blocks=6).planned()
    assert {(item.cell.model, item.cell.reference, item.blocks) for item in planned} == {
        ("tiny", False, 6),
        ("other", True, 1),
    }


def test_a_length_without_a_text_is_refused(home: Path) -> None:
    with pytest.raises(SettingError, match="texts of 16, 50, 150, 400"):
        model_benchmark("tiny", ["tiny"], tokens=(17,))
