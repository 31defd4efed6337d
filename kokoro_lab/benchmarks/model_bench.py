"""Compare variants with the model file that they replace, and with the targets of their recipes.

The texts have 16, 50, 150 and 400 tokens, one model call each. The base runs with onnxruntime's default settings;
candidates run with our engine's settings, from their pre-optimized file if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kokoro_lab.benchmarks.benchmark import Benchmark, BenchmarkRow, Contestant, Target
from kokoro_lab.benchmarks.figures import LOAD, MEMORY, SPEED, BenchmarkFigure
from kokoro_lab.models.catalog import resolve
from kokoro_lab.models.files.model_record import read_record
from kokoro_lab.variants.operator_profile import profile
from kokoro_lab.variants.probes import random_probe
from kokoro_lab.variants.timing import CALLS, OURS, PLAIN, timed_cell

__all__ = ["RECIPE_TARGETS", "RecipeTarget", "case_of", "model_benchmark", "profiles", "recipe_of"]


@dataclass(frozen=True)
class RecipeTarget:
    """A bound that the variants of a recipe have to reach at some lengths."""

    figure: BenchmarkFigure
    bound: float
    """Minimum speed, or maximum memory or session creation time, relative to the base."""
    tokens: tuple[int, ...]


ALL = tuple(CALLS)
RECIPE_TARGETS: Mapping[str, tuple[RecipeTarget, ...]] = {
    "optimized": (
        RecipeTarget(SPEED, 1.0, (16, 400)),
        RecipeTarget(SPEED, 1.05, (50, 150)),
        RecipeTarget(LOAD, 0.7, ALL),
    ),
    "int8": (RecipeTarget(SPEED, 1.8, (16,)), RecipeTarget(SPEED, 2.1, (150, 400)), RecipeTarget(MEMORY, 0.7, ALL)),
}
"""Recipe -> its targets relative to the file that upstream's exporter writes with the same weights."""


def model_benchmark(
    base: str, candidates: Sequence[str], *, reference: str = "", tokens: Sequence[int] = ALL, blocks: int = 6
) -> Benchmark:
    """The benchmark of `candidates` relative to `base` (names or paths).

    `reference` names the model whose audio is the reference, if that is not the base: upstream's exports draw other
    noise than our graphs. It is measured once per length.

    Raises SettingError for a length without a text, ModelNotFoundError for an unknown candidate.
    """
    models = dict.fromkeys((base, reference or base, *candidates))
    contestants = tuple(
        Contestant(
            model,
            case_of(length),
            timed_cell(model, length, PLAIN if model == base else OURS),
            None if model in (base, *candidates) else 1,
        )
        for length in tokens
        for model in models
    )
    targets = tuple(
        Target(figure, model, (case_of(length),), base, _bound(model, figure, length), speed=figure == SPEED)
        for model in dict.fromkeys(candidates)
        for length in tokens
        for figure in (SPEED, MEMORY, LOAD)
    )
    return Benchmark("models", contestants, targets, reference=reference or base, blocks=blocks)


def case_of(tokens: int) -> str:
    """The name of the case with this length."""
    return f"{tokens} tokens"


def recipe_of(model: str) -> str:
    """The recipe of the installed model `model`; empty when it has none."""
    recipe = (read_record(resolve(model).path) or {}).get("recipe") or {}
    return str(recipe.get("name", ""))


def profiles(rows: Sequence[BenchmarkRow]) -> list[dict[str, object]]:
    """Time per operator of each variant that missed a speed target, at the longest such length."""
    slow = {row.contestant: int(row.case.split()[0]) for row in rows if row.state == "missed" and row.figure == "speed"}
    return [
        {"model": name, "tokens": length, **operator.as_dict()}
        for name, length in slow.items()
        for operator in profile(resolve(name), random_probe(length))
    ]


def _bound(model: str, figure: BenchmarkFigure, tokens: int) -> float | None:
    targets = RECIPE_TARGETS.get(recipe_of(model), ())
    return next((target.bound for target in targets if target.figure == figure and tokens in target.tokens), None)
