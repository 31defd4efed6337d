"""Recipes of environments: YAML files in data/environments/ that pin every package."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from kokoro_lab.errors import InputError
from kokoro_lab.paths import data_folder

__all__ = ["Recipe", "read_recipe", "recipe", "recipes", "recipes_folder"]

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!_-]+")


@dataclass(frozen=True)
class Recipe:
    """What an environment is made of."""

    name: str
    about: str
    """One sentence."""
    python: str
    """Version of Python, as 3.11."""
    pins: tuple[str, ...]
    """Every package as name==version, dependencies included."""
    imports: tuple[str, ...]
    """Modules that must import for the environment to count as complete."""

    @property
    def sha256(self) -> str:
        """Sum of what decides the installation: Python and the set of pins."""
        made_of = {"python": self.python, "pins": sorted(self.pins), "imports": sorted(self.imports)}
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


class _File(BaseModel):
    """A recipe as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)

    about: str
    python: str
    pins: list[str]
    imports: list[str] = []

    @field_validator("pins")
    @classmethod
    def _pinned(cls, pins: list[str]) -> list[str]:
        if loose := [pin for pin in pins if not PIN.fullmatch(pin)]:
            raise ValueError(f"pin every package as name==version, not {', '.join(loose)}")
        return pins

    @field_validator("imports")
    @classmethod
    def _modules(cls, imports: list[str]) -> list[str]:
        if wrong := [name for name in imports if not all(part.isidentifier() for part in name.split("."))]:
            raise ValueError(f"imports are names of modules, not {', '.join(wrong)}")
        return imports


def recipes_folder() -> Path:
    """Where recipes are committed."""
    return data_folder() / "environments"


def recipes() -> list[Recipe]:
    """Every recipe, by name. Raises InputError for a malformed one."""
    return [read_recipe(path) for path in sorted(recipes_folder().glob("*.yaml"))]


def recipe(name: str) -> Recipe:
    """One recipe. Raises InputError when there is none of that name, or when it is malformed."""
    names = [path.stem for path in sorted(recipes_folder().glob("*.yaml"))]
    if name not in names:
        raise InputError(f"there is no environment {name!r}; there are {', '.join(names)}")
    return read_recipe(recipes_folder() / f"{name}.yaml")


def read_recipe(path: Path) -> Recipe:
    """The recipe in one file. Raises InputError with every mistake in it."""
    try:
        read = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"recipe {path} cannot be read: {error}") from error
    except ValidationError as error:
        mistakes = [f"{'.'.join(str(part) for part in one['loc']) or 'file'}: {one['msg']}" for one in error.errors()]
        raise InputError(f"recipe {path} is malformed: {'; '.join(mistakes)}") from error
    return Recipe(path.stem, read.about, read.python, tuple(read.pins), tuple(read.imports))
