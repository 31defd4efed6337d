"""Budgets: what a run must keep to, from YAML (data/budgets.yaml has the documents' gates)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kokoro_lab.errors import InputError
from kokoro_lab.measure.cell import Cell
from kokoro_lab.paths import data_folder
from kokoro_lab.store.compare import FIGURES
from kokoro_lab.store.selectors import Selector, level, parse_selector

__all__ = ["BUDGETS", "Budget", "Budgets", "Player", "load_budgets"]

BUDGETS = data_folder() / "budgets.yaml"
GAUGES = ("correct", "underruns", "drift", "memory", "loudness", "true_peak")
"""What can be held against a budget besides the figures of a repeat."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Player(_Strict):
    """A listener's player: what it waits for before it starts."""

    chunk_ms: Annotated[float, Field(gt=0)] = 50.0
    prebuffer: Annotated[int, Field(ge=1)] = 2


class Budget(_Strict):
    """One bar, and the cells whose best is held against it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    about: str = ""
    measure: str
    """A figure of a repeat, or one of correct, underruns, drift, memory, loudness, true_peak."""
    statistic: Literal["p50", "p95"] = "p50"
    """Of a figure: its median, or the value that 95 of 100 calls keep to."""
    at_most: float | None = None
    within: tuple[float, float] | None = None
    unit: str = ""
    where: dict[str, Any] = {}
    """Factor -> its level, or a list of levels; as `compare` names them."""

    @field_validator("measure")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in (*FIGURES, *GAUGES):
            raise ValueError(f"there is nothing called {name} to measure: there is {', '.join((*GAUGES, *FIGURES))}")
        return name

    @field_validator("where")
    @classmethod
    def _factors(cls, where: dict[str, Any]) -> dict[str, Any]:
        for name in where:
            try:
                parse_selector(f"{name}=")
            except InputError as error:
                raise ValueError(error.message) from error
        return where

    @model_validator(mode="after")
    def _one_bar(self) -> Self:
        bars = (self.at_most is not None) + (self.within is not None)
        if bars != (self.measure != "correct"):
            raise ValueError(f"budget {self.name} needs one of at_most and within, and none when it is about `correct`")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError(f"budget {self.name} is within two bounds, the lower one first")
        return self

    @property
    def limit(self) -> str:
        """The bar in words."""
        if self.within is not None:
            return f"{self.within[0]:g} to {self.within[1]:g} {self.unit}".strip()
        return "" if self.at_most is None else f"at most {self.at_most:g} {self.unit}".strip()

    def keeps(self, value: float) -> bool:
        """Whether a value is on the right side of the bar."""
        if self.within is not None:
            return self.within[0] <= value <= self.within[1]
        return self.at_most is None or value <= self.at_most

    def matches(self, cell: Cell) -> bool:
        """Whether a cell is one that the budget is about."""
        return all(
            any(_selects(name, wanted, cell) for wanted in (levels if isinstance(levels, list) else [levels]))
            for name, levels in self.where.items()
        )


class Budgets(_Strict):
    """A file of budgets."""

    trials: Annotated[int, Field(ge=1)] = 3
    """Fewest completed calls with which anything passes."""
    player: Player = Player()
    budgets: Annotated[list[Budget], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        names = [budget.name for budget in self.budgets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"budget {', '.join(twice)} is there twice")
        return self

    def only(self, names: Sequence[str]) -> list[Budget]:
        """The budgets of these names; all of them when none is given. Raises InputError for one that is not there."""
        known = {budget.name: budget for budget in self.budgets}
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise InputError(f"There is no budget called {', '.join(unknown)}: there are {', '.join(known)}.")
        return [budget for budget in self.budgets if not names or budget.name in names]


def load_budgets(path: Path = BUDGETS) -> Budgets:
    """Read and check a file of budgets.

    Raises:
        InputError: it cannot be read, or holds mistakes; all of them are listed, each with where it is.
    """
    try:
        return Budgets.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The budgets {path} cannot be read: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise InputError(f"The budgets {path} are malformed: {'; '.join(found)}.") from error


def _selects(name: str, wanted: Any, cell: Cell) -> bool:
    if wanted == "" or wanted is None:
        return not level(cell, name)
    written = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
    return Selector("", levels=(("replica", str(cell.replica)), (name, written))).matches(cell)
