"""Which model file an engine loads, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kokoro_lab.errors import ModelError, ModelNotFoundError, SettingError
from kokoro_lab.kernels.library import choose
from kokoro_lab.models.catalog import ModelFile, resolve
from kokoro_lab.runtime.exact.exact_form import exact_form
from kokoro_lab.runtime.tuning_record import Best, Tuned, read_tuned

if TYPE_CHECKING:
    from kokoro_lab.engine.config import EngineConfig
    from kokoro_lab.runtime.opening import SessionSource

__all__ = ["DEFAULT", "Form", "LoadedModel", "ModelChoice", "choose_model", "loaded_model"]

DEFAULT = "default"


Form = Literal["requested", "plain", "exact", "tuned"]
"""What a model file is to the settings: the file that they name, the default model itself, its exact form on compiled
kernels, or the variant that tuning found."""


@dataclass(frozen=True)
class ModelChoice:
    """A model file and the reason for it."""

    model: ModelFile
    why: str
    """The reason, a clause."""
    form: Form = "requested"
    preparable: ModelFile | None = None
    """The default model, where `kokoro-lab models prepare` has something to make for it here."""


@dataclass(frozen=True)
class LoadedModel:
    """The model that an engine has loaded."""

    model: ModelFile
    why: str
    """Why this model: it was requested, is the default or its exact form, or was the result of `models tune` here."""
    path: Path
    """The file that was opened."""
    preoptimized: bool
    """Whether that file is the model's pre-optimised form."""
    preoptimized_reason: str
    """Why it is not the pre-optimised form, where that was requested."""
    kernels: str
    """Instruction set of the compiled operators, or none."""
    form: Form = "requested"
    preparable: ModelFile | None = None
    """The default model, where `kokoro-lab models prepare` has something to make for it here."""


def choose_model(config: EngineConfig, notice: Callable[[str], None] | None = None) -> ModelChoice:
    """The model that the settings request; for the default model the fastest form of it that may stand for it here.

    That is the variant that tuning found, else the exact form on compiled kernels, else the model itself. Nothing is
    made or measured here. Raises what `models.catalog.resolve` raises.
    """
    if config.model != DEFAULT:
        return ModelChoice(resolve(config.model, notice=notice), "it was requested")
    source = resolve(DEFAULT, notice=notice)
    if not config.tuned:
        return ModelChoice(source, "it is the default, and its faster forms are off", "plain")
    if config.provider != "cpu":
        return ModelChoice(source, "it is the default, and its faster forms are for the CPU provider", "plain")
    tuned = read_tuned(source)
    if tuned is not None and tuned.equivalent is not None:
        best, why_not = _tuned_model(tuned.equivalent)
        if best is not None:
            speed = f"{tuned.equivalent.speed:.2f} times as fast"
            why = f"the fastest equivalent variant of {source.name} here, {speed}, by `models tune`"
            return ModelChoice(best, why, "tuned")
        return _untuned(source, tuned, f"; the tuned variant cannot be used: {why_not}")
    return _untuned(source, tuned)


def _tuned_model(best: Best) -> tuple[ModelFile | None, str]:
    """The variant that tuning found, or why it cannot be used."""
    try:
        model = resolve(best.name)
        missing = choose().reason if model.needs_kernels else ""
    except (ModelError, ModelNotFoundError, SettingError) as error:
        return None, error.message
    if model.sha256 != best.sha256:
        missing = f"{best.name} has changed since it was measured"
    return (None, missing) if missing else (model, "")


def _untuned(source: ModelFile, tuned: Tuned | None, note: str = "") -> ModelChoice:
    """The exact form of `source`, or itself where there is none or where tuning found it to be no faster."""
    found = exact_form(source)
    preparable = source if found.preparable else None
    if found.model is None:
        return ModelChoice(
            source, f"it is the default, without its exact form: {found.reason}{note}", "plain", preparable
        )
    if tuned is not None and tuned.equivalent is None and found.model.name in tuned.measured:
        return ModelChoice(
            source, f"it is the default, and tuning found no faster equivalent variant here{note}", "plain"
        )
    why = f"it is the exact form of {source.name} on compiled kernels ({choose().instruction_set}){note}"
    return ModelChoice(found.model, why, "exact", preparable)


def loaded_model(choice: ModelChoice, opened: SessionSource) -> LoadedModel:
    """The chosen model, once its session is open."""
    return LoadedModel(
        choice.model,
        choice.why,
        opened.path,
        opened.preoptimized,
        opened.reason,
        opened.kernels,
        choice.form,
        choice.preparable,
    )
