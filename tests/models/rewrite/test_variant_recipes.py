"""Recipes as data: every file of data/recipes loads, mistakes are all named, and each says what its result is."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from kokoro_lab.errors import ModelNotFoundError, SettingError
from kokoro_lab.models.graph.architecture import TINY
from kokoro_lab.models.graph.model_graph import build_stage
from kokoro_lab.models.graph.weights import seeded_state
from kokoro_lab.models.rewrite.variant_recipes import (
    VariantRecipe,
    apply,
    load_recipe,
    recipe_names,
    static_convolutions,
)


@pytest.fixture(scope="module")
def vocoder() -> onnx.ModelProto:
    return build_stage(TINY, seeded_state(TINY, 1), "vocoder")


def recipe(**steps: object) -> VariantRecipe:
    return VariantRecipe.model_validate({"name": "mine", "summary": "a test", **steps})


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_is_shipped_loads_under_its_own_name_and_all_but_the_reference_change_something(
    name: str,
) -> None:
    loaded = load_recipe(name)
    assert loaded.name == name
    steps = loaded.model_dump(exclude={"name", "summary"}, exclude_defaults=True)
    assert bool(steps) == (name != "reference")


@pytest.mark.parametrize(
    ("steps", "precision"),
    [
        ({}, "fp32"),
        ({"optimize": True, "split": True}, "fp32"),
        ({"half": "weights"}, "fp16-weights"),
        ({"half": "arithmetic"}, "fp16"),
        ({"dynamic_int8": True, "half": "weights"}, "int8"),
        ({"static_int8": {"include": ["decoder.*"]}}, "int8"),
        ({"matrices": {"bits": 4, "include": ["bert.*"]}}, "int4-weights"),
        ({"kernels": "int16"}, "kernels-int16"),
    ],
)
def test_the_precision_is_that_of_the_narrowest_step(steps: dict[str, object], precision: str) -> None:
    assert recipe(**steps).precision == precision


def test_kernels_go_with_no_other_step() -> None:
    with pytest.raises(ValueError, match=r"kernels .* optimize, tokens"):
        recipe(kernels="fp32", optimize=True, tokens=64)


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: Bad Name\nsummary: s\ntokens: 9000\nhalf: twice\nfaster: true\n")
    with pytest.raises(SettingError) as caught:
        load_recipe(str(path))
    for field in ("name", "tokens", "half", "faster"):
        assert f"{field}: " in caught.value.message


def test_a_file_that_is_no_yaml_and_a_name_that_is_no_recipe_have_errors_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "torn.yaml").write_text("name: [")
    with pytest.raises(SettingError, match=r"is malformed: .*, line 1"):
        load_recipe(str(tmp_path / "torn.yaml"))
    with pytest.raises(ModelNotFoundError) as caught:
        load_recipe("fastest")
    assert "'fastest'" in caught.value.message
    assert all(name in caught.value.message for name in recipe_names())


def test_patterns_select_convolutions_and_patterns_that_fit_none_are_an_error(vocoder: onnx.ModelProto) -> None:
    every = static_convolutions(recipe(static_int8={"include": ["decoder.generator.*"]}), vocoder)
    fewer = static_convolutions(
        recipe(static_int8={"include": ["decoder.generator.*"], "exclude": ["*resblocks.0*"]}), vocoder
    )
    gone = set(every) - set(fewer)
    assert gone and all("resblocks.0" in name for name in gone)
    assert static_convolutions(recipe(optimize=True), vocoder) == []
    with pytest.raises(SettingError, match="'mine' selects no convolution"):
        static_convolutions(recipe(static_int8={"include": ["encoder.*"]}), vocoder)


def test_static_int8_without_calibrated_ranges_is_refused(vocoder: onnx.ModelProto) -> None:
    with pytest.raises(SettingError, match="calibrated ranges"):
        apply(recipe(static_int8={"include": ["decoder.*"]}), vocoder, TINY)


def test_a_recipe_without_steps_gives_the_graph_it_was_given(vocoder: onnx.ModelProto) -> None:
    assert apply(recipe(), vocoder, TINY) == {"": vocoder}


def test_optimize_and_phases_are_steps_of_their_own(vocoder: onnx.ModelProto) -> None:
    def kinds(**steps: object) -> list[str]:
        return [node.op_type for node in apply(recipe(**steps), vocoder, TINY)[""].graph.node]

    plain, folded, phased, both = kinds(), kinds(optimize=True), kinds(phases=True), kinds(optimize=True, phases=True)
    assert folded.count("ConvTranspose") == plain.count("ConvTranspose") == phased.count("ConvTranspose") + 2
    assert phased.count("InstanceNormalization") == plain.count("InstanceNormalization") > 0
    assert folded.count("Mul") < plain.count("Mul") and both.count("Mul") == folded.count("Mul")
    assert both.count("ConvTranspose") == phased.count("ConvTranspose")
