"""Which model file an engine speaks with, and why that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kokoro_lab.errors import ModelError, ModelNotFoundError, SettingError
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.runtime.tuned import read_tuned

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.runtime.opening import Opened

__all__ = ["DEFAULT", "ModelChoice", "Spoken", "choose_model", "spoken_with"]

DEFAULT = "default"


@dataclass(frozen=True)
class ModelChoice:
    """A model file and the reason for it."""

    model: ModelFile
    why: str
    """One clause."""


@dataclass(frozen=True)
class Spoken:
    """What an engine speaks with."""

    model: ModelFile
    why: str
    """Why this model: asked for, the default, or what `models tune` found here."""
    path: Path
    """The file that was opened."""
    preoptimized: bool
    """Whether that is the model's pre-optimised form."""
    preoptimized_reason: str
    """Why it is not, where it was wanted."""
    kernels: str
    """Instruction set of the compiled operators, or none."""


def choose_model(config: EngineConfig, notice: Callable[[str], None] | None = None) -> ModelChoice:
    """The model that the settings ask for; for the default one the fastest equivalent variant, if tuning found one.

    Nothing is measured here. Raises what `models.catalog.resolve` raises.
    """
    if config.model != DEFAULT:
        return ModelChoice(resolve(config.model, notice=notice), "it was asked for")
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
    from kokoro_lab.kernels.library import choose

    return choose().reason


def spoken_with(choice: ModelChoice, opened: Opened) -> Spoken:
    """A choice, once its session is open."""
    return Spoken(choice.model, choice.why, opened.path, opened.preoptimized, opened.reason, opened.kernels)
