"""Recipes of variants (data/recipes/NAME.yaml): what is done to a graph, as data that is kept with the result.

A recipe takes the plain graph of a set of weights. Recipes for plain onnxruntime are steps of graph surgery; those with
`kernels` write the last two stages anew, on the compiled operators of `kokoro_lab.kernels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kokoro_lab.errors import ModelNotFoundError, SettingError
from kokoro_lab.models.architecture import Architecture
from kokoro_lab.models.kernel_rewrite import rewrite_for_kernels
from kokoro_lab.models.partition import fixed, split
from kokoro_lab.models.polyphase import split_phases
from kokoro_lab.models.quantize_dynamic import quantize_dynamic
from kokoro_lab.models.quantize_static import Range, conv_names, prepare, quantize_static, selected
from kokoro_lab.models.quantize_weights import half_arithmetic, half_weights, packed_matrices
from kokoro_lab.models.records import KERNELS
from kokoro_lab.models.rewrite import fold_styles
from kokoro_lab.models.surgery import Surgeon
from kokoro_lab.paths import data_folder

__all__ = ["Convolutions", "Recipe", "apply", "load_recipe", "recipe_names", "static_convolutions"]


class Convolutions(BaseModel):
    """Which convolutions become int8: shell patterns over module names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: tuple[str, ...] = Field(min_length=1)
    exclude: tuple[str, ...] = ()


class Matrices(BaseModel):
    """Which linear layers keep their weights in few bits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: Literal[4, 8]
    include: tuple[str, ...] = Field(min_length=1)


class Recipe(BaseModel):
    """One variant. Steps run in the order of these fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    summary: str
    kernels: Literal["none", "fp32", "int16"] = "none"
    """Put the decoder and the vocoder on the compiled operators, in this precision; goes with no other step."""
    optimize: bool = False
    """Fold AdaIN and Snake."""
    phases: bool = False
    """Upsample by plain convolutions."""
    static_int8: Convolutions | None = None
    dynamic_int8: bool = False
    """The public recipe: everything that onnxruntime's dynamic quantiser takes."""
    half: Literal["", "weights", "arithmetic"] = ""
    matrices: Matrices | None = None
    tokens: int = Field(default=0, ge=0, le=512)
    """A fixed number of tokens, the two ends included; 0 leaves it open."""
    split: bool = False
    """Two files, before and after the source."""

    @model_validator(mode="after")
    def _kernels_stand_alone(self) -> Recipe:
        changed = self.model_dump(exclude={"name", "summary", "kernels"}, exclude_defaults=True)
        if self.kernels != "none" and changed:
            raise ValueError(f"kernels go with no other step, and this recipe has {', '.join(changed)}")
        return self

    @property
    def precision(self) -> str:
        """What the catalogue calls the result."""
        if self.kernels != "none":
            return KERNELS + self.kernels
        if self.static_int8 or self.dynamic_int8:
            return "int8"
        if self.matrices:
            return f"int{self.matrices.bits}-weights"
        return {"": "fp32", "weights": "fp16-weights", "arithmetic": "fp16"}[self.half]


def recipe_names() -> list[str]:
    """The recipes there are."""
    return sorted(path.stem for path in (data_folder() / "recipes").glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """The recipe called `name`, or the one in the file at that path.

    Raises ModelNotFoundError when there is none and SettingError, with every mistake, when it is malformed.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else data_folder() / "recipes" / f"{name}.yaml"
    try:
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"there is no recipe {name!r}; use one of {', '.join(recipe_names())}") from error
    except yaml.YAMLError as error:
        raise SettingError(f"recipe {path} is not YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        mistakes = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingError(f"recipe {path} has mistakes: {mistakes}") from error
    return recipe


def static_convolutions(recipe: Recipe, model: onnx.ModelProto) -> list[str]:
    """The convolutions that the recipe makes int8; SettingError when its patterns fit none."""
    if recipe.static_int8 is None:
        return []
    names = selected(conv_names(model), recipe.static_int8.include, recipe.static_int8.exclude)
    if not names:
        raise SettingError(f"recipe {recipe.name!r} selects no convolution of this model; look at its patterns")
    return names


def apply(
    recipe: Recipe, model: onnx.ModelProto, arch: Architecture, reach: Mapping[str, Range] | None = None
) -> dict[str, onnx.ModelProto]:
    """Suffix of the file's name -> model: one with an empty suffix, or `front` and `back`.

    `reach` are the calibrated ranges that static int8 needs (`variants.calibrate`).
    """
    if recipe.kernels != "none":
        return {"": rewrite_for_kernels(model, recipe.kernels)}
    convs = static_convolutions(recipe, model)
    if convs:
        if reach is None:
            raise SettingError(f"recipe {recipe.name!r} needs calibrated ranges; run it through `models quantize`")
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
