"""Performance budgets of a run, from YAML (data/budgets.yaml has those of the specification, docs/claims.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kokoro_lab.errors import InputError
from kokoro_lab.files.documents import read_model
from kokoro_lab.measure.records.cell import Cell
from kokoro_lab.paths import data_folder
from kokoro_lab.store.cell_selectors import Selector, level, parse_selector
from kokoro_lab.store.run_comparison import FIGURES

__all__ = ["Budget", "Budgets", "Player", "load_budgets"]

GAUGES = ("correct", "underruns", "drift", "memory", "loudness", "true_peak")
"""What a budget can limit besides the figures of a repeat."""


class _BudgetModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Player(_BudgetModel):
    """A listener's player: what it buffers before it starts."""

    chunk_ms: Annotated[float, Field(gt=0, le=60_000)] = 50.0
    prebuffer: Annotated[int, Field(ge=1, le=1000)] = 2


class Budget(_BudgetModel):
    """A limit, and the cells of which the best is checked against it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    about: str = ""
    measure: str
    """A figure of a repeat, or one of correct, underruns, drift, memory, loudness, true_peak."""
    statistic: Literal["p50", "p95"] = "p50"
    """Of a figure: its median, or the value that 95 of 100 calls do not exceed."""
    at_most: float | None = None
    within: tuple[float, float] | None = None
    unit: str = ""
    where: dict[str, Any] = {}
    """Factor -> its level, or a list of levels; as `compare` names them."""

    @field_validator("measure")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in (*FIGURES, *GAUGES):
            raise ValueError(f"unknown measure {name}, choose from {', '.join((*GAUGES, *FIGURES))}")
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
    def _one_limit(self) -> Self:
        limits = (self.at_most is not None) + (self.within is not None)
        if limits != (self.measure != "correct"):
            raise ValueError(f"budget {self.name} needs one of at_most and within, or neither for the measure correct")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError(f"budget {self.name} needs the lower one first of the two bounds in within")
        return self

    @property
    def limit(self) -> str:
        """The limit in words."""
        if self.within is not None:
            return f"{self.within[0]:g} to {self.within[1]:g} {self.unit}".strip()
        return "" if self.at_most is None else f"at most {self.at_most:g} {self.unit}".strip()

    def keeps(self, value: float) -> bool:
        """Whether a value is within the limit."""
        if self.within is not None:
            return self.within[0] <= value <= self.within[1]
        return self.at_most is None or value <= self.at_most

    def matches(self, cell: Cell) -> bool:
        """Whether the budget applies to a cell."""
        return all(
            any(_selects(name, wanted, cell) for wanted in (levels if isinstance(levels, list) else [levels]))
            for name, levels in self.where.items()
        )


class Budgets(_BudgetModel):
    """A file of budgets."""

    trials: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    """Fewest completed calls for a budget to pass."""
    player: Player = Player()
    budgets: Annotated[list[Budget], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        names = [budget.name for budget in self.budgets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"budget {', '.join(twice)} is listed twice")
        return self

    def only(self, names: Sequence[str]) -> list[Budget]:
        """The budgets with these names, or all without names. Raises InputError for an unknown name."""
        known = {budget.name: budget for budget in self.budgets}
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise InputError(f"unknown budget {', '.join(unknown)}; choose from {', '.join(known)}")
        return [budget for budget in self.budgets if not names or budget.name in names]


def load_budgets(path: Path | None = None) -> Budgets:
    """Read and check a file of budgets, data/budgets.yaml when no other is given.

    Raises:
        InputError: it cannot be read, or has mistakes; all of them are listed, each with its place.
    """
    return read_model(path or data_folder() / "budgets.yaml", Budgets, what="file of budgets")


def _selects(name: str, wanted: Any, cell: Cell) -> bool:
    if wanted == "" or wanted is None:
        return not level(cell, name)
    written = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
    return Selector("", levels=(("replica", str(cell.replica)), (name, written))).matches(cell)
