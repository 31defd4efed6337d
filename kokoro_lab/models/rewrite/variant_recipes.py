"""Recipes of variants (data/recipes/NAME.yaml): how a graph is changed, as data that is stored with the result.

A recipe starts from the plain graph of a set of weights. Recipes for standard onnxruntime are steps of graph editing;
those with `kernels` rewrite the last two stages with the compiled operators of `kokoro_lab.kernels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnx
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kokoro_lab.errors import ModelNotFoundError, SettingError
from kokoro_lab.files.documents import read_model
from kokoro_lab.models.files.model_record import KERNELS
from kokoro_lab.models.graph.architecture import Architecture
from kokoro_lab.models.rewrite.folding import fold_styles
from kokoro_lab.models.rewrite.kernel_rewrite import rewrite_for_kernels
from kokoro_lab.models.rewrite.partition import fixed, split
from kokoro_lab.models.rewrite.polyphase import split_phases
from kokoro_lab.models.rewrite.quantize_dynamic import quantize_dynamic
from kokoro_lab.models.rewrite.quantize_static import ActivationRange, conv_names, prepare, quantize_static, selected
from kokoro_lab.models.rewrite.quantize_weights import half_arithmetic, half_weights, packed_matrices
from kokoro_lab.models.rewrite.surgery import Surgeon
from kokoro_lab.paths import data_folder

__all__ = ["Convolutions", "VariantRecipe", "apply", "load_recipe", "recipe_names", "static_convolutions"]


class Convolutions(BaseModel):
    """The convolutions that become int8: shell patterns over module names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()


class Matrices(BaseModel):
    """The linear layers whose weights are stored in few bits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: Literal[4, 8]
    include: tuple[str, ...] = Field(min_length=1)


class VariantRecipe(BaseModel):
    """A variant. Steps run in the order of these fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    summary: str
    kernels: Literal["none", "fp32", "int16"] = "none"
    """Put decoder and vocoder on the compiled operators, in this precision; excludes all other steps."""
    optimize: bool = False
    """Fold AdaIN and Snake."""
    phases: bool = False
    """Upsample by plain convolutions."""
    static_int8: Convolutions | None = None
    dynamic_int8: bool = False
    """The recipe of public files: everything that onnxruntime's dynamic quantiser supports."""
    half: Literal["", "weights", "arithmetic"] = ""
    matrices: Matrices | None = None
    tokens: int = Field(default=0, ge=0, le=512)
    """A fixed number of tokens, the two ends included; 0 leaves the dimension open."""
    split: bool = False
    """Two files, before and after the source."""

    @model_validator(mode="after")
    def _kernels_stand_alone(self) -> VariantRecipe:
        changed = self.model_dump(exclude={"name", "summary", "kernels"}, exclude_defaults=True)
        if self.kernels != "none" and changed:
            raise ValueError(f"kernels exclude all other steps; remove {', '.join(changed)}")
        return self

    @property
    def precision(self) -> str:
        """The catalogue's name for the result's precision."""
        if self.kernels != "none":
            return KERNELS + self.kernels
        if self.static_int8 or self.dynamic_int8:
            return "int8"
        if self.matrices:
            return f"int{self.matrices.bits}-weights"
        return {"": "fp32", "weights": "fp16-weights", "arithmetic": "fp16"}[self.half]


def recipe_names() -> list[str]:
    """The available recipes."""
    return sorted(path.stem for path in (data_folder() / "recipes").glob("*.yaml"))


def load_recipe(name: str) -> VariantRecipe:
    """The recipe called `name`, or the recipe in the file at that path.

    Raises ModelNotFoundError for an unknown name and SettingError, listing every mistake, for a malformed recipe.
    """
    if name.endswith((".yaml", ".yml")):
        return read_model(Path(name), VariantRecipe, what="recipe", error=SettingError, missing=ModelNotFoundError)
    if name not in recipe_names():
        raise ModelNotFoundError(f"unknown recipe {name!r}; choose one of {', '.join(recipe_names())}")
    path = data_folder() / "recipes" / f"{name}.yaml"
    return read_model(path, VariantRecipe, what="recipe", error=SettingError)


def static_convolutions(recipe: VariantRecipe, model: onnx.ModelProto) -> list[str]:
    """The convolutions that the recipe makes int8; SettingError when its patterns match none."""
    if recipe.static_int8 is None:
        return []
    names = selected(conv_names(model), recipe.static_int8.include, recipe.static_int8.exclude)
    if not names:
        raise SettingError(f"recipe {recipe.name!r} selects no convolution of this model; check its patterns")
    return names


def apply(
    recipe: VariantRecipe,
    model: onnx.ModelProto,
    arch: Architecture,
    reach: Mapping[str, ActivationRange] | None = None,
) -> dict[str, onnx.ModelProto]:
    """Suffix of the file's name -> model: an empty suffix, or `front` and `back`.

    `reach` are the calibrated ranges that static int8 needs (see `variants.calibrate`).
    """
    if recipe.kernels != "none":
        return {"": rewrite_for_kernels(model, recipe.kernels)}
    convs = static_convolutions(recipe, model)
    if convs:
        if reach is None:
            raise SettingError(f"recipe {recipe.name!r} needs calibrated ranges; apply it with `models quantize`")
        model = quantize_static(prepare(model, convs), convs, reach)
    elif recipe.optimize or recipe.phases:
        surgeon = Surgeon(model)
        if recipe.optimize:
            fold_styles(surgeon)
        if recipe.phases:
            split_phases(surgeon)
        model = surgeon.finish({"kokoro_lab.graph": "optimized"})
    if recipe.dynamic_int8:
        model = quantize_dynamic(model)
    if recipe.half == "weights":
        model = half_weights(model)
    elif recipe.half == "arithmetic":
        model = half_arithmetic(model)
    if recipe.matrices is not None:
        model = packed_matrices(model, recipe.matrices.bits, recipe.matrices.include)
    if recipe.tokens:
        model = fixed(model, {"T": recipe.tokens})
    if recipe.split:
        front, back = split(model, arch)
        return {"front": front, "back": back}
    return {"": model}
