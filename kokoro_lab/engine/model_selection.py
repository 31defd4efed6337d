"""Which model file an engine loads, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import ModelError, ModelNotFoundError, SettingError
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.runtime.tuning_record import read_tuned

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.runtime.opening import SessionSource

__all__ = ["DEFAULT", "LoadedModel", "ModelChoice", "choose_model", "loaded_model"]

DEFAULT = "default"


@dataclass(frozen=True)
class ModelChoice:
    """A model file and the reason for it."""

    model: ModelFile
    why: str
    """The reason, a clause."""


@dataclass(frozen=True)
class LoadedModel:
    """The model that an engine has loaded."""

    model: ModelFile
    why: str
    """Why this model: it was requested, is the default, or was the result of `models tune` here."""
    path: Path
    """The file that was opened."""
    preoptimized: bool
    """Whether that file is the model's pre-optimised form."""
    preoptimized_reason: str
    """Why it is not the pre-optimised form, where that was requested."""
    kernels: str
    """Instruction set of the compiled operators, or none."""


def choose_model(config: EngineConfig, notice: Callable[[str], None] | None = None) -> ModelChoice:
    """The model that the settings request; for the default model its fastest equivalent variant, if it was tuned.

    Nothing is measured here. Raises what `models.catalog.resolve` raises.
    """
    if config.model != DEFAULT:
        return ModelChoice(resolve(config.model, notice=notice), "it was requested")
    source = resolve(DEFAULT, notice=notice)
    if not config.tuned:
        return ModelChoice(source, "it is the default, and tuned choices are off")
    if config.provider != "cpu":
        return ModelChoice(source, "it is the default, and tuned choices are for the CPU provider")
    if (tuned := read_tuned(source)) is None:
        return ModelChoice(source, "it is the default, not tuned on this machine: run `kokoro-lab models tune`")
    if (best := tuned.equivalent) is None:
        return ModelChoice(source, "it is the default, and tuning found no faster equivalent variant here")
    try:
        model = resolve(best.name)
        missing = _without_kernels() if model.needs_kernels else ""
    except (ModelError, ModelNotFoundError, SettingError) as error:
        return ModelChoice(source, f"it is the default; the tuned variant cannot be used: {error.message}")
    if model.sha256 != best.sha256:
        missing = f"{best.name} has changed since it was measured"
    if missing:
        return ModelChoice(source, f"it is the default; the tuned variant cannot be used: {missing}")
    why = f"the fastest equivalent variant of {source.name} here, {best.speed:.2f} times as fast, by `models tune`"
    return ModelChoice(model, why)


def _without_kernels() -> str:
    """Why the compiled operators cannot be used; empty when they can."""
    return choose().reason


def loaded_model(choice: ModelChoice, opened: SessionSource) -> LoadedModel:
    """The chosen model, once its session is open."""
    return LoadedModel(choice.model, choice.why, opened.path, opened.preoptimized, opened.reason, opened.kernels)
