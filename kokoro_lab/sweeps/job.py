"""A job: the measurements of one notebook in one run. The command line passes it to the notebook as a JSON file.

A job has groups; a group is a cross product of factor levels. All groups together give the cells, each of them once: a
combination in two groups belongs to the first.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import typing
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator

from kokoro_lab.errors import KokoroLabError, PlanError
from kokoro_lab.field_checks import Range, hints
from kokoro_lab.files.documents import listed, read_json, read_yaml, validated
from kokoro_lab.measure.peers.peer_files import is_peer
from kokoro_lab.measure.records.cell import Cell, Processes
from kokoro_lab.measure.statistics.verdicts import with_twins
from kokoro_lab.models.catalog import default_model
from kokoro_lab.runtime.providers import parse
from kokoro_lab.store.layout import RUN_ID
from kokoro_lab.sweeps.own_texts import WithTexts, refuse_unknown
from kokoro_lab.units import LONGEST_S

__all__ = [
    "MOST_CELLS",
    "Group",
    "Job",
    "PlannedCell",
    "Retries",
    "SamplingCounts",
    "Seconds",
    "cells_within",
    "document_of",
    "named_model",
    "own_model",
]

OF_THE_JOB = frozenset({"text_preset", "repeats", "warmup_cap", "process", "reference"})
"""Fields of a cell that are not factors: a job or a group sets them, or they follow from other fields."""

FASTEST = ("voice", "speed", "lang", "seed", "replica", "text", "model")
"""Factors that vary fastest, in this order, the last of them fastest of all."""

FACTORS = tuple(item.name for item in fields(Cell) if item.name not in {*OF_THE_JOB, *FASTEST}) + FASTEST
"""Fields of a cell that a group crosses; cells are planned in this order."""

OWN_MODEL = "*"
"""In the name of a model, the model of the whole job: "*-int8" is its variant."""

DEFAULT_BLOCKS = 2
"""The fewest with which the noise between blocks is known."""
DEFAULT_REPEATS = 3
DEFAULT_WARMUP_CAP = 5


MOST_CELLS = 2_000
"""Cells of a plan: with the fewest blocks they take hours, and planning them takes seconds."""
MOST_BLOCKS = 100_000
"""Blocks of a notebook: at a second each they take more than a day."""
LONGEST_LEVEL = 1_000  # characters of a factor's level: a name, or the path of a file

Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
"""A time limit."""
Retries = Annotated[int, Field(ge=0, le=100)]


def _levels_of(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Levels = BeforeValidator(_levels_of)
"""A single level may be written without brackets."""


class _JobModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SamplingCounts(_JobModel):
    """Numbers of blocks and calls, and of processes; a missing value is taken from the level above."""

    blocks: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Fresh processes per cell."""
    repeats: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Timed calls per block; a cold block has a single call."""
    warmup_cap: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most warm-up calls of a warm block."""
    processes: Processes | None = None
    """own, the default: every block has a fresh process. shared: one process measures, in each round, all cells of one
    model and number of threads in turn; cold states, loads, sessions and peer engines keep their own."""


