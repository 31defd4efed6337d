"""Environment variables: their text as a value, and what became of each: what it was applied to, or why nothing."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kokoro_lab.runtime.providers import PROVIDERS

__all__ = ["SETTINGS", "VariableReport", "documented_options", "read_value", "report"]

PREFIXES = ("KOKORO_", "COREML_")

DOCUMENTED: Mapping[str, tuple[str, str]] = {
    "KOKORO_COREML_COMPUTE_UNITS": ("coreml", "MLComputeUnits"),
    "KOKORO_COREML_MODEL_FORMAT": ("coreml", "ModelFormat"),
    "KOKORO_COREML_SPECIALIZATION": ("coreml", "SpecializationStrategy"),
    "COREML_USE_FLOAT16": ("coreml", "AllowLowPrecisionAccumulationOnGPU"),
}
"""Variables of the documents that name an option a provider has."""

WITHOUT_OPTION: Mapping[str, str] = {
    "COREML_NEURAL_ENGINE_OPTIMIZATION": "the Core ML provider has no such option; MLComputeUnits chooses processors",
    "COREML_OPTIMIZE_FOR_APPLE_SILICON": "the Core ML provider has no such option",
}
"""Variables of the documents that nothing answers to."""

SETTINGS: Mapping[str, str] = {"arena_limit_mb": "KOKORO_MEMORY_ARENA_SIZE_MB"}
"""Setting -> the documents' variable for it, read where ours is not set."""

FOLDERS: Mapping[str, str] = {
    "KOKORO_LAB_HOME": "the folder of models and voices",
    "KOKORO_LAB_RESULTS": "the folder of results",
}


@dataclass(frozen=True)
class VariableReport:
    """One KOKORO_* or COREML_* variable that is set."""

    name: str
    value: str
    applied_to: str
    """Setting or provider option it reached; empty when it has no effect."""
    reason: str = ""
    """Why it has no effect."""


def documented_options(environ: Mapping[str, str], provider: str) -> dict[str, str]:
    """Options that the documents' variables ask of this provider, their values as they stand."""
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
    """What became of every variable with our prefixes, by name.

    settings: names of the settings that have a variable. overridden: those given in code, which win. provider, options:
    what was asked for in the end.
    """
    fields = {f"KOKORO_{name.upper()}": name for name in settings}
    theirs = {other: name for name, other in SETTINGS.items()}
    found = []
    for name in sorted(environ):
        if not name.startswith(PREFIXES):
            continue
        value, applied, reason = environ[name], "", ""
        if name in fields:
            applied = "" if fields[name] in overridden else fields[name]
            reason = "" if applied else f"{fields[name]} was given in code, which wins"
        elif name in theirs:
            field, ours = theirs[name], f"KOKORO_{theirs[name].upper()}"
            if field in overridden or ours in environ:
                reason = f"{field} was set by {ours} or in code, which wins"
            else:
                applied = field
        elif name in DOCUMENTED:
            owner, option = DOCUMENTED[name]
            if owner != provider:
                reason = f"it is an option of {owner}, and the provider is {provider}"
            elif options.get(option) != PROVIDERS[owner].option(option).read(value):
                reason = f"{option} was set otherwise by KOKORO_PROVIDER_OPTIONS or in code, which wins"
            else:
                applied = f"{owner}.{option}"
        elif name in FOLDERS:
            applied = FOLDERS[name]
        else:
            reason = WITHOUT_OPTION.get(name, "nothing here has that name")
        found.append(VariableReport(name, value, applied, reason))
    return tuple(found)


def read_value(hint: Any, text: str) -> Any:
    """A variable's text as the field's type; ValueError says what would do."""
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
    if isinstance(hint, types.UnionType):
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
