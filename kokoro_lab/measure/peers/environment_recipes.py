"""Recipes of environments: YAML files in data/environments/ that pin every package."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from kokoro_lab.errors import InputError
from kokoro_lab.files.documents import read_model
from kokoro_lab.paths import data_folder

__all__ = ["EnvironmentRecipe", "read_recipe", "recipe", "recipes", "recipes_folder"]

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!_-]+")


@dataclass(frozen=True)
class EnvironmentRecipe:
    """The contents of an environment."""

    name: str
    about: str
    """One sentence."""
    python: str
    """Version of Python, as 3.11."""
    pins: tuple[str, ...]
    """Every package as name==version, dependencies included."""
    imports: tuple[str, ...]
    """Modules that must be importable in a complete environment."""

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that determines the installation: Python, the pins and the imports."""
        contents = {"python": self.python, "pins": sorted(self.pins), "imports": sorted(self.imports)}
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


class _File(BaseModel):
    """A recipe file."""

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


def recipes() -> list[EnvironmentRecipe]:
    """Every recipe, by name. Raises InputError for a malformed one."""
    return [read_recipe(path) for path in sorted(recipes_folder().glob("*.yaml"))]


def recipe(name: str) -> EnvironmentRecipe:
    """The recipe of that name. Raises InputError when it does not exist or is malformed."""
    names = [path.stem for path in sorted(recipes_folder().glob("*.yaml"))]
    if name not in names:
        raise InputError(f"unknown environment {name!r}; choose one of {', '.join(names)}")
    return read_recipe(recipes_folder() / f"{name}.yaml")


def read_recipe(path: Path) -> EnvironmentRecipe:
    """The recipe in a file. Raises InputError with every mistake in it."""
    read = read_model(path, _File, what="recipe")
    return EnvironmentRecipe(path.stem, read.about, read.python, tuple(read.pins), tuple(read.imports))