def _level_type(hint: Any) -> Any:
    """The type of one level of a factor, from the hint of the cell's field, with ranges in pydantic's form."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:  # a tuple of pairs, which a plan writes as a mapping
        return GenericAlias(dict, typing.get_args(arguments[0]))
    if origin is Annotated:
        within: Range = arguments[1]
        least = Field(gt=within.least) if within.above else Field(ge=within.least)
        return Annotated[arguments[0], least, Field(le=None if math.isinf(within.most) else within.most)]
    if hint is int:  # of 64 bits in the tables
        return Annotated[int, Field(ge=-(2**63), lt=2**63)]
    return Annotated[str, Field(max_length=LONGEST_LEVEL)] if hint is str else hint


def _level_fields() -> dict[str, Any]:
    """Factor -> type and default of its levels in a group, from the field of the cell."""
    levels: dict[str, Any] = {}
    for item in fields(Cell):
        if item.name in FACTORS:
            kind: Any = GenericAlias(list, (_level_type(hints(Cell)[item.name]),))
            usual = {} if item.default == () else item.default
            default = ... if item.default is MISSING else [usual]
            levels[item.name] = (Annotated[kind, Levels, Field(min_length=1)], default)
    levels["model"] = (levels["model"][0] | None, None)  # by default, the model of the whole job
    return levels


if TYPE_CHECKING:
    _Levels = SamplingCounts
else:
    _Levels = create_model("_Levels", __base__=SamplingCounts, **_level_fields())


class Group(_Levels):
    """A cross product of factor levels: each factor is a field of a cell, with a list of levels or a single level.

    `text` names texts in data/texts/ or own texts of the plan, `engine_settings` other fields of EngineConfig. In
    `model`, `*` stands for the model of the whole job.
    """

    @field_validator("provider")
    @classmethod
    def _known_providers(cls, names: list[str]) -> list[str]:
        return [_checked(lambda name=name: parse(name).name) for name in names]

    @field_validator("text")
    @classmethod
    def _known_texts(cls, names: list[str]) -> list[str]:
        refuse_unknown(names)
        return names

    @property
    def size(self) -> int:
        """Number of combinations, counted without making them."""
        return math.prod(len(getattr(self, name) or [None]) for name in FACTORS)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Factor levels of each cell, as keyword arguments of `Cell` without model, text and sampling."""
        levels = [getattr(self, name) or [None] for name in FACTORS]
        for combination in itertools.product(*levels):
            yield dict(zip(FACTORS, combination, strict=True))


@dataclass(frozen=True)
class PlannedCell:
    """A cell and its number of blocks."""

    cell: Cell
    blocks: int


