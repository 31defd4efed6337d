"""Environment variables: how their text is read, and a report of what each was applied to, or why it has no effect."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.field_checks import FORMER_NAMES
from kokoro_lab.runtime.providers import PROVIDERS

__all__ = ["VariableReport", "documented_options", "read_value", "report", "variable", "variables_of"]

PREFIXES = ("KOKORO_", "COREML_")

DOCUMENTED: Mapping[str, tuple[str, str]] = {
    "KOKORO_COREML_COMPUTE_UNITS": ("coreml", "MLComputeUnits"),
    "KOKORO_COREML_MODEL_FORMAT": ("coreml", "ModelFormat"),
    "KOKORO_COREML_SPECIALIZATION": ("coreml", "SpecializationStrategy"),
    "COREML_USE_FLOAT16": ("coreml", "AllowLowPrecisionAccumulationOnGPU"),
}
"""Variables of the specification that name an option of a provider."""

WITHOUT_OPTION: Mapping[str, str] = {
    "COREML_NEURAL_ENGINE_OPTIMIZATION": "the Core ML provider has no such option; MLComputeUnits selects processors",
    "COREML_OPTIMIZE_FOR_APPLE_SILICON": "the Core ML provider has no such option",
}
"""Variables of the specification that have no effect here, and why."""

SPECIFIED: Mapping[str, str] = {"arena_limit_mib": "KOKORO_MEMORY_ARENA_SIZE_MB"}
"""Setting -> the specification's variable for it, which is read when ours is not set."""

FOLDERS: Mapping[str, str] = {
    "KOKORO_LAB_HOME": "the folder of models and voices",
    "KOKORO_LAB_RESULTS": "the folder of results",
}


def variable(name: str) -> str:
    """The environment variable that sets the field `name`."""
    return f"KOKORO_{name.upper()}"


def variables_of(name: str) -> tuple[str, ...]:
    """The variables that set the field `name`; the first that is set counts."""
    earlier = (variable(FORMER_NAMES[name]),) if name in FORMER_NAMES else ()
    specified = (SPECIFIED[name],) if name in SPECIFIED else ()
    return (variable(name), *earlier, *specified)


@dataclass(frozen=True)
class VariableReport:
    """One KOKORO_* or COREML_* variable that is set."""

    name: str
    value: str
    applied_to: str
    """Setting or provider option that it set; empty when it has no effect."""
    reason: str = ""
    """Why it has no effect."""


def documented_options(environ: Mapping[str, str], provider: str) -> dict[str, str]:
    """Options that the specification's variables set for this provider, with unchanged values."""
    return {
        option: environ[name]
        for name, (owner, option) in DOCUMENTED.items()
        if owner == provider and environ.get(name, "").strip()
    }


def report(
    environ: Mapping[str, str],
    settings: Collection[str],
    overridden: Collection[str],
    provider: str,
    options: Mapping[str, str],
) -> tuple[VariableReport, ...]:
    """A report on every variable with our prefixes, by name.

    settings: names of the settings that have a variable. overridden: settings given in code, which take precedence.
    provider, options: as finally requested.
    """
    setters = {each: (name, variables_of(name)) for name in settings for each in variables_of(name)}
    reports = []
    for name in sorted(environ):
        if not name.startswith(PREFIXES):
            continue
        applied, reason = "", ""
        if name in setters:
            field, names = setters[name]
            winner = next(each for each in names if each in environ)
            if field in overridden:
                reason = f"{field} was given in code, which takes precedence"
            elif winner != name:
                reason = f"{field} was set by {winner}, which takes precedence"
            else:
                applied = field
        elif name in DOCUMENTED:
            applied, reason = _option_report(name, environ[name], provider, options)
        elif name in FOLDERS:
            applied = FOLDERS[name]
        else:
            reason = WITHOUT_OPTION.get(name, "no setting has this name")
        reports.append(VariableReport(name, environ[name], applied, reason))
    return tuple(reports)


def _option_report(name: str, value: str, provider: str, options: Mapping[str, str]) -> tuple[str, str]:
    """What a variable of the specification was applied to, and why it has no effect; one of the two is empty."""
    owner, option = DOCUMENTED[name]
    if owner != provider:
        return "", f"it sets an option of {owner}, but the provider is {provider}"
    if options.get(option) != PROVIDERS[owner].option(option).read(value):
        return "", f"{option} was set by KOKORO_PROVIDER_OPTIONS or in code, which takes precedence"
    return f"{owner}.{option}", ""


def read_value(hint: Any, text: str) -> Any:
    """A variable's text as the field's type; the ValueError says what to use."""
    if hint is bool:
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off"}:
            return False
        raise ValueError("use true or false")
    if hint is int or hint is float:
        try:
            return hint(text)
        except ValueError:
            raise ValueError("use a whole number" if hint is int else "use a number") from None
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        kind = next(kind for kind in typing.get_args(hint) if kind is not type(None))
        return read_value(kind, text) if text else None
    if hint is Path:
        return Path(text)
    if typing.get_origin(hint) is tuple:
        items = tuple(item.strip() for item in text.split(",") if item.strip())
        if typing.get_args(hint)[0] is str:
            return items
        pairs = tuple(tuple(part.strip() for part in item.split("=", 1)) for item in items)
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("use name=value, separated by commas")
        return pairs
    return text