class Job(WithTexts, SamplingCounts):
    """The measurements of one notebook in one run; `read` and `planned` raise PlanError, which lists every mistake."""

    run_id: Annotated[str, Field(pattern=RUN_ID)]
    notebook: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    plan: str = ""
    groups: Annotated[list[Group], Field(min_length=1)]
    model: str = "default"
    budget_s: Seconds
    """Seconds for all blocks of the notebook in the run together."""
    order_seed: int = 0
    """Seed of the order in which cells are measured."""
    retries: Retries = 1
    """How often a contaminated block is measured again."""
    twins: bool = False
    """Whether the reference cells of the shortest and the longest text are measured twice, as A/A pairs."""
    adaptive: bool = False
    """Whether the measurement ends early, as soon as the interval of every comparison is narrow."""
    looks: tuple[int, ...] = ()
    """Numbers of rounds after which decided comparisons leave the run; the end is one more look (`sweeps.looks`)."""
    results: Path
    """The results folder, which has the tables and runs."""

    @field_validator("results")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        """Other processes, which have other working directories, are told the folder."""
        return folder.expanduser().absolute()

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A job from its file, YAML or JSON.

        Raises:
            PlanError: the file cannot be read, or has mistakes.
        """
        return validated(cls, document_of(path), what=f"job file {path}", error=PlanError)

    @property
    def sentence(self) -> str:
        """`Run lab-providers-1: 2 cells in 12 blocks of model stand-in, 120 s at most.`"""
        planned = self.planned()
        models = ", ".join(dict.fromkeys(item.cell.model for item in planned))
        cells = "1 cell" if len(planned) == 1 else f"{len(planned)} cells"
        number = sum(item.blocks for item in planned)
        blocks = "1 block" if number == 1 else f"{number} blocks"
        return f"Run {self.run_id}: {cells} in {blocks} of model {models}, {self.budget_s:.0f} s at most."

    def planned(self) -> list[PlannedCell]:
        """The cells, each once, with exactly one reference cell for each group that is gated together.

        The reference of a text is its first warm cell on the CPU, or, where there is none, its first on the CPU.

        Raises:
            PlanError: invalid factor levels, or a text without a cell on the CPU as a reference.
        """
        cells_within(self.groups, f"notebook {self.notebook}")
        cells_by_id: dict[str, PlannedCell] = {}
        wrong: list[str] = []
        text_of = functools.cache(self.named_text)  # reads a file
        for group in self.groups:
            for levels in group.combinations():
                try:
                    cell = self._cell(group, levels, text_of(levels["text"]))
                except (KokoroLabError, ValueError) as error:
                    wrong.append(str(error).rstrip("."))
                    continue
                blocks = group.blocks or self.blocks or DEFAULT_BLOCKS
                cells_by_id.setdefault(cell.id, PlannedCell(cell, blocks))
        wrong += self._wrong_looks(max((planned.blocks for planned in cells_by_id.values()), default=0))
        if (blocks := sum(planned.blocks for planned in cells_by_id.values())) > MOST_BLOCKS:
            wrong.append(f"{blocks:,} blocks are more than {MOST_BLOCKS:,}, use fewer blocks or levels")
        cells = [planned.cell for planned in cells_by_id.values()]
        references: dict[object, str] = {}
        for key in dict.fromkeys(cell.gate_key for cell in cells):
            on_cpu = [cell for cell in cells if cell.gate_key == key and cell.provider == "cpu"]
            on_cpu.sort(key=lambda cell: cell.state != "warm")
            if on_cpu:
                references[key] = on_cpu[0].id
            else:
                wrong.append(f"text {key[0][:40]!r} needs one cell on the CPU, with which the others are compared")
        if wrong:
            raise PlanError(f"notebook {self.notebook} cannot be planned: {listed(wrong)}")
        marked = [
            PlannedCell(
                replace(planned.cell, reference=references[planned.cell.gate_key] == planned.cell.id), planned.blocks
            )
            for planned in cells_by_id.values()
        ]
        return marked + _twins(marked) if self.twins else marked

    def _wrong_looks(self, blocks: int) -> list[str]:
        """What is wrong with the looks of a job with at most so many blocks of a cell."""
        if not self.looks:
            return []
        wrong = ["adaptive runs have no looks, remove one of the two"] if self.adaptive else []
        rising = all(before < after for before, after in itertools.pairwise((0, *self.looks, blocks)))
        return wrong if rising else [*wrong, f"looks {list(self.looks)} must rise and come before block {blocks}"]

    def _cell(self, group: Group, levels: dict[str, Any], named: tuple[str, str, str | None]) -> Cell:
        text, preset, lang = named
        options = parse(levels["provider"], levels.pop("provider_options")).options
        cell = Cell(
            **{
                **levels,
                "model": (levels["model"] or self.model).replace(OWN_MODEL, self.model),
                "provider_options": tuple(options.items()),
                "engine_settings": tuple(levels["engine_settings"].items()),
                "text": text,
                "text_preset": preset,
                "lang": lang or levels["lang"],
                "repeats": group.repeats or self.repeats or DEFAULT_REPEATS,
                "warmup_cap": group.warmup_cap or self.warmup_cap or DEFAULT_WARMUP_CAP,
            }
        )
        shared = (group.processes or self.processes) == "shared" and cell.may_share and not is_peer(cell)
        return replace(cell, process="shared") if shared else cell


def document_of(path: str | Path) -> Any:
    """The document in a job file: JSON where its name says so, as the command line writes it, otherwise YAML.

    Raises:
        PlanError: the file cannot be read.
    """
    if Path(path).suffix == ".json":
        return read_json(Path(path), what="job file", error=PlanError, advice="give another file")
    return read_yaml(Path(path), what="job file", error=PlanError, advice="give another file")


def own_model() -> str:
    """The model of a notebook without a job file: the model that KOKORO_MODEL names, otherwise the default model."""
    return named_model(os.environ.get("KOKORO_MODEL") or "default")


def named_model(name: str) -> str:
    """The current model behind the name "default", so that a run names what it measured; other names unchanged."""
    return default_model() if name == "default" else name


def cells_within(groups: Iterable[Group], what: str) -> None:
    """Refuse groups of more than MOST_CELLS combinations, before any of them is made."""
    if (cells := sum(group.size for group in groups)) > MOST_CELLS:
        raise PlanError(
            f"{what} has {cells:,} combinations of factor levels, more than {MOST_CELLS:,}; "
            "remove levels, or make several plans"
        )


def _twins(planned: list[PlannedCell]) -> list[PlannedCell]:
    """The missing A/A twins of these cells, each with as many blocks as the cell it repeats."""
    blocks = {item.cell: item.blocks for item in planned}
    added = with_twins([item.cell for item in planned])[len(planned) :]
    return [PlannedCell(twin, blocks[replace(twin, replica=0, reference=True)]) for twin in added]


def _checked(check: Any) -> Any:
    """Convert our errors to ValueError, which pydantic collects."""
    try:
        return check()
    except KokoroLabError as error:
        raise ValueError(str(error).rstrip(".")) from error
